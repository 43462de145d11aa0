"""precision="bfloat16" in the families layerwise and batched_gemm, against a reference that rounds operands, too.

Now and then a number near the middle between two numbers of bfloat16 is rounded to one of them in float32 and to the
other in float64: results are not always as close as float32 is.
"""

import dataclasses

import numpy as np
import pytest
from cuda_cases import HIDDEN_NAMES, OPTIMIZERS, fit_seed, follow, follow_sgd, reference_of
from net_cases import PAIRS, targets_for
from reference_bfloat16 import RoundedMLP, from_bfloat16, rounded, to_bfloat16
from reference_net import ReferenceMLP

import fastmlp.fit.hooks.tuned_calls
from fastmlp import MLP, SGD, Adam, EarlyStopping, Population
from fastmlp.execution.gpu_costs import BY_LAYERS, using
from fastmlp.schedules import Cosine

pytestmark = pytest.mark.thinned(4)
CLOSE, FAR = 4e-4, 6e-4  # to the rounded reference, and to one that rounds nothing, relative to a gradient or a fit
SIZES = (5, 131, 33, 3)  # of which no layer but the first begins on 16 bytes in the parameters
LARGE = (5, 257, 35, 3)  # a net of a population that a block cannot evaluate
SETTINGS = {"device": "cuda", "random_state": 0, "precision": "bfloat16"}


@pytest.fixture(autouse=True)
def layers(cuda, monkeypatch):
    """All nets train layer by layer, or batched; the list of passes that are made."""
    from fastmlp.kernels.cuda.layers.passes import Passes

    found, begin = [], Passes.__init__
    monkeypatch.setattr(
        Passes, "__init__", lambda self, *given, **more: (begin(self, *given, **more), found.append(self))[0]
    )
    with using(BY_LAYERS):
        yield found
    assert found


def make(sizes=SIZES, **settings):
    return MLP(sizes, **{"hidden_activation": "tanh"} | SETTINGS | settings)


def make_nets(n, sizes=SIZES, **settings):
    return Population(sizes, n, **{"hidden_activation": "tanh"} | SETTINGS | settings)


def samples(rng, n, sizes=SIZES):
    return rng.normal(size=(n, sizes[0])), rng.normal(size=(n, sizes[-1]))


def error(found, expected, scale):
    return np.linalg.norm(found - expected) / np.linalg.norm(scale)


def assert_rounded(found, references, start=0.0):
    """Assert that found is close to the rounded reference, and not to the exact one."""
    close, exact = (reference - start for reference in references)
    assert error(found - start, close, exact) < CLOSE
    assert error(found - start, exact, exact) > FAR, "nothing is rounded"


def references_of(net, params):
    """Return the rounded reference and the exact one."""
    return [reference_of(net.network, params, kind=kind) for kind in (RoundedMLP, ReferenceMLP)]


# ---- formulas


@pytest.mark.thinned(12)
@pytest.mark.parametrize("hidden", list(zip(HIDDEN_NAMES, HIDDEN_NAMES[3:] + HIDDEN_NAMES[:3], strict=True)), ids=str)
def test_every_hidden_activation_matches_the_rounded_reference(hidden, rng):
    net, (X, y) = make(hidden_activation=hidden, l2=0.01), samples(rng, 70)
    found, gradient = net.loss_and_gradient(X, y)
    (loss, close), (_, exact) = (reference.loss_and_gradient(X, y) for reference in references_of(net, net.params))
    assert found == pytest.approx(loss, rel=CLOSE)
    assert_rounded(gradient, (close, exact))


@pytest.mark.thinned(6)
@pytest.mark.parametrize("loss, output", {loss: (loss, output) for loss, output in PAIRS}.values())
def test_every_loss_matches_the_rounded_reference(loss, output, rng):
    net = make(loss=loss, output_activation=output)
    X, y, weight = rng.normal(size=(40, 5)), targets_for(loss, output, 40, 3, rng), rng.random(40) + 0.1
    found, gradient = net.loss_and_gradient(X, y, sample_weight=weight)
    expected, exact = references_of(net, net.params)
    expected_loss, close = expected.loss_and_gradient(X, y, weight / weight.mean())
    assert found == pytest.approx(expected_loss, rel=CLOSE)
    assert error(gradient, close, exact.loss_and_gradient(X, y, weight / weight.mean())[1]) < CLOSE


@pytest.mark.thinned(4)
@pytest.mark.parametrize("sizes", [(3, 2), (1, 1, 1), (129, 7, 257, 10), (16, 256, 8), (7, 129, 129, 129, 2)])
def test_odd_and_wide_layers_match_the_rounded_reference(sizes, rng):
    net, (X, y) = make(sizes), samples(rng, 33, sizes)
    _, gradient = net.loss_and_gradient(X, y)
    close, exact = (reference.loss_and_gradient(X, y)[1] for reference in references_of(net, net.params))
    assert error(gradient, close, exact) < CLOSE


# ---- training


@pytest.mark.parametrize("rates", [(), (0.25, 0.5)], ids=["", "dropout"])
@pytest.mark.parametrize("hidden", ["tanh", "gelu"])
def test_training_matches_the_rounded_reference(hidden, rates, rng):
    """Shuffled batches, the last one short; f' needs outputs or pre-activations, which dropout stores apart."""
    net, (X, y) = make(hidden_activation=hidden, dropout=rates or 0.0), samples(rng, 50)
    start, (reference, exact) = net.params.copy(), references_of(net, net.params)
    history = net.fit(X, y, epochs=2, batch_size=20, optimizer=SGD(0.02), verbose=0)
    fit = {"epochs": 2, "batch_size": 20, "seed": fit_seed(0), "shuffle": True, "rates": rates}
    losses = follow_sgd(reference, X, y, 0.02, **fit)
    follow_sgd(exact, X, y, 0.02, **fit)
    np.testing.assert_allclose(history.loss, losses, rtol=CLOSE)
    assert_rounded(net.params, (reference.params, exact.params), start)


class Driven(RoundedMLP):
    """The reference's optimiser with gradients of the kernels, which other tests compare with the rounded reference."""

    def loss_and_gradient(self, X, y, weight=None, masks=None):
        self.net.params[:] = self.params
        loss, gradient = self.net.loss_and_gradient(X, y)
        return loss, gradient.astype(np.float64)


@pytest.mark.thinned(10)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_update_rule_has_float32_state_and_weights(name, rng):
    """With clipping, a penalty and a schedule: only products round, and master weights keep small steps."""
    optimizer = dataclasses.replace(OPTIMIZERS[name], clip_norm=0.4)
    (net, other), (X, y) = (make((5, 20, 3), l2=0.05) for _ in range(2)), samples(rng, 70, (5, 20, 3))
    start, schedule = net.params.copy(), Cosine(0.1)
    reference = reference_of(net.network, start, kind=Driven)
    reference.net = other
    losses = follow(reference, X, y, optimizer, epochs=5, factors=schedule.factors)
    history = net.fit(X, y, epochs=5, optimizer=optimizer, schedule=schedule, verbose=0)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-3)
    assert error(net.params, reference.params, reference.params - start) < 2e-3


def test_steps_smaller_than_a_bfloat16_are_not_lost(rng):
    """Each step is far below the last place of a weight in bfloat16."""
    net, (X, y) = make((5, 20, 3)), samples(rng, 30, (5, 20, 3))
    start = net.params.copy()
    net.fit(X, y, epochs=100, optimizer=SGD(1e-5), verbose=0)
    expected = -1e-3 * references_of(net, start)[0].loss_and_gradient(X, y)[1]
    assert error(net.params - start, expected, expected) < 0.05
    weights = np.abs(start) > 0.1
    assert (rounded(net.params) == rounded(start))[weights].mean() > 0.8


@pytest.mark.full
@pytest.mark.parametrize("optimizer", [Adam(0.01), Adam(0.01, clip_norm=0.1)], ids=["adam", "clipped"])
def test_replayed_steps_and_many_calls_change_no_bit(optimizer, monkeypatch, rng):
    """The copy of the weights that an update writes is the one that a call begins with."""
    found, (X, y) = [], samples(rng, 150)
    for wanted, first_call in (("0", 1e12), ("1", 1e12), ("1", 1)):
        monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", wanted)
        monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_CALL", first_call)
        monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "SHORT_CALL", 0.0)
        net = make(dropout=(0.2, 0.0))
        history = net.fit(
            X, y, epochs=4, batch_size=16, optimizer=optimizer, validation_data=(X[:40], y[:40]), verbose=0
        )
        found.append([net.params.tobytes(), history.loss.tobytes(), history.validation_loss.tobytes()])
    assert found[0] == found[1] == found[2]


@pytest.mark.full
@pytest.mark.parametrize("shuffle", [True, False])
def test_streamed_samples_give_the_same_bits(monkeypatch, shuffle, rng):
    from fastmlp.kernels.cuda.runtime import device_memory

    (X, y), found, fits = samples(rng, 137), [], device_memory.fits
    for fits_there in (fits, lambda data: device_memory.is_on_device(data.X)):
        monkeypatch.setattr(device_memory, "fits", fits_there)
        net = make()
        net.fit(X, y, epochs=2, batch_size=32, shuffle=shuffle, optimizer=SGD(0.1), verbose=0)
        found.append([net.params.tobytes(), net.predict(X).tobytes()])
    assert found[0] == found[1]


@pytest.mark.full
def test_step_has_as_many_launches_as_in_float32(emulated_cuda, monkeypatch, rng):
    """Inputs are rounded where a batch is gathered, and weights where they are updated."""
    monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", "0")
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_CALL", 1e12)
    (X, y), counts = samples(rng, 40), []
    for precision in ("exact", "bfloat16"):
        net = make(precision=precision)
        with emulated_cuda.counting() as n:
            net.fit(X, y, epochs=3, batch_size=10, verbose=0)
        counts.append(n)
    assert counts[1]["launches"] == counts[0]["launches"] + counts[1]["launches of round_weights"]
    assert counts[1]["launches of round_weights"] == 1
    assert counts[1]["products"] == counts[0]["products"]


# ---- populations


@pytest.mark.parametrize("rates", [0.0, [0.0, 0.3, 0.5]], ids=["", "dropout"])
@pytest.mark.parametrize("hidden", ["relu", "silu"])
def test_nets_of_a_population_match_the_rounded_reference(hidden, rates, rng):
    pop, (X, y) = make_nets(3, hidden_activation=hidden, dropout=rates), samples(rng, 50)
    starts = pop.params.copy()
    result = pop.fit(X, y, epochs=2, batch_size=20, optimizer=SGD(0.02), verbose=0)
    for k, rate in enumerate(np.broadcast_to(rates, 3)):
        reference, exact = references_of(pop, starts[k])
        fit = {"epochs": 2, "batch_size": 20, "seed": fit_seed(pop.seeds[k]), "shuffle": True}
        fit["rates"] = (rate, rate) if rate else ()
        losses = follow_sgd(reference, X, y, 0.02, **fit)
        follow_sgd(exact, X, y, 0.02, **fit)
        assert result.loss[k] == pytest.approx(losses[-1], rel=CLOSE)
        assert_rounded(pop.params[k], (reference.params, exact.params), starts[k])


@pytest.mark.full
def test_full_batches_and_inputs_of_each_net_match_the_rounded_reference(rng):
    own = rng.normal(size=(2, 30, 5)), rng.normal(size=(2, 30, 3))
    for X, y in (own, (own[0][0], own[1][0])):
        pop = make_nets(2, (5, 40, 3))
        starts = pop.params.copy()
        pop.fit(X, y, epochs=3, optimizer=SGD(0.02), verbose=0)
        for k in range(2):
            reference, of_net = references_of(pop, starts[k])[0], (X[k], y[k]) if X.ndim == 3 else (X, y)
            follow_sgd(reference, *of_net, 0.02, epochs=3)
            assert error(pop.params[k], reference.params, reference.params - starts[k]) < CLOSE


@pytest.mark.full
def test_nets_that_get_another_slot_take_their_weights_along(monkeypatch, rng):
    """With graphs and without, the copies of the weights are those of the nets in the slots."""
    from fastmlp.kernels.cuda.population.batched import BatchedWindow

    moves, compact = [], BatchedWindow._compact_slots

    def checked(window):
        compact(window)
        moves.append(bool((window._owners.get() != np.arange(window.n_nets)).any()))
        operands, copies, params = window._passes.operands, window._passes.W.get(), window._params.get()
        for k, (first, shape) in enumerate(zip(layout.weight_offsets, layout.shapes, strict=True)):
            start, size, n = operands.weights_at[k], shape[0] * shape[1], window.n_active
            np.testing.assert_array_equal(
                copies[:n, start : start + size], to_bfloat16(params[:n, first : first + size])
            )

    monkeypatch.setattr(BatchedWindow, "_compact_slots", checked)
    X, y = samples(rng, 40, (5, 20, 3))
    fit = {"epochs": 12, "batch_size": 8, "validation_data": (X[:9], y[:9]), "early_stopping": EarlyStopping(2)}
    rates, found = np.array([1.0, 0.001, 0.5, 0.01, 0.1]), []
    for wanted in ("0", "1"):
        monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", wanted)
        pop = make_nets(5, (5, 20, 3))
        layout = pop.network.layout
        result = pop.fit(X, y, optimizer=Adam(rates), verbose=0, **fit)
        found.append((pop.params.tobytes(), result.loss.tobytes()))
    assert any(moves)
    assert found[0] == found[1]


# ---- prediction


@pytest.mark.full
def test_predictions_and_losses_match_the_rounded_reference(monkeypatch, rng):
    """In parts of rows, before and after a fit, whose updates write weights that a later prediction must not read."""
    monkeypatch.setattr("fastmlp.execution.thresholds.DEVICE_EVALUATION_ROWS", 100)
    X, y = samples(rng, 230)
    for net in (make(hidden_activation="silu"), make_nets(2, LARGE, hidden_activation="silu")):
        for _ in range(2):
            flat, outputs = net.params.reshape(-1, net.network.layout.n_params), net.predict(X).reshape(-1, 230, 3)
            losses = np.atleast_1d(net.evaluate(X, y)["loss"])
            for k, params in enumerate(flat):
                reference, exact = references_of(net, params)
                expected = reference.predict(X)
                assert error(outputs[k], expected, expected) < CLOSE
                assert error(outputs[k], exact.predict(X), expected) > FAR, "nothing is rounded"
                assert losses[k] == pytest.approx(reference.loss_and_gradient(X, y)[0], rel=CLOSE)
            net.fit(X, y, epochs=1, batch_size=50, optimizer=SGD(0.05), verbose=0)


# ---- memory


@pytest.mark.full
def test_operands_have_two_bytes(layers, rng):
    X, y = samples(rng, 40)
    make(dropout=(0.2, 0.0)).fit(X, y, epochs=1, batch_size=8, verbose=0)
    make_nets(3, dropout=0.2).fit(X, y, epochs=1, batch_size=8, verbose=0)
    assert len(layers) == 2
    for work in layers:
        hidden = [*work.a[:-1], *work.z[:-1], *work.delta]
        assert {array.dtype for array in hidden} == {np.dtype(np.uint16)}
        assert {array.dtype for array in (work.a[-1], work.z[-1], work.mask[0], work.bias_parts)} == {
            np.dtype(np.float32)
        }
        assert sum(array.nbytes for array in work.delta) == len(work.W) * 8 * sum(SIZES[1:]) * 2
        assert [start % 8 for start in work.operands.weights_at] == [0, 0, 0]


@pytest.mark.full
def test_predictions_allocate_room_for_rounded_inputs_only(monkeypatch, rng):
    from fastmlp.kernels.cuda.single_net.batches import EpochBatches

    made, begin = [], EpochBatches.__init__
    monkeypatch.setattr(EpochBatches, "__init__", lambda self, passes: (begin(self, passes), made.append(self))[0])
    make().predict(samples(rng, 20)[0])
    [batches] = made
    assert batches._x.shape == (1, 20, SIZES[0])
    assert batches._x.dtype == np.uint16
    assert batches._y is batches._weight is None


@pytest.mark.full
def test_copied_weights_are_those_of_the_last_update(layers, rng):
    net, (X, y) = make(), samples(rng, 40)
    net.fit(X, y, epochs=2, batch_size=8, verbose=0)
    [work] = layers
    for k, W in enumerate(net.weights):
        np.testing.assert_array_equal(from_bfloat16(work._W[k].get()[0]), rounded(W))


@pytest.mark.full
def test_float64_is_not_rounded(layers, rng):
    net, (X, y) = make(dtype="float64"), samples(rng, 40)
    reference = references_of(net, net.params)[1]
    net.fit(X, y, epochs=2, optimizer=SGD(0.1), verbose=0)
    follow_sgd(reference, X, y, 0.1, epochs=2)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-10, atol=1e-12)
    assert layers[0].W is None


def test_gpus_without_bfloat16_are_refused(emulated_cuda, layers, rng):
    emulated_cuda.settings.compute_capability = "75"
    X, y = samples(rng, 20)
    for net in (make(), make_nets(2)):
        with pytest.raises(ValueError, match=r"'bfloat16' needs a GPU of compute capability 8.0 or higher, .* has 7.5"):
            net.fit(X, y, epochs=1, verbose=0)
    make(precision="exact").fit(X, y, epochs=1, verbose=0)
    make(dtype="float64").fit(X, y, epochs=1, verbose=0)
