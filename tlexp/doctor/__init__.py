"""Looks at the photographs before anything is trained: copies, groups, suspects, what a budget leaves."""
