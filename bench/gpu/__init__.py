"""Everything that is run on a GPU machine: `python bench/gpu/run.py`."""
