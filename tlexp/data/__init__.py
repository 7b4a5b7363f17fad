"""The images: sources, label budgets, transforms and batches."""
