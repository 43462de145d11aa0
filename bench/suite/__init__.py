"""The benchmark suite, `pytest bench`: each case with its competitors, verified and timed in interleaved rounds."""
