"""Runs, sweeps and studies as calls: what the command line and Python share of them, and what Python gets back."""
