"""What public functions and classes have in common: checked settings, docstrings, former names, warnings."""
