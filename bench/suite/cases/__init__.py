"""Benchmark cases: one table of them per subject; suite/case_table.py collects the tables."""
