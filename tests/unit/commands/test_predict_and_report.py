"""`split_rows`: the held-out part of a table. Whole runs are tested in test_cli.py."""

from __future__ import annotations

import numpy as np
import pytest

from fastmlp.commands.train_parts import split_rows

pd = pytest.importorskip("pandas")


def test_split_rows_partitions_the_rows():
    target = pd.Series(np.linspace(0, 1, 50))
    held_out, training = split_rows(target, "regression", 0.2, 0)
    assert len(held_out) == 10
    assert sorted([*held_out, *training]) == list(range(50))
    assert (np.diff(training) > 0).all()
    again = split_rows(target, "regression", 0.2, 0)
    np.testing.assert_array_equal(held_out, again[0])
    assert not np.array_equal(held_out, split_rows(target, "regression", 0.2, 1)[0])


def test_split_rows_is_stratified_and_leaves_each_class_a_training_row():
    target = pd.Series(["a"] * 60 + ["b"] * 30 + ["c"])
    held_out, training = split_rows(target, "classification", 0.9, 0)
    assert target.iloc[held_out].value_counts().to_dict() == {"a": 54, "b": 27}
    assert target.iloc[training].value_counts().to_dict() == {"a": 6, "b": 3, "c": 1}


def test_split_rows_with_share_zero_holds_out_nothing():
    held_out, training = split_rows(pd.Series(range(5)), "regression", 0.0, 0)
    assert len(held_out) == 0
    assert training.tolist() == list(range(5))


def test_share_too_small_to_hold_out_a_row_raises():
    with pytest.raises(ValueError, match=r"share of 0\.2 of 2 rows leaves none to validate on"):
        split_rows(pd.Series([1.5, 2.5]), "regression", 0.2, 0)
