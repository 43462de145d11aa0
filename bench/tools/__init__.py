"""Scripts that compare, report and count."""
