"""Solvers: each inverts any forward model, one iteration at a time."""
