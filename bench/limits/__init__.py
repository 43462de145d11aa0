"""Limits: what a case cannot do without (matrix products, arithmetic, memory traffic), timed like a competitor."""
