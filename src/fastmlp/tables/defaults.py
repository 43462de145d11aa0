"""Defaults of the columns of a table, for modules that must not import NumPy, such as the command's help."""

DEFAULT_BINS = 48  # largest number of bins of a column
