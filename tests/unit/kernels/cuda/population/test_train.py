"""Population kernels: each net matches the reference, with settings, data and order per net."""

import numpy as np
import pytest
from cuda_cases import DTYPES, HIDDEN_NAMES, OPTIMIZERS, Layered, Place, fit_seed, follow, follow_sgd, own, reference_of
from cuda_populations import SIZES, make
from net_cases import PAIRS, targets_for
from reference_net import loss_per_sample
from reference_random import epoch_order
from tolerances import TOLERANCES
from toy_data import XOR_X, XOR_Y

import fastmlp.fit.hooks.of_lanes
from fastmlp import MLP, SGD, Adam, Quickprop, Rprop
from fastmlp.execution import thresholds
from fastmlp.execution.work import products
from fastmlp.kernels.formulas.losses import CONSTANTS
from fastmlp.schedules import Cosine, FlatCosine

pytestmark = pytest.mark.thinned(16)


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


def test_adam_matches_the_reference_after_its_powers_have_ended(small):
    """The powers of these betas are below the precision of float32 after 8 and 11 steps."""
    optimizer, epochs, (X, y, _) = Adam(0.01, beta1=0.1, beta2=0.2), 30, samples(16)
    pop = make(small.n, dtype="float32")
    start = pop.params.copy()
    result = pop.fit(X, y, epochs=epochs, optimizer=optimizer, shuffle=False, verbose=0)
    for k in small.some:
        reference = reference_of(pop.network, start[k])
        losses = follow(reference, X, y, optimizer, epochs=epochs)
        assert_close(pop, result, k, reference, losses, start)


@pytest.mark.thinned(44)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_with_settings_per_net_match_the_reference(small, optimizer, dtype):
    """Learning rates, penalties and sample weights per net, with clipping and decay, on equal and unequal batches."""
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
            X,
            y,
            epochs=epochs,
            batch_size=size,
            optimizer=mine,
            schedule=schedule,
            sample_weight=weight,
            shuffle=False,
            verbose=0,
        )
        for k in small.some:
            reference = reference_of(pop.network, start[k], l2[k])
            losses = follow(
                reference,
                X,
                y,
                own(mine, learning_rate=rates[k]),
                epochs=epochs,
                batch_size=size,
                factors=schedule.factors,
                weight=weight[k] / weight[k].mean(),
            )
            assert_close(pop, result, k, reference, losses, start)


def test_layer_factors_with_rates_per_net_match_the_reference(small):
    """Layer factors multiply the learning rate of each net."""
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


@pytest.mark.parametrize("kind", (Adam, SGD))
@pytest.mark.parametrize(
    "schedule, factors",
    [(None, [(2.0, 0.25), (1.0, 0.25)]), (Cosine(0.1), [(2.0, 0.25), (1.0, 0.25)]), (Cosine(0.1), None)],
    ids=("constant", "cosine", "no factors"),
)
@pytest.mark.thinned(16)
def test_decay_schedules_and_rate_factors_match_the_reference(place, kind, schedule, factors):
    X, y, _ = samples(16)
    decays, pop = np.linspace(0.1, 0.9, place.n), make(place.n)
    start = pop.params.copy()
    optimizer = kind(
        0.05,
        weight_decay=decays,
        weight_decay_schedule=FlatCosine(0.2),
        learning_rate_factors=factors and {"biases": 0.25, (0, "weights"): 2.0},
    )
    result = pop.fit(X, y, epochs=5, batch_size=6, shuffle=False, optimizer=optimizer, schedule=schedule, verbose=0)
    for k in place.some:
        reference = reference_of(pop.network, start[k])
        losses = follow(
            reference,
            X,
            y,
            own(optimizer, weight_decay=decays[k]),
            epochs=5,
            batch_size=6,
            factors=None if schedule is None else schedule.factors,
            rate_factors=factors,
        )
        assert_close(pop, result, k, reference, losses, start)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("part", range(3))
def test_every_hidden_activation_in_a_thread_matches_the_reference(cuda, part, dtype, monkeypatch):
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


@pytest.mark.parametrize("loss, output", PAIRS)
@pytest.mark.thinned(48)
def test_every_loss_and_output_in_a_thread_matches_the_reference(cuda, loss, output, monkeypatch):
    place = Place("thread", monkeypatch)
    X, _, rng = samples(11)
    y, weight = targets_for(loss, output, 11, 2, rng), rng.random(11) * (rng.random(11) > 0.3)
    pop = make(129, loss=loss, output_activation=output, **dict.fromkeys(CONSTANTS, 0.3))
    start = pop.params.copy()
    result = pop.fit(X, y, epochs=3, optimizer=SGD(0.1), sample_weight=weight, verbose=0)
    for k in (0, 128):
        reference = reference_of(pop.network, start[k])
        losses = follow_sgd(reference, X, y, 0.1, epochs=3, weight=weight / weight.mean())
        assert_close(pop, result, k, reference, losses, start)
    place.check()


@pytest.mark.thinned(4)
@pytest.mark.parametrize("loss, huge", [("squared_error", 1e25), ("poisson", 1e4)])
def test_a_sample_of_weight_zero_may_overflow(place, loss, huge, assert_same):
    """Its loss is infinite or, with poisson, its outputs are."""
    X, y, rng = samples(11)
    weight = rng.random((place.n, 11)) + 0.5
    weight[:, 3] = 0.0
    found = []
    for row in (huge, 0.5):
        X[3] = row
        pop = make(place.n, loss=loss, hidden_activation="relu", dtype="float32")
        pop.params[:] = np.abs(pop.params) / 4  # outputs grow with the inputs
        result = pop.fit(X, np.abs(y), epochs=3, batch_size=4, optimizer=SGD(0.01), sample_weight=weight, verbose=0)
        found.append((result.loss, pop.params))
    for overflowing, ordinary in zip(*found, strict=True):
        assert np.isfinite(ordinary).all()
        assert_same(overflowing, ordinary)


# ---- what is each net's own


def test_samples_per_net_match_the_reference(place):
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


def test_orders_per_net_match_the_reference(place):
    X, y, _ = samples(30)
    pop = make(place.n)
    start = pop.params.copy()
    result = pop.fit(X, y, epochs=3, batch_size=13, optimizer=SGD(0.2), verbose=0)
    for k in place.some:
        reference = reference_of(pop.network, start[k])
        losses = follow_sgd(reference, X, y, 0.2, epochs=3, batch_size=13, seed=fit_seed(pop.seeds[k]), shuffle=True)
        assert_close(pop, result, k, reference, losses, start)


def test_orders_per_net_equal_the_reference_bit_for_bit(small, monkeypatch):
    """More samples than random words drawn at a time; the device array at the end holds the last epoch's order."""
    from fastmlp.kernels.cuda.population.window import Window

    found, collect = [], Window.collect
    monkeypatch.setattr(Window, "collect", lambda self: (found.append(self._job["order"].get()), collect(self))[1])
    X, y, _ = samples(300)
    pop = make(small.n)
    pop.fit(X, y, epochs=2, batch_size=100, optimizer=SGD(0.1), verbose=0)
    # Threads read their orders position by position, blocks each its own.
    orders = found[0].reshape(300, small.n).T if small.name == "thread" else found[0].reshape(small.n, 300)
    for k in small.some:
        np.testing.assert_array_equal(orders[k], epoch_order(300, fit_seed(pop.seeds[k]), 1))


def test_dropout_rate_per_net_matches_the_reference(cuda, monkeypatch):
    """Nets with dropout never train one per thread, for any number of nets; one net here has rate 0."""
    place = Place("block", monkeypatch)
    X, y, _ = samples(90)
    rates = np.linspace(0.0, 0.6, 130)
    pop = make(130, (2, 5, 3, 2), dropout=rates)
    start = pop.params.copy()
    result = pop.fit(X, y, epochs=2, batch_size=70, optimizer=SGD(0.2), verbose=0)
    for k in (0, 1, 64, 129):
        reference = reference_of(pop.network, start[k])
        losses = follow_sgd(
            reference,
            X,
            y,
            0.2,
            epochs=2,
            batch_size=70,
            seed=fit_seed(pop.seeds[k]),
            shuffle=True,
            rates=(rates[k], rates[k]),
        )
        assert_close(pop, result, k, reference, losses, start)
    place.check()


@pytest.mark.full
@pytest.mark.parametrize("name", ("block", "workspace", "batched", "layers"))
def test_scheduled_dropout_matches_the_reference(cuda, name, monkeypatch):
    place, schedule = Place(name, monkeypatch), FlatCosine(0.2)
    X, y, _ = samples(30)
    pop = make(5, (2, 5, 3, 2), dropout=0.5)
    start, fit = pop.params.copy(), {"epochs": 4, "batch_size": 13}
    result = pop.fit(X, y, **fit, optimizer=SGD(0.2), dropout_schedule=schedule, verbose=0)
    for k in (0, 4):
        reference, seed = reference_of(pop.network, start[k]), fit_seed(pop.seeds[k])
        of_dropout = {"rates": (0.5, 0.5), "dropout_factors": schedule.factors}
        losses = follow_sgd(reference, X, y, 0.2, **fit, seed=seed, shuffle=True, **of_dropout)
        assert_close(pop, result, k, reference, losses, start)
    place.check()


@pytest.mark.parametrize("optimizer", [SGD(0.5), Adam(0.1), Rprop(0.01)])
def test_unrolled_samples_give_the_same_results(cuda, optimizer, assert_same, monkeypatch):
    """A kernel with the number of samples as a constant, and one with a loop. In float64, since the signs of gradients
    that Rprop uses must not depend on rounding.
    """
    X, y, rng = samples(7)
    weight, fits = rng.random(7), []
    for most in (thresholds.THREAD_UNROLLED_UP_TO, 0):
        monkeypatch.setattr(thresholds, "THREAD_UNROLLED_UP_TO", most)
        pop = make(130, dtype="float64")
        result = pop.fit(X, y, sample_weight=weight, epochs=70, optimizer=optimizer, shuffle=True, verbose=0)
        fits.append((pop.params, result.loss, result.records))
    for unrolled, looped in zip(*fits, strict=True):
        assert_same(unrolled, looped)


def test_samples_of_weight_zero_do_not_count_even_if_they_overflow(lanes):
    """Samples held out by a fold may have any values, so that their loss may overflow."""
    X, _, rng = samples(12)
    y, weight = rng.poisson(1.5, (12, 2)).astype(float), np.ones((lanes.n, 12))
    X[3], weight[:, 3] = 1e6, 0.0
    pop = make(lanes.n, loss="poisson", hidden_activation="identity", dtype="float32")
    pop.params[:] *= np.sign(pop.params)  # so that the logits of that sample are huge
    start = pop.params.copy()
    result = pop.fit(X, y, epochs=3, optimizer=SGD(0.01), sample_weight=weight, verbose=0)
    counted_rows = np.arange(12) != 3
    for k in lanes.some:
        reference = reference_of(pop.network, start[k])
        losses = follow_sgd(reference, X[counted_rows], y[counted_rows], 0.01, epochs=3)
        np.testing.assert_allclose(pop.params[k], reference.params, rtol=2e-4, atol=2e-4)
        assert result.loss[k] == pytest.approx(losses[-1], rel=2e-4)


# ---- use


@pytest.mark.parametrize("memory", [2**33, 60_000])
@pytest.mark.parametrize(
    "loss, k", [("binary_cross_entropy", 1), ("binary_cross_entropy", 3), ("softmax_cross_entropy", 3)]
)
def test_predict_and_evaluate_match_the_reference(emulated_cuda, loss, k, memory, rng):
    """Outputs, losses and accuracy of all nets and of some, with weights per net, for any amount of memory."""
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
        correct = expected.argmax(axis=1) == y.argmax(axis=1) if exclusive else ((expected > 0.5) == y).mean(axis=1)
        chosen = expected.argmax(axis=1) if k > 1 else expected[:, 0] > 0.5
        np.testing.assert_array_equal(classes[net], chosen)
        assert plain["loss"][net] == pytest.approx(losses.mean())
        assert plain["accuracy"][net] == pytest.approx(correct.mean())
        shares = weight[net] / weight[net].mean()
        assert weighted["loss"][net] == pytest.approx(np.mean(shares * losses))
        assert weighted["accuracy"][net] == pytest.approx(np.mean(shares * correct))


# ---- equal to one another, and in any order of threads


@pytest.mark.full
def test_equal_nets_give_equal_results(small):
    pop = make(small.n, (2, 3, 1), dtype="float32")
    pop.params = np.broadcast_to(pop.params[0], pop.params.shape)
    pop.fit(XOR_X, XOR_Y, epochs=20, verbose=0)
    assert (pop.params == pop.params[0]).all()


def test_each_net_equals_a_single_net(small):
    pop = make(small.n)
    X, y, _ = samples(30)
    result = pop.fit(X, y, epochs=4, batch_size=13, optimizer="adam", verbose=0)
    for k in small.some:
        net = MLP(SIZES, hidden_activation="tanh", device="cuda", dtype="float64", random_state=int(pop.seeds[k]))
        history = net.fit(X, y, epochs=4, batch_size=13, optimizer="adam", verbose=0)
        np.testing.assert_allclose(pop.net(k).params, net.params, rtol=1e-10, atol=1e-12)
        assert result.loss[k] == pytest.approx(history.loss[-1])
        np.testing.assert_allclose(pop.net(k).predict(X), pop.predict(X, nets=[k])[0], rtol=1e-12)
    small.shapes[:] = [shape for shape in small.shapes if shape[1].in_thread == (small.name == "thread")]
    small.layers = 0  # the single net trains layerwise if populations are batched


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_order_of_threads_gives_the_same_bits(lanes, dtype, emulated_cuda):
    X, y, _ = samples(30)
    found = []
    for order in range(4):
        emulated_cuda.settings.order = order
        pop = make(lanes.n, dtype=dtype, l2=0.01)
        result = pop.fit(
            X,
            y,
            epochs=2,
            batch_size=13,
            optimizer=Adam(0.05, clip_norm=0.1),
            validation_data=(X[:5], y[:5]),
            early_stopping=3,
            verbose=0,
        )
        losses = pop.evaluate(X, y)["loss"]
        found.append((pop.params.tobytes(), result.loss.tobytes(), losses.tobytes(), pop.predict(X).tobytes()))
    assert len(set(found)) == 1


@pytest.mark.full
@pytest.mark.parametrize("n_nets, full", [(100, 10), (4, 100)])
def test_first_calls_are_short_and_double(cuda, n_nets, full, monkeypatch):
    """A call cannot be interrupted. The first has a fixed number of multiply-adds of all nets that run at once, later
    ones up to twice as many, and windows do not double the length without limit.
    """
    from fastmlp.kernels.cuda import backend
    from fastmlp.kernels.cuda.population import train

    asked, train_nets, pop = [], backend.train_nets, make(n_nets, (2, 2, 1))
    monkeypatch.setattr(backend, "train_nets", lambda *job: (asked.append(job[-1]), train_nets(*job)))
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "FULL_DEVICE", full)
    first_call = 3.5 * 100 * products(pop.network, 4)
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "FIRST_CALL_OF_DEVICE", first_call)
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "CALL_SECONDS", (1e9, 2e9))
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "MOST_EPOCHS", 20)
    monkeypatch.setattr(train, "SHARE_OF_MEMORY", 1e-9)  # a window is one net
    pop.fit(XOR_X, XOR_Y, epochs=17, optimizer="adam", verbose=0)
    assert asked[:6] == [3, 3, 6, 12, 20, 20]
    assert max(asked) == 20
