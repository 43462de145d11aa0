"""Selection of samples: distinct row numbers in ascending order."""

import numpy as np

from fastmlp.diagnosis.sample_rows import sample_rows


def test_sample_rows_are_distinct_and_sorted():
    assert sample_rows(5, 9).tolist() == [0, 1, 2, 3, 4]
    chosen = sample_rows(100, 10)
    assert len(set(chosen)) == 10
    assert (np.diff(chosen) > 0).all()
