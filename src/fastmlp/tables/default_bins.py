"""Default number of bins of a column, for modules that must not import NumPy, such as the command's help."""

DEFAULT_BINS = 48  # at most
