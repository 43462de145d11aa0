"""Code shared by `fastmlp bench` and the benchmark suite: timing, results, tables, plots and the HTML page."""
