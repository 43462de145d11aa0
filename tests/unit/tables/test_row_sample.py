"""Samples of the rows of tables in pieces: uniform, and of the types that the pieces have."""

import numpy as np
import pytest

pd = pytest.importorskip("pandas", reason="columns are those of pandas")

from fastmlp.tables.row_sample import RowSample, joined  # noqa: E402


def test_a_sample_is_uniform_and_does_not_depend_on_the_pieces():
    n, n_most = 5000, 500
    whole, parts = RowSample(n_most), RowSample(n_most)
    rows = np.arange(n)
    whole.add((rows,), np.random.default_rng(1).random(n))
    keys = np.random.default_rng(1)
    for piece in np.split(rows, [10, 11, 2000, 4500]):
        parts.add((pd.Series(piece),), keys.random(len(piece)))
    (found,) = whole.rows()
    np.testing.assert_array_equal(found, parts.rows()[0])
    assert len(found) == n_most
    assert (np.diff(found) > 0).all()
    counts, _ = np.histogram(found, bins=10, range=(0, n))
    assert counts.min() > 25  # of 50, with a standard deviation of 6.4
    below = whole.rows(0.05)[0]
    np.testing.assert_array_equal(below, np.flatnonzero(np.random.default_rng(1).random(n) < 0.05))


def test_categories_that_differ_from_piece_to_piece_are_joined():
    pieces = [pd.DataFrame({"a": pd.Categorical(of), "b": of}) for of in ([1, 2], [3, 2], [1, 2])]
    whole = joined(pieces)
    assert whole["a"].cat.categories.tolist() == [1, 2, 3]
    assert whole["a"].tolist() == whole["b"].tolist() == [1, 2, 3, 2, 1, 2]
    pd.testing.assert_series_equal(joined([piece["a"] for piece in pieces]), whole["a"])
