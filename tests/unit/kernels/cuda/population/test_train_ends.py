"""End of training in population kernels: convergence, early stopping, restarts and divergence of each net."""

import numpy as np
import pytest
from cuda_cases import Recorded, follow, follow_sgd, reference_of
from cuda_populations import make
from reference_net import loss_per_sample
from toy_data import XOR_X, XOR_Y

import fastmlp
import fastmlp.fit.nets
from fastmlp import SGD, Adam, Converged, EarlyStopping

pytestmark = pytest.mark.thinned(16)


def accuracy_of(reference, params, X, y, margin):
    """Share of correct outputs at these parameters."""
    before, reference.params = reference.params, params
    outputs = reference.predict(X)[:, 0]
    reference.params = before
    return np.mean(np.abs(outputs - y) <= 0.4) if margin else np.mean((outputs > 0.5) == (y > 0.5))


@pytest.mark.parametrize(
    "rule, batch_size", [(0.35, None), ("accuracy", 3), ("40-20-40", 3), (Converged(accuracy=0.75), None)]
)
@pytest.mark.thinned(16)
def test_each_net_stops_when_it_has_converged(place, rule, batch_size):
    optimizer, epochs = Adam(0.3), 30
    pop = make(place.n, (2, 3, 1), loss="binary_cross_entropy")
    start = pop.params.copy()
    result = pop.fit(
        XOR_X,
        XOR_Y,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        converged=rule,
        shuffle=False,
        verbose=0,
    )
    ends = set()
    n_batches = 1 if batch_size is None else 2
    for k in place.some:
        reference = reference_of(pop.network, start[k], kind=Recorded)
        losses = follow(reference, XOR_X, XOR_Y[:, None], optimizer, epochs=epochs, batch_size=batch_size)
        path = [*reference.path, reference.params]
        rows = [slice(first, first + (batch_size or 4)) for first in range(0, 4, batch_size or 4)]
        accuracies = [
            np.average(
                [
                    accuracy_of(reference, path[e * n_batches + b], XOR_X[r], XOR_Y[r], rule == "40-20-40")
                    for b, r in enumerate(rows)
                ],
                weights=[len(XOR_X[r]) for r in rows],
            )
            for e in range(epochs)
        ]
        wanted = 0.75 if isinstance(rule, Converged) else 1.0
        good = losses <= rule if isinstance(rule, float) else np.array(accuracies) >= wanted - 1e-6
        end = int(np.argmax(good)) if good.any() else None
        ends.add(end)
        assert result.converged[k] == (end is not None)
        assert result.stopped_by[k] == ("epochs" if end is None else "converged")
        assert result.epochs[k] == (epochs if end is None else end + 1)
        last = epochs - 1 if end is None else end
        expected = path[end] if end is not None and n_batches == 1 else path[(last + 1) * n_batches]
        np.testing.assert_allclose(pop.params[k], expected, rtol=1e-9, atol=1e-9)
        assert result.loss[k] == pytest.approx(losses[last])
        assert result.accuracy[k] == pytest.approx(accuracies[last])
    assert len(ends) > 1, "nets end at different times"


@pytest.mark.thinned(20)
@pytest.mark.parametrize(
    "monitor, batch_size", [("loss", None), ("accuracy", 16), ("validation_loss", 16), ("validation_accuracy", None)]
)
def test_early_stopping_of_each_net_matches_the_reference(place, monitor, batch_size, rng):
    """Each net stops by its own record and ends with the parameters of its best epoch."""
    X, X_new = rng.normal(size=(40, 2)), rng.normal(size=(30, 2))
    y, y_new = ((x[:, 0] * x[:, 1] > 0).astype(int) for x in (X, X_new))
    epochs, optimizer = 25, Adam(0.3)
    rule = EarlyStopping(patience=3, monitor=monitor, min_delta=0.01)
    pop = make(place.n, (2, 3, 1), loss="binary_cross_entropy")
    start = pop.params.copy()
    result = pop.fit(
        X,
        y,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        validation_data=(X_new, y_new),
        shuffle=False,
        early_stopping=rule,
        verbose=0,
    )
    n_batches = 1 if batch_size is None else 3
    for k in place.some:
        reference = reference_of(pop.network, start[k], kind=Recorded)
        losses = follow(reference, X, y[:, None], optimizer, epochs=epochs, batch_size=batch_size)
        path = [*reference.path, reference.params]
        after = [path[(e + 1) * n_batches] for e in range(epochs)]
        if monitor == "loss":
            values = losses
        elif monitor == "accuracy":
            values = [
                -np.average(
                    [
                        accuracy_of(
                            reference,
                            path[e * n_batches + b],
                            X[b * 16 :][: batch_size or 40],
                            y[b * 16 :][: batch_size or 40],
                            False,
                        )
                        for b in range(n_batches)
                    ],
                    weights=[1.0] if n_batches == 1 else [16, 16, 8],
                )
                for e in range(epochs)
            ]
        elif monitor == "validation_accuracy":
            values = [-accuracy_of(reference, params, X_new, y_new, False) for params in after]
        else:
            values = []
            for params in after:
                reference.params = params
                zs, outputs = reference.forward(X_new)
                values.append(loss_per_sample("binary_cross_entropy", zs[-1], outputs[-1], y_new[:, None]).mean())
        best, best_epoch, end = np.inf, -1, epochs - 1
        for e, value in enumerate(values):
            if value < best - 0.01:
                best, best_epoch = value, e
            elif e - best_epoch >= 3:
                end = e
                break
        of_before = n_batches == 1 and not monitor.startswith("validation")
        expected = path[best_epoch] if of_before else after[best_epoch]
        assert (result.epochs[k], result.best_epoch[k]) == (end + 1, best_epoch), k
        assert result.best_value[k] == pytest.approx(abs(best))
        assert result.stopped_by[k] == ("epochs" if end == epochs - 1 else "early_stopping")
        np.testing.assert_allclose(pop.params[k], expected, rtol=1e-8, atol=1e-8)
    if place.name == "thread":
        assert len(set(result.epochs)) > 1, "nets should stop at different times"


def test_held_out_samples_of_weight_zero_do_not_count_even_if_they_overflow(place, assert_same, rng):
    """The loss of the held-out sample of weight zero overflows."""
    X, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    pops, results = [], []
    for held_out in ((X[:4], y[:4]), (np.vstack([X[:4], [1e30, 1e30]]), [*y[:4], 0.0], [1, 1, 1, 1, 0])):
        pops.append(make(place.n, (2, 3, 1), hidden_activation="relu", dtype="float32"))
        results.append(
            pops[-1].fit(
                X, y, epochs=4, validation_data=held_out, early_stopping=EarlyStopping(9, "validation_loss"), verbose=0
            )
        )
    assert np.isfinite(results[1].best_value).all()
    np.testing.assert_allclose(results[1].best_value, results[0].best_value, rtol=1e-5)
    np.testing.assert_array_equal(results[1].best_epoch, results[0].best_epoch)
    assert_same(pops[1].params, pops[0].params)


def test_restarts_use_other_weights_and_count_lost_epochs(lanes):
    """Nets that have not converged restart: they end with the weights of the last draw, trained since."""
    pop = make(lanes.n, (2, 2, 1), loss="binary_cross_entropy", init_scale=2.0)
    first, draws = pop.params.copy(), {}
    redraw = pop._draw

    def drawn(members, attempt):
        redraw(members, attempt)
        draws[attempt] = (members, pop.params.copy())

    pop._draw = drawn
    result = pop.fit(XOR_X, XOR_Y, epochs=30, optimizer=Adam(0.3), converged=0.4, restart_after=12, verbose=0)
    assert set(draws) == {1, 2}
    assert 0 < result.restarts.max() <= 2
    for k in range(lanes.n) if lanes.n < 20 else (*lanes.some, *draws[2][0][:3]):
        n = int(result.restarts[k])
        reference = reference_of(pop.network, draws[n][1][k] if n else first[k])
        assert not n or not np.allclose(reference.params, first[k])
        epochs = int(result.epochs[k]) - 12 * n
        assert 0 < epochs <= (12 if n < 2 else 6)
        losses = follow(reference, XOR_X, XOR_Y[:, None], Adam(0.3), epochs=epochs)
        assert result.loss[k] == pytest.approx(losses[-1])
        assert result.converged[k] == (losses[-1] <= 0.4)
        assert (losses[:-1] > 0.4).all()
    if lanes.name == "thread":  # the few that are left are trained in blocks
        lanes.shapes[1:] = [pair for pair in lanes.shapes[1:] if pair[1].in_thread]


@pytest.mark.parametrize("batch_size", [None, 3])
def test_one_diverging_net_leaves_the_others_unchanged(place, batch_size):
    rates = np.full(place.n, 1e-4)
    rates[1] = 1e6
    pop = make(place.n, (2, 3, 1), hidden_activation="leaky_relu")
    start = pop.params.copy()
    with pytest.warns(fastmlp.DivergenceWarning, match=f"1 of {place.n} nets"):
        result = pop.fit(
            XOR_X, XOR_Y * 10.0, epochs=80, batch_size=batch_size, optimizer=SGD(rates), shuffle=False, verbose=0
        )
    assert np.flatnonzero(result.stopped_by == "divergence").tolist() == [1]
    assert np.isfinite(pop.params).all()
    assert np.isnan(result.loss[1])
    assert not result.converged[1]
    assert 0 < result.epochs[1] < 80
    reference = reference_of(pop.network, start[0])
    losses = follow_sgd(reference, XOR_X, XOR_Y[:, None] * 10.0, 1e-4, epochs=80, batch_size=batch_size)
    np.testing.assert_allclose(pop.params[0], reference.params, rtol=1e-9)
    assert result.loss[0] == pytest.approx(losses[-1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_loss_equal_to_the_criterion_counts_as_converged(lanes, batch_size, dtype):
    """The criterion is reached in an epoch without a record; the next lower number takes one epoch more."""
    learn = lambda **rules: make(lanes.n, (2, 3, 1), dtype=dtype).fit(
        XOR_X[:3], XOR_Y[:3], batch_size=batch_size, optimizer=SGD(0.1), shuffle=False, verbose=0, **rules
    )
    reached = learn(epochs=37).loss[0]
    for criterion, epochs in ((reached, 37), (np.nextafter(reached, 0.0), 38)):
        assert learn(epochs=200, converged=float(criterion)).epochs[0] == epochs


@pytest.mark.parametrize("watch", [None, EarlyStopping(5)], ids=["to the end", "early stopping"])
@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.thinned(18)
def test_overflow_in_the_step_after_a_finite_loss_is_divergence(place, batch_size, watch):
    """The step after the only recorded loss overflows: the net has diverged, and gets its initial parameters back."""
    pop = make(place.n, (2, 3, 1), hidden_activation="identity", dtype="float32")
    start = pop.params.copy()
    with pytest.warns(fastmlp.DivergenceWarning):
        result = pop.fit(
            1e15 * (XOR_X + 1.0),
            XOR_Y,
            epochs=1,
            batch_size=batch_size,
            shuffle=False,
            optimizer=SGD(1e38 if batch_size is None else 1e10),
            early_stopping=watch,
            verbose=0,
        )
    assert np.isfinite(pop.params).all()
    assert np.isfinite(pop.best().params).all()
    assert set(result.stopped_by) == {"divergence"}
    assert np.isnan(result.loss).all()
    np.testing.assert_array_equal(pop.params, start)


@pytest.mark.parametrize("dtype, size, loss", [("float32", 1e15, "squared_error"), ("float64", 1e160, "huber")])
def test_clipping_works_if_the_sum_of_squares_overflows(place, dtype, size, loss):
    """The step has the direction of the gradient and the length of clip_norm times the learning rate."""
    pop = make(place.n, (2, 3, 1), hidden_activation="identity", loss=loss, dtype=dtype)
    start = pop.params.copy()
    pop.fit(size * (XOR_X + 1.0), XOR_Y, epochs=1, optimizer=SGD(0.1, clip_norm=2.0), verbose=0)
    np.testing.assert_allclose(np.linalg.norm((pop.params - start).astype(float), axis=1), 0.2, rtol=1e-5)
