"""What `fastmlp bench` and the benchmark suite share: rounds, results, tables, pictures and the page."""
