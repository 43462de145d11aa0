"""Results of groups of nets as the result of one population."""

import numpy as np

from fastmlp import EarlyStopping, Population
from fastmlp.population_training.joined_results import joined_results


def test_values_stand_in_the_order_of_the_groups_and_records_at_their_epochs(rng):
    X = rng.normal(size=(40, 2))
    y = (X[:, 0] > 0).astype(float)
    results = []
    for n_nets, epochs in ((2, 50), (3, 9)):
        pop = Population((2, 4, 1), n_nets, loss="binary_cross_entropy", random_state=n_nets)
        stopping = EarlyStopping(50, "validation_loss")
        results.append(pop.fit(X, y, epochs=epochs, validation_data=(X, y), early_stopping=stopping, verbose=0))
    joined = joined_results(results, True)
    assert joined.n_nets == 5
    assert joined.interrupted
    assert joined.monitor == "validation_loss"
    for name in ("epochs", "loss", "accuracy", "best_value", "best_epoch", "status", "converged"):
        expected = [*getattr(results[0], name), *getattr(results[1], name)]
        np.testing.assert_array_equal(getattr(joined, name), expected)
    np.testing.assert_array_equal(joined.record_epochs, results[0].record_epochs)
    np.testing.assert_array_equal(joined.records[:, :2], results[0].records)
    for epoch, losses in zip(joined.record_epochs, joined.records[:, 2:], strict=True):
        known = np.flatnonzero(results[1].record_epochs == epoch)
        expected = results[1].records[known[0]] if len(known) else np.full(3, np.nan)
        np.testing.assert_array_equal(losses, expected)
    np.testing.assert_allclose(joined.seconds, results[0].seconds + results[1].seconds)


def test_groups_of_regressions_have_no_accuracy(rng):
    X, results = rng.normal(size=(40, 2)), []
    for seed in range(2):
        results.append(Population((2, 4, 1), 2, random_state=seed).fit(X, X[:, 0], epochs=3, verbose=0))
    joined = joined_results(results, False)
    assert joined.accuracy is None
    assert joined.best_value is None
