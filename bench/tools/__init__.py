"""Scripts that compare, report and count results of the suite."""
