"""Many runs of one command: points, launching, resuming, and what comes out."""
