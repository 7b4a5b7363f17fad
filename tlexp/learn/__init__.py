"""What learns from a label budget, and how its settings are chosen inside it."""
