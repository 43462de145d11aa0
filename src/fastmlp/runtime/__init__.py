"""The process in which a fit runs: its threads, the memory and files of its machine, times between checkpoints."""
