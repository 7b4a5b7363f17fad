"""Studies: columns of one freeze depth over all label budgets and data seeds, their analysis and their report."""
