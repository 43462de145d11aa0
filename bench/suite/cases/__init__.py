"""Benchmark cases: one table of them per subject; suite/case_lookup.py collects the tables."""
