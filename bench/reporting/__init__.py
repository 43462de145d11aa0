"""Benchmark results: their files, statistics, texts, plots and the HTML page."""
