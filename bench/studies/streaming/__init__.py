"""Parts of the study of files larger than memory, ../larger_than_memory.py, which has the command line."""
