"""Checks of data without a net: signal, contradictions, scales and coding of targets."""

import numpy as np
import pytest
import toy_data as data

from fastmlp.diagnosis.data_checks import check_data


def checks(X, y):
    y = np.asarray(y, float)
    return check_data(np.asarray(X, float), y[:, None] if y.ndim == 1 else y)


@pytest.mark.parametrize("make", [data.moons, data.friedman, data.rare, data.overlapping, data.rings])
def test_signal_separates_real_from_shuffled_labels(make):
    rng = np.random.default_rng(0)
    X, y = make(0)
    assert checks(X, y).signal > 5
    shuffled = checks(X, rng.permutation(y))
    assert shuffled.signal < 3.4
    assert shuffled.attainable < 0.06


def test_parity_is_not_taken_for_noise():
    """Nearest neighbours are always wrong, which is as informative as always right."""
    found = checks(*data.parity(7))
    assert found.signal > 4
    assert found.attainable > 0.5


@pytest.mark.parametrize("n_rare", [1, 7])
def test_rare_class_of_few_samples_gives_nan(n_rare):
    X = np.random.default_rng(0).normal(size=(400, 4))
    y = X[:, 0] >= np.sort(X[:, 0])[-n_rare]
    for targets in (y, np.column_stack([y, ~y]), 1e3 * y + X[:, 1]):  # labels, one-hot, and outliers among quantities
        assert np.isnan(checks(X, targets).signal)
    assert checks(X, X[:, 0] >= np.sort(X[:, 0])[-8]).signal > 3.8


def test_contradicting_labels_limit_the_attainable_fit():
    X = np.repeat(data.XOR_X, 25, axis=0)
    y = np.repeat(data.XOR_Y, 25)
    assert checks(X, y).contradicted == 0
    assert checks(X, y).attainable == 1.0
    y[::25] = 1 - y[::25]  # one of 25 in each corner
    found = checks(X, y)
    share = 4 * 25 * (1 / 25) * (24 / 25) / (100 * 0.25)
    assert found.contradicted == pytest.approx(share)
    assert found.attainable == pytest.approx(1 - share)


def test_scale_of_indicators_does_not_count():
    X, y = data.friedman(0)
    rare = (np.arange(len(X)) == 0).astype(float)[:, None]
    found = checks(np.hstack([X, rare, 1.0 - rare]), y)
    assert found.scale.largest_offset < 0.2
    assert found.scale.typical_spread == pytest.approx(np.median(X.std(axis=0)), rel=0.1)
    assert checks(np.hstack([X, 1.0 - 0.5 * rare]), y).scale.largest_offset > 10
    assert checks(np.hstack([rare, 1.0 - rare]), y).scale.largest_offset == 0
