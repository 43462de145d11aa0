"""Samples of a fit on workers: rows that several nets have are sent once, and each net gets its own."""

import numpy as np
import pytest
from executor_cases import FITS, Pickled, X, Y, assert_same_bits

from fastmlp.fit.shared_samples import SHORTEST_ROW, different_rows

ROW = np.arange(SHORTEST_ROW // 4, dtype=np.float32)


def test_rows_that_repeat_are_found():
    rows = np.stack([ROW, ROW + 1, ROW, ROW + 1, ROW + 2, ROW + 1])
    found, numbers = different_rows(rows)
    np.testing.assert_array_equal(found, [ROW, ROW + 1, ROW + 2])
    np.testing.assert_array_equal(found[numbers], rows)


def test_rows_of_other_bits_differ():
    zeros = np.zeros((4, len(ROW)), np.float32)
    zeros[2] = -0.0
    found, numbers = different_rows(zeros)
    assert numbers.tolist() == [0, 0, 1, 0]
    np.testing.assert_array_equal(np.signbit(found[numbers]), np.signbit(zeros))


@pytest.mark.parametrize("rows", [np.stack([ROW, ROW + 1, ROW + 2, ROW]), np.ones((5, len(ROW) - 1), np.float32)])
def test_rows_that_are_short_or_seldom_repeat_are_left(rows):
    assert different_rows(rows) is None


@pytest.mark.parametrize("per_net", [("sample_weight",), ("X", "y", "sample_weight")])
def test_nets_get_their_rows(per_net, monkeypatch, rng):
    """Of folds, for each array in turn: a few different ones, in any order."""
    of_net = rng.permutation(np.arange(40) % 3)
    folds = {
        "X": np.stack([X, X + 1, X - 1]),
        "y": np.stack([Y, 1 - Y, Y])[..., np.newaxis],
        "sample_weight": rng.random((3, len(X))),
    }
    arguments = {name: folds[name][of_net] for name in per_net}
    monkeypatch.setitem(FITS, "folds", ((3, 5, 1), 40, {}, {"batch_size": 16, "epochs": 3, **arguments}))
    monkeypatch.setattr("fastmlp.fit.shared_samples.SHORTEST_ROW", 0)
    executor = Pickled()
    assert_same_bits("folds", executor)
    assert max(executor.sizes) < 10_000, "40 rows of X are 28,800 bytes"
