"""Populations: each net is the reference with its own settings and data, in its own order, until its own end."""

import numpy as np
import pytest
from cuda_cases import (
    DTYPES,
    HIDDEN_NAMES,
    OPTIMIZERS,
    PLACES,
    Layered,
    Place,
    Recorded,
    fit_seed,
    follow,
    follow_sgd,
    own,
    reference_of,
)
from reference import loss_per_sample
from reference_optimizers import adam
from reference_random import epoch_order
from test_gradients import PAIRS, targets_for
from tolerances import TOLERANCES

import fastmlp.population_fit
from fastmlp import MLP, SGD, Adam, Converged, EarlyStopping, Population, Quickprop
from fastmlp.schedules import Cosine

XOR, XOR_Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64), np.array([0, 1, 1, 0])
SIZES = (2, 3, 2)
COUNTS = {"thread": 131, "block": 9, "workspace": 9, "layers": 4}  # from 128 nets on, small ones share a block


def placed(names):
    @pytest.fixture(params=names)
    def place(cuda, request, monkeypatch):
        place = Place(request.param, monkeypatch)
        place.n = COUNTS[place.name]
        place.some = sorted({0, 1, 2, place.n // 2, place.n // 3, place.n - 1})
        yield place
        place.check()

    return place


place, lanes, small = placed(PLACES), placed(("thread", "block", "workspace")), placed(("thread", "block"))


def make(n, sizes=SIZES, **settings):
    return Population(
        sizes, n, **{"hidden_activation": "tanh", "device": "cuda", "dtype": "float64", "random_state": 4} | settings
    )


def samples(n, n_inputs=2, n_outputs=2):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, n_inputs))
    return X, np.tanh(X @ rng.normal(size=(n_inputs, n_outputs))), rng


def assert_close(pop, result, k, reference, losses, start):
    tolerance = TOLERANCES["training", pop.dtype.name]
    assert np.abs(reference.params - start[k]).max() > 100 * tolerance, "nothing was learned, so nothing is compared"
    np.testing.assert_allclose(pop.params[k], reference.params, rtol=tolerance, atol=tolerance, err_msg=f"net {k}")
    assert result.loss[k] == pytest.approx(losses[-1], rel=tolerance, abs=tolerance)
    seen = result.record_epochs <= len(losses)
    np.testing.assert_allclose(
        result.records[seen, k], losses[result.record_epochs[seen] - 1], rtol=tolerance, atol=tolerance
    )
    assert np.isnan(result.records[~seen, k]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizer(small, optimizer, dtype):
    """Rates, penalties and weights of its own, with everything a step may have, on one batch and on uneven ones."""
    n_nets = small.n
    rates = optimizer.learning_rate * np.linspace(0.3, 1.0, n_nets)
    l2, schedule = np.linspace(0.0, 0.1, n_nets), Cosine(0.1)
    mine = own(optimizer, learning_rate=rates, clip_norm=0.4, weight_decay=optimizer.weight_decay or 0.1)
    for n, epochs in ((16, 6), (30, 2)):
        X, y, rng = samples(n)
        weight = rng.random((n_nets, n)) + 0.1
        pop = make(n_nets, l2=l2, dtype=dtype)
        start, size = pop.params.copy(), 13 if n == 30 else None
        result = pop.fit(
            X, y, epochs=epochs, batch_size=size, optimizer=mine, schedule=schedule, sample_weight=weight,
            shuffle=False, verbose=0,
        )  # fmt: skip
        for k in small.some:
            reference = reference_of(pop.network, start[k], l2[k])
            losses = follow(
                reference, X, y, own(mine, learning_rate=rates[k]), epochs=epochs, batch_size=size,
                factors=schedule.factors, weight=weight[k] / weight[k].mean(),
            )  # fmt: skip
            assert_close(pop, result, k, reference, losses, start)


def test_factors_of_layers(small):
    """Of each net's own rate."""
    X, y, _ = samples(16)
    rates = np.linspace(0.1, 0.4, small.n)
    pop = make(small.n, l2=0.05)
    start = pop.params.copy()
    optimizer = Quickprop(rates, by_fan_in=True, bias_input=0.5)
    result = pop.fit(X, y, epochs=5, optimizer=optimizer, verbose=0)
    for k in small.some:
        reference = reference_of(pop.network, start[k], kind=Layered)
        reference.factors = [(1 / (fan_in + 1), 0.25 / (fan_in + 1)) for fan_in in SIZES[:-1]]
        losses = follow(reference, X, y, own(optimizer, learning_rate=rates[k]), epochs=5)
        assert_close(pop, result, k, reference, losses, start)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("part", range(3))
def test_every_hidden_activation_in_a_thread(cuda, part, dtype, monkeypatch):
    hidden = HIDDEN_NAMES[part::3]
    place = Place("thread", monkeypatch)
    X, y, _ = samples(11)
    pop = make(130, (2,) * (len(hidden) + 1) + (1,), hidden_activation=hidden, dtype=dtype, init_scale=1.5)
    start = pop.params.copy()
    result = pop.fit(X, y[:, :1], epochs=3, optimizer=SGD(0.1), verbose=0)
    for k in (0, 129):
        reference = reference_of(pop.network, start[k])
        assert_close(pop, result, k, reference, follow_sgd(reference, X, y[:, :1], 0.1, epochs=3), start)
    place.check()


@pytest.mark.parametrize("loss, output", [pair for pair in PAIRS if pair[1] != "softmax"])
def test_every_loss_and_output_in_a_thread(cuda, loss, output, monkeypatch):
    place = Place("thread", monkeypatch)
    X, _, rng = samples(11)
    y, weight = targets_for(loss, output, 11, 2, rng), rng.random(11) * (rng.random(11) > 0.3)
    pop = make(129, loss=loss, output_activation=output, huber_delta=0.3)
    start = pop.params.copy()
    result = pop.fit(X, y, epochs=3, optimizer=SGD(0.1), sample_weight=weight, verbose=0)
    for k in (0, 128):
        reference = reference_of(pop.network, start[k])
        losses = follow_sgd(reference, X, y, 0.1, epochs=3, weight=weight / weight.mean())
        assert_close(pop, result, k, reference, losses, start)
    place.check()


# ---- what is each net's own


def test_own_samples(place):
    X, y, rng = samples(12)
    X, y = X + 0.1 * rng.normal(size=(place.n, 12, 2)), y + 0.1 * rng.normal(size=(place.n, 12, 2))
    pop = make(place.n)
    start = pop.params.copy()
    result = pop.fit(X, y, epochs=4, batch_size=5, optimizer=SGD(0.2), shuffle=False, verbose=0)
    outputs, figures = pop.predict(X), pop.evaluate(X, y)
    for k in place.some:
        reference = reference_of(pop.network, start[k])
        losses = follow_sgd(reference, X[k], y[k], 0.2, epochs=4, batch_size=5)
        assert_close(pop, result, k, reference, losses, start)
        np.testing.assert_allclose(outputs[k], reference.predict(X[k]), rtol=1e-9)
        assert figures["loss"][k] == pytest.approx(reference.loss_and_gradient(X[k], y[k])[0])


def test_own_orders(place):
    X, y, _ = samples(30)
    pop = make(place.n)
    start = pop.params.copy()
    result = pop.fit(X, y, epochs=3, batch_size=13, optimizer=SGD(0.2), verbose=0)
    for k in place.some:
        reference = reference_of(pop.network, start[k])
        losses = follow_sgd(
            reference, X, y, 0.2, epochs=3, batch_size=13, seed=fit_seed(pop.seeds[k]), shuffle=True
        )  # fmt: skip
        assert_close(pop, result, k, reference, losses, start)


def test_own_orders_bit_by_bit(small, monkeypatch):
    """More samples than words are drawn at a time; what lies on the device at the end is the last epoch's order."""
    from fastmlp.kernels.cuda import nets

    found, collect = [], nets._Window.collect
    monkeypatch.setattr(
        nets._Window, "collect", lambda self: (found.append(self._job["order"].get()), collect(self))[1]
    )  # fmt: skip
    X, y, _ = samples(300)
    pop = make(small.n)
    pop.fit(X, y, epochs=2, batch_size=100, optimizer=SGD(0.1), verbose=0)
    for k in small.some:
        np.testing.assert_array_equal(
            found[0].reshape(small.n, 300)[k], epoch_order(300, fit_seed(pop.seeds[k]), 1)
        )  # fmt: skip


def test_own_dropout(cuda, monkeypatch):
    """Nets that drop are never in a thread, however many there are; one of them drops nothing."""
    place = Place("block", monkeypatch)
    X, y, _ = samples(90)
    rates = np.linspace(0.0, 0.6, 130)
    pop = make(130, (2, 5, 3, 2), dropout=rates)
    start = pop.params.copy()
    result = pop.fit(X, y, epochs=2, batch_size=70, optimizer=SGD(0.2), verbose=0)
    for k in (0, 1, 64, 129):
        reference = reference_of(pop.network, start[k])
        losses = follow_sgd(
            reference, X, y, 0.2, epochs=2, batch_size=70, seed=fit_seed(pop.seeds[k]), shuffle=True,
            rates=(rates[k], rates[k]),
        )  # fmt: skip
        assert_close(pop, result, k, reference, losses, start)
    place.check()


def test_samples_of_weight_zero_do_not_count(lanes):
    """Not even where their loss overflows: what a fold leaves out may be anything."""
    X, _, rng = samples(12)
    y, weight = rng.poisson(1.5, (12, 2)).astype(float), np.ones((lanes.n, 12))
    X[3], weight[:, 3] = 1e6, 0.0
    pop = make(lanes.n, loss="poisson", hidden_activation="identity", dtype="float32")
    pop.params[:] *= np.sign(pop.params)  # so that the logits of that sample are huge
    start = pop.params.copy()
    result = pop.fit(X, y, epochs=3, optimizer=SGD(0.01), sample_weight=weight, verbose=0)
    kept = np.arange(12) != 3
    for k in lanes.some:
        reference = reference_of(pop.network, start[k])
        losses = follow_sgd(reference, X[kept], y[kept], 0.01, epochs=3)
        np.testing.assert_allclose(pop.params[k], reference.params, rtol=2e-4, atol=2e-4)
        assert result.loss[k] == pytest.approx(losses[-1], rel=2e-4)


# ---- use


@pytest.mark.parametrize("memory", [2**33, 60_000])
@pytest.mark.parametrize(
    "loss, k", [("binary_cross_entropy", 1), ("binary_cross_entropy", 3), ("softmax_cross_entropy", 3)]
)
def test_use(emulated_cuda, loss, k, memory, rng):
    """Outputs, losses and accuracy of all nets and of some, with weights of their own, whatever room there is."""
    pop = make(40, (2, 5, k), loss=loss)
    X, weight = rng.normal(size=(70, 2)), rng.random((40, 70)) * (rng.random((40, 70)) > 0.2)
    y = targets_for(loss, None, 70, k, rng)
    emulated_cuda.settings.limit = memory
    outputs, some = pop.predict(X), pop.predict(X, nets=[7, 3])
    plain, weighted = pop.evaluate(X, y), pop.evaluate(X, y, sample_weight=weight)
    classes = pop.predict_classes(X)
    np.testing.assert_array_equal(some, outputs[[7, 3]])
    for net in (0, 3, 21, 39):
        reference = reference_of(pop.network, pop.params[net])
        expected = reference.predict(X)
        np.testing.assert_allclose(outputs[net], expected, rtol=1e-11, atol=1e-13)
        zs, layers = reference.forward(X)
        losses = loss_per_sample(loss, zs[-1], layers[-1], y)
        exclusive = loss == "softmax_cross_entropy"
        right = expected.argmax(axis=1) == y.argmax(axis=1) if exclusive else ((expected > 0.5) == y).mean(axis=1)
        chosen = expected.argmax(axis=1) if k > 1 else expected[:, 0] > 0.5
        np.testing.assert_array_equal(classes[net], chosen)
        assert plain["loss"][net] == pytest.approx(losses.mean())
        assert plain["accuracy"][net] == pytest.approx(right.mean())
        shares = weight[net] / weight[net].mean()
        assert weighted["loss"][net] == pytest.approx(np.mean(shares * losses))
        assert weighted["accuracy"][net] == pytest.approx(np.mean(shares * right))


# ---- ends


def right_of(reference, params, X, y, margin):
    """Share of right outputs at these parameters."""
    before, reference.params = reference.params, params
    outputs = reference.predict(X)[:, 0]
    reference.params = before
    return np.mean(np.abs(outputs - y) <= 0.4) if margin else np.mean((outputs > 0.5) == (y > 0.5))


@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize("rule", [0.35, "accuracy", "40-20-40", Converged(accuracy=0.75)])
def test_convergence_is_each_nets_own(place, rule, batch_size):
    optimizer, epochs = Adam(0.3), 30
    pop = make(place.n, (2, 3, 1), loss="binary_cross_entropy")
    start = pop.params.copy()
    result = pop.fit(
        XOR, XOR_Y, epochs=epochs, batch_size=batch_size, optimizer=optimizer, converged=rule, shuffle=False, verbose=0
    )  # fmt: skip
    ends = set()
    n_batches = 1 if batch_size is None else 2
    for k in place.some:
        reference = reference_of(pop.network, start[k], kind=Recorded)
        losses = follow(reference, XOR, XOR_Y[:, None], optimizer, epochs=epochs, batch_size=batch_size)
        path = [*reference.path, reference.params]
        rows = [slice(first, first + (batch_size or 4)) for first in range(0, 4, batch_size or 4)]
        right = [
            np.average(
                [
                    right_of(reference, path[e * n_batches + b], XOR[r], XOR_Y[r], rule == "40-20-40")
                    for b, r in enumerate(rows)
                ],
                weights=[len(XOR[r]) for r in rows],
            )
            for e in range(epochs)
        ]
        wanted = 0.75 if isinstance(rule, Converged) else 1.0
        good = losses <= rule if isinstance(rule, float) else np.array(right) >= wanted - 1e-6
        end = int(np.argmax(good)) if good.any() else None
        ends.add(end)
        assert result.converged[k] == (end is not None)
        assert result.stopped_by[k] == ("epochs" if end is None else "converged")
        assert result.epochs[k] == (epochs if end is None else end + 1)
        last = epochs - 1 if end is None else end
        expected = path[end] if end is not None and n_batches == 1 else path[(last + 1) * n_batches]
        np.testing.assert_allclose(pop.params[k], expected, rtol=1e-9, atol=1e-9)
        assert result.loss[k] == pytest.approx(losses[last])
        assert result.accuracy[k] == pytest.approx(right[last])
    assert len(ends) > 1, "nets end at different times"


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize("monitor", ["loss", "accuracy", "validation_loss", "validation_accuracy"])
def test_early_stopping(place, monitor, batch_size, rng):
    """By each net's own record; the parameters of the best epoch are kept."""
    X, X_new = rng.normal(size=(40, 2)), rng.normal(size=(30, 2))
    y, y_new = ((x[:, 0] * x[:, 1] > 0).astype(int) for x in (X, X_new))
    epochs, optimizer = 25, Adam(0.3)
    rule = EarlyStopping(patience=3, monitor=monitor, min_delta=0.01)
    pop = make(place.n, (2, 3, 1), loss="binary_cross_entropy")
    start = pop.params.copy()
    result = pop.fit(
        X, y, epochs=epochs, batch_size=batch_size, optimizer=optimizer, validation_data=(X_new, y_new), shuffle=False,
        early_stopping=rule, verbose=0,
    )  # fmt: skip
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
                        right_of(reference, path[e * n_batches + b], X[b * 16 :][: batch_size or 40],
                                 y[b * 16 :][: batch_size or 40], False)
                        for b in range(n_batches)
                    ],
                    weights=[1.0] if n_batches == 1 else [16, 16, 8],
                )
                for e in range(epochs)
            ]  # fmt: skip
        elif monitor == "validation_accuracy":
            values = [-right_of(reference, params, X_new, y_new, False) for params in after]
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
        assert (result.epochs[k], result.best_epoch[k]) == (end + 1, best_epoch + 1), k
        assert result.best_value[k] == pytest.approx(abs(best))
        assert result.stopped_by[k] == ("epochs" if end == epochs - 1 else "early_stopping")
        np.testing.assert_allclose(pop.params[k], expected, rtol=1e-8, atol=1e-8)
    if place.name == "thread":
        assert len(set(result.epochs)) > 1, "nets should stop at different times"


def test_restarts_use_other_weights_and_count_lost_epochs(lanes):
    """Those that have not learned begin anew: the weights of the last draw, trained for the epochs since."""
    pop = make(lanes.n, (2, 2, 1), loss="binary_cross_entropy", init_scale=2.0)
    first, draws = pop.params.copy(), {}
    redraw = pop._draw

    def drawn(members, attempt):
        redraw(members, attempt)
        draws[attempt] = (members, pop.params.copy())

    pop._draw = drawn
    result = pop.fit(
        XOR, XOR_Y, epochs=30, optimizer=Adam(0.3), converged=0.4, restart_after=12, verbose=0
    )  # fmt: skip
    assert set(draws) == {1, 2}
    assert 0 < result.restarts.max() <= 2
    for k in range(lanes.n) if lanes.n < 20 else (*lanes.some, *draws[2][0][:3]):
        n = int(result.restarts[k])
        reference = reference_of(pop.network, draws[n][1][k] if n else first[k])
        assert not n or not np.allclose(reference.params, first[k])
        epochs = int(result.epochs[k]) - 12 * n
        assert 0 < epochs <= (12 if n < 2 else 6)
        losses = follow(reference, XOR, XOR_Y[:, None], Adam(0.3), epochs=epochs)
        assert result.loss[k] == pytest.approx(losses[-1])
        assert result.converged[k] == (losses[-1] <= 0.4)
        assert (losses[:-1] > 0.4).all()
    if lanes.name == "thread":  # the few that are left are trained in blocks
        lanes.shapes[1:] = [pair for pair in lanes.shapes[1:] if pair[1].in_thread]


@pytest.mark.parametrize("batch_size", [None, 3])
def test_divergence_is_each_nets_own(place, batch_size):
    rates = np.full(place.n, 1e-4)
    rates[1] = 1e6
    pop = make(place.n, (2, 3, 1), hidden_activation="leaky_relu")
    start = pop.params.copy()
    with pytest.warns(fastmlp.DivergenceWarning, match=f"1 of {place.n} nets"):
        result = pop.fit(
            XOR, XOR_Y * 10.0, epochs=80, batch_size=batch_size, optimizer=SGD(rates), shuffle=False, verbose=0
        )  # fmt: skip
    assert np.flatnonzero(result.stopped_by == "divergence").tolist() == [1]
    assert np.isfinite(pop.params).all()
    assert np.isnan(result.loss[1])
    assert not result.converged[1]
    assert 0 < result.epochs[1] < 80
    reference = reference_of(pop.network, start[0])
    losses = follow_sgd(reference, XOR, XOR_Y[:, None] * 10.0, 1e-4, epochs=80, batch_size=batch_size)
    np.testing.assert_allclose(pop.params[0], reference.params, rtol=1e-9)
    assert result.loss[0] == pytest.approx(losses[-1])


# ---- windows


@pytest.fixture
def windows(monkeypatch):
    """The nets of every window that is opened; windows(n) makes them hold about n nets."""
    from fastmlp.kernels.cuda import nets

    found, begin = [], nets._Window.__init__

    def opened(self, work, members, *rest):
        found.append(members)
        begin(self, work, members, *rest)

    monkeypatch.setattr(nets._Window, "__init__", opened)
    return found


@pytest.mark.parametrize("n_nets, most", [(400, 160), (20, 7)], ids=["thread", "block"])
def test_windows(emulated_cuda, n_nets, most, windows, monkeypatch):
    """With memory for a part of the nets only, every net ends as it would with memory for all."""
    fit = {
        "epochs": 30, "optimizer": Adam(0.1), "converged": 0.4, "batch_size": 3, "shuffle": True, "verbose": 0,
    }  # fmt: skip
    pops = [make(n_nets, (2, 3, 1), loss="binary_cross_entropy") for _ in range(2)]
    start = pops[0].params.copy()
    results = [pops[0].fit(XOR, XOR_Y, **fit)]
    assert [len(window) for window in windows] == [n_nets]
    windows.clear()
    monkeypatch.setattr("fastmlp.kernels.cuda.nets.SHARE_OF_MEMORY", most * 800 / emulated_cuda.settings.limit)
    results.append(pops[1].fit(XOR, XOR_Y, **fit))
    assert len(windows) > 2
    np.testing.assert_array_equal(np.concatenate(windows), np.arange(n_nets))
    if len(windows[-1]) >= 128 or n_nets < 128:  # a last window of few nets is trained in blocks, which round otherwise
        np.testing.assert_array_equal(pops[0].params, pops[1].params)
    np.testing.assert_allclose(pops[0].params, pops[1].params, rtol=1e-9, atol=1e-9)
    for name in ("epochs", "status", "converged"):
        np.testing.assert_array_equal(getattr(results[0], name), getattr(results[1], name))
    np.testing.assert_allclose(results[0].records, results[1].records, rtol=1e-9)
    for k in (0, n_nets // 2, n_nets - 1):
        reference = reference_of(pops[1].network, start[k])
        losses = follow_by_adam(reference, int(results[1].epochs[k]), fit_seed(pops[1].seeds[k]))
        assert results[1].loss[k] == pytest.approx(losses[-1])
        np.testing.assert_allclose(pops[1].params[k], reference.params, rtol=1e-9, atol=1e-9)


def follow_by_adam(reference, epochs, seed):
    """XOR in batches of three and one, shuffled: orders are laid out as one long epoch for the reference's Adam."""
    orders = np.concatenate([epoch_order(4, seed, epoch) for epoch in range(epochs)])
    state, losses = {}, []
    for epoch in range(epochs):
        rows, sums = orders[4 * epoch : 4 * epoch + 4], 0.0
        for part in (rows[:3], rows[3:]):
            loss, gradient = reference.loss_and_gradient(XOR[part], XOR_Y[part, None])
            sums += loss * len(part)
            reference.params = adam(reference.params, gradient, state, loss, 0.1)
        losses.append(sums / 4)
    return losses


@pytest.mark.parametrize("sizes, n_nets", [((2, 3, 1), 200), ((2, 40, 40, 1), 40)], ids=["small", "large"])
def test_memory_for_a_part_of_the_nets(emulated_cuda, sizes, n_nets, windows, monkeypatch):
    """Whatever the limit is, a window that was measured by what is free has room; with arrays in global memory too."""
    from fastmlp.kernels.cuda import nets

    if len(sizes) > 3:
        monkeypatch.setattr(nets, "shared_limit", lambda: 4000)
    pop = make(n_nets, sizes, dtype="float32")
    emulated_cuda.settings.limit = 150_000 if len(sizes) == 3 else 1_500_000
    result = pop.fit(XOR, XOR_Y, epochs=3, optimizer=Adam(0.1), verbose=0)
    assert len(windows) > 1
    assert (result.epochs == 3).all()
    emulated_cuda.settings.limit = 30_000 if len(sizes) == 3 else 400_000
    assert np.isfinite(pop.predict(XOR)).all()
    assert np.isfinite(pop.evaluate(XOR, XOR_Y)["loss"]).all()


def test_no_room_for_one_net(emulated_cuda):
    pop = make(3, (2, 100, 90, 1))
    emulated_cuda.settings.limit = 10_000
    with pytest.raises(MemoryError, match=r"no room for .* bytes are wanted, [\d,]+ of 10,000 are free"):
        pop.fit(XOR, XOR_Y, epochs=1, verbose=0)


# ---- interruption


@pytest.mark.parametrize("n_nets, most", [(400, 160), (20, 7)], ids=["thread", "block"])
def test_interruption_keeps_what_was_reached(emulated_cuda, n_nets, most, windows, monkeypatch):
    """Ctrl-C between launches, in the second window: the first is done, the second on its way, the rest not begun."""
    from fastmlp.kernels.cuda import nets

    monkeypatch.setattr(fastmlp.population_fit, "FIRST_CALL", 1)
    monkeypatch.setattr(fastmlp.population_fit, "CALL_SECONDS", (0.0, 1e9))
    monkeypatch.setattr(nets, "SHARE_OF_MEMORY", most * 800 / emulated_cuda.settings.limit)
    launch = nets.launch

    def interrupted(*arguments, **job):
        if len(windows) == 2 and "train" in arguments[0].name:
            count.append(1)
            if len(count) == 3:
                raise KeyboardInterrupt
        launch(*arguments, **job)

    monkeypatch.setattr(nets, "launch", interrupted)
    count = []
    pop = make(n_nets, (2, 3, 1))
    start = pop.params.copy()
    result = pop.fit(XOR, XOR_Y, epochs=5, optimizer=Adam(0.1), verbose=0)
    assert result.interrupted
    done, under_way = windows
    assert (result.epochs[done] == 5).all()
    assert (result.epochs[under_way] == 2).all()
    waiting = np.setdiff1d(np.arange(n_nets), np.concatenate(windows))
    assert len(waiting)
    assert (result.epochs[waiting] == 0).all()
    np.testing.assert_array_equal(pop.params[waiting], start[waiting])
    for nets_of, epochs in ((done, 5), (under_way, 2)):
        for k in nets_of[[0, -1]]:
            reference = reference_of(pop.network, start[k])
            losses = follow(reference, XOR, XOR_Y[:, None], Adam(0.1), epochs=epochs)
            np.testing.assert_allclose(pop.params[k], reference.params, rtol=1e-9)
            assert result.loss[k] == pytest.approx(losses[-1])
    assert set(result.stopped_by) == {"epochs", "interrupt"}
    monkeypatch.setattr(nets, "launch", launch)
    assert (pop.fit(XOR, XOR_Y, epochs=2, verbose=0).epochs == 2).all(), "the population is usable"


def test_interruption_before_the_first_launch(cuda, monkeypatch):
    """Nothing is claimed of nets that have not begun."""
    from fastmlp.kernels.cuda import nets

    launch = nets.launch

    def interrupted(kernel, *arguments, **job):
        if kernel.name == "train_nets":
            raise KeyboardInterrupt
        launch(kernel, *arguments, **job)

    monkeypatch.setattr(nets, "launch", interrupted)
    pop = make(9, (2, 3, 1))
    start = pop.params.copy()
    result = pop.fit(XOR, XOR_Y, epochs=5, verbose=0)
    assert result.interrupted
    assert (result.epochs == 0).all()
    assert np.isnan(result.loss).all()
    assert not result.converged.any()
    np.testing.assert_array_equal(pop.params, start)


# ---- equal to one another, and in any order of threads


def test_equal_nets_give_equal_results(small):
    pop = make(small.n, (2, 3, 1), dtype="float32")
    pop.params = np.broadcast_to(pop.params[0], pop.params.shape)
    pop.fit(XOR, XOR_Y, epochs=20, verbose=0)
    assert (pop.params == pop.params[0]).all()


def test_net_is_what_it_would_be_alone(small):
    pop = make(small.n)
    X, y, _ = samples(30)
    result = pop.fit(X, y, epochs=4, batch_size=13, optimizer="adam", verbose=0)
    for k in small.some:
        net = MLP(
            SIZES, hidden_activation="tanh", device="cuda", dtype="float64", random_state=int(pop.seeds[k])
        )  # fmt: skip
        history = net.fit(X, y, epochs=4, batch_size=13, optimizer="adam", verbose=0)
        np.testing.assert_allclose(pop.net(k).params, net.params, rtol=1e-10, atol=1e-12)
        assert result.loss[k] == pytest.approx(history.loss[-1])
        np.testing.assert_allclose(pop.net(k).predict(X), pop.predict(X, nets=[k])[0], rtol=1e-12)
    small.shapes[:] = [shape for shape in small.shapes if shape[1].in_thread == (small.name == "thread")]


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_order_of_threads_gives_the_same_bits(lanes, dtype, emulated_cuda):
    X, y, _ = samples(30)
    found = []
    for order in range(4):
        emulated_cuda.settings.order = order
        pop = make(lanes.n, dtype=dtype, l2=0.01)
        result = pop.fit(
            X, y, epochs=2, batch_size=13, optimizer=Adam(0.05, clip_norm=0.1), validation_data=(X[:5], y[:5]),
            early_stopping=3, verbose=0,
        )  # fmt: skip
        losses = pop.evaluate(X, y)["loss"]
        found.append((pop.params.tobytes(), result.loss.tobytes(), losses.tobytes(), pop.predict(X).tobytes()))
    assert len(set(found)) == 1
