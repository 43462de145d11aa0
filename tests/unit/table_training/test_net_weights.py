"""Greedy weights of nets: picks by the loss of the mean, on held-out rows and in folds."""

import numpy as np

from fastmlp import MLP, Population
from fastmlp.class_probabilities import logits
from fastmlp.table_training.net_weights import greedy_picks, with_greedy_weights, with_greedy_weights_in_folds
from fastmlp.table_training.rows_in_memory import Rows

REGRESSION = MLP((2, 1)).network
CLASSES = MLP((2, 3), loss="softmax_cross_entropy").network
LABELS = MLP((2, 2), loss="binary_cross_entropy").network


def best_by_search(z, loss):
    """Return what greedy selection with replacement picks, by the loss of the mean of each candidate."""
    picks = []
    for _ in range(len(z)):
        picks.append(min(range(len(z)), key=lambda k: loss(np.mean([z[i] for i in (*picks, k)], axis=0))))
    return sorted(picks)


def test_numbers_are_picked_by_the_squared_error_of_the_mean(rng):
    y, weights = rng.normal(size=50), rng.uniform(0.5, 2.0, 50)
    z = y[None, :, None] + rng.normal(size=(6, 50, 1)) * np.array([0.3, 0.5, 0.5, 1, 2, 5])[:, None, None]
    for w in (None, weights):
        expected = best_by_search(z[..., 0], lambda mean, w=w: np.average((mean - y) ** 2, weights=w))
        found = greedy_picks(z, y, w, REGRESSION)
        assert found.tolist() == expected
        assert 1 < len(set(expected)) < 6, "some nets, not all"


def test_classes_are_picked_by_the_log_loss_of_the_mean_probability(rng):
    y = rng.integers(0, 3, 80)
    z = np.eye(3)[y] * 2 + rng.normal(size=(5, 80, 3)) * np.array([0.5, 1, 1, 2, 4])[:, None, None]
    p = np.exp(z) / np.exp(z).sum(axis=2, keepdims=True)
    expected = best_by_search(p, lambda mean: -np.mean(np.log(mean[np.arange(80), y])))
    assert greedy_picks(z, y, None, CLASSES).tolist() == expected


def test_labels_are_picked_by_their_mean_log_loss(rng):
    y = rng.integers(0, 2, (60, 2)).astype(float)
    z = (4 * y - 2) + rng.normal(size=(4, 60, 2)) * np.array([0.5, 1, 2, 4])[:, None, None]
    p = 1 / (1 + np.exp(-z))
    expected = best_by_search(p, lambda mean: -np.mean(y * np.log(mean) + (1 - y) * np.log(1 - mean)))
    assert greedy_picks(z, y, None, LABELS).tolist() == expected


def test_of_many_classes_the_probabilities_of_true_ones_are_kept(rng):
    import tracemalloc

    z, y = rng.normal(size=(6, 1000, 300)).astype(np.float32), rng.integers(0, 300, 1000)
    network = MLP((2, 300), loss="softmax_cross_entropy").network
    tracemalloc.start()
    greedy_picks(z, y, None, network)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * z.nbytes, "all probabilities of all nets as float64, with a copy, take four times as many bytes"


def test_nets_that_diverged_are_not_picked(rng):
    y = rng.normal(size=20)
    z = np.stack([y, np.full(20, np.nan), y + 1])[..., None]
    assert greedy_picks(z, y, None, REGRESSION).tolist() == [0, 0, 0]
    assert greedy_picks(np.full_like(z, np.nan), y, None, REGRESSION).tolist() == [0, 1, 2]


def test_rows_without_weight_pick_no_net(rng):
    y = rng.normal(size=20)
    assert greedy_picks(np.stack([y, y + 1])[..., None], y, np.zeros(20), REGRESSION).tolist() == [0, 1]


def test_of_many_held_out_rows_evenly_spaced_ones_are_predicted(monkeypatch, rng):
    monkeypatch.setattr("fastmlp.table_training.net_weights.MOST_ROWS", 10)
    predicted = []
    monkeypatch.setattr(
        "fastmlp.table_training.net_weights.logits", lambda nets, X: predicted.append(len(X)) or logits(nets, X)
    )
    with_greedy_weights(Population((2, 1), 3, random_state=0), Rows(rng.normal(size=(100, 2)), rng.normal(size=100)))
    assert predicted == [10]


def test_the_mean_of_the_picked_nets_is_the_better_one(rng):
    X = rng.normal(size=(60, 2)).astype(np.float32)
    nets = Population((2, 4, 1), 5, random_state=0, device="cpu")
    y = nets.predict(X)[3, :, 0] + 0.01 * rng.normal(size=60)
    picked, numbers = with_greedy_weights(nets, Rows(X, y))
    np.testing.assert_array_equal(picked.params, nets.params[numbers])
    assert picked.n_nets == 5
    error = lambda nets: np.mean((nets.ensemble_predict(X)[:, 0] - y) ** 2)
    assert error(picked) < 0.1 * error(nets)


def test_each_fold_has_weights_of_its_own(rng):
    X, folds = rng.normal(size=(60, 2)).astype(np.float32), np.arange(60) % 2
    nets = Population((2, 4, 1), 6, random_state=0, device="cpu")  # three for each fold
    found = logits(nets, X)
    z = np.where((folds == 0)[None, :, None], found[:3], found[3:])
    y = np.where(folds == 0, found[2, :, 0], found[3, :, 0])
    picked, outputs, numbers = with_greedy_weights_in_folds(nets, z, Rows(X, y), folds)
    assert numbers.tolist() == [2, 2, 2, 3, 3, 3]
    np.testing.assert_array_equal(picked.params, nets.params[[2, 2, 2, 3, 3, 3]])
    np.testing.assert_array_equal(outputs[..., 0], np.tile(y.astype(np.float32), (3, 1)))
