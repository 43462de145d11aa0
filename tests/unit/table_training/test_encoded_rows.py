"""Which rows are held out, and folds."""

import numpy as np
import pytest

from fastmlp.table_training.encoded_rows import EncodedRows, Rows, fold_numbers, held_out_rows


def test_folds_are_equal_parts_of_the_rows_and_of_each_class():
    classes, generator = np.repeat([0, 1, 2], [50, 23, 2]), np.random.RandomState(0)
    folds = fold_numbers(classes, 75, 5, generator)
    assert np.bincount(folds).tolist() == [15] * 5
    for k, size in enumerate((50, 23, 2)):
        counts = np.bincount(folds[classes == k], minlength=5)
        assert counts.sum() == size
        assert counts.max() - counts.min() <= 1
    with pytest.raises(ValueError, match="n_folds is 5, but there are only 4 rows"):
        fold_numbers(None, 4, 5, generator)


def test_the_first_fold_is_held_out_where_nets_have_none():
    rows = Rows(np.arange(6.0)[:, None], np.arange(6))
    apart = EncodedRows(rows, folds=np.array([0, 1, 2] * 2)).without(0)
    assert (apart.training.y.tolist(), apart.held_out.y.tolist(), apart.folds) == ([1, 2, 4, 5], [0, 3], None)
    assert EncodedRows(rows).without(0) == EncodedRows(rows)


COUNTS = {"two": [60, 41], "three": [50, 23, 4], "equal": [10] * 7, "rare": [40, 2, 2, 2], "one row": [30, 1]}


@pytest.mark.parametrize("fraction", [0.2, 0.35])
@pytest.mark.parametrize("kind", [None, *COUNTS])
def test_draws_are_those_of_scikit_learn(kind, fraction):
    """Also of what is drawn after the split, since the same generator gives the seed of the nets."""
    split = pytest.importorskip("sklearn.model_selection", reason="the reference").train_test_split
    counts = COUNTS.get(kind, [53])
    classes = np.random.RandomState(9).permutation(np.repeat(np.arange(len(counts)), counts))
    n_held = round(fraction * len(classes))
    is_stratified = kind is not None and min(counts) > 1
    ours, theirs = np.random.RandomState(3), np.random.RandomState(3)
    training, held = held_out_rows(None if kind is None else classes, len(classes), fraction, ours)
    stratify = classes if is_stratified else None
    expected = split(np.arange(len(classes)), test_size=n_held, random_state=theirs, stratify=stratify)
    for found, known in zip((training, held), expected, strict=True):
        np.testing.assert_array_equal(found, np.sort(known))
    assert ours.randint(2**31 - 1) == theirs.randint(2**31 - 1)
    if is_stratified:
        assert (np.bincount(classes[training]) > 0).all()


def test_without_a_fraction_nothing_is_held_out_or_drawn():
    generator = np.random.RandomState(0)
    training, held = held_out_rows(np.array([0, 1, 0]), 3, 0.0, generator)
    assert (training.tolist(), held.tolist()) == ([0, 1, 2], [])
    assert generator.randint(2**31 - 1) == np.random.RandomState(0).randint(2**31 - 1)
    assert len(held_out_rows(None, 3, 0.01, generator)[1]) == 1, "at least one row"
