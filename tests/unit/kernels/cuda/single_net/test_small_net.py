"""Training of one net on CUDA, compared with the reference, in the kernel families small_net (in shared and in global
memory) and layerwise.
"""

import dataclasses

import numpy as np
import pytest
from cuda_cases import (
    DTYPES,
    HIDDEN_NAMES,
    OPTIMIZERS,
    Layered,
    Place,
    fit_seed,
    follow,
    follow_sgd,
    masks_of,
    own,
    reference_of,
)
from net_cases import PAIRS, assert_same_gradient, net_and_reference, targets_for
from reference_net import loss_per_sample
from reference_random import epoch_order
from tolerances import TOLERANCES

import fastmlp.fit.hooks.tuned_calls
from fastmlp import MLP, SGD, Adam, Quickprop
from fastmlp.devices import resolve
from fastmlp.execution.net_description import describe_net
from fastmlp.execution.plan import Plan
from fastmlp.kernels.formulas.losses import CONSTANTS
from fastmlp.kernels.formulas.update_rules import SGD as SGD_RULE
from fastmlp.kernels.structs import METRIC_NONE, STEPS_DONE, Samples, TrainConfig
from fastmlp.schedules import Cosine, FlatCosine

pytestmark = pytest.mark.thinned(16)

SIZES, HIDDEN = (3, 7, 5, 2), ("tanh", "sigmoid")


@pytest.fixture(params=("block", "workspace", "layers"))
def place(cuda, request, monkeypatch):
    """Assert that every net of the test trains in this kernel."""
    place = Place(request.param, monkeypatch)
    yield place
    place.check()


@pytest.fixture(params=("block", "layers"))
def either(cuda, request, monkeypatch):
    """Both kernel families; small_net's code is the same for shared and global memory."""
    place = Place(request.param, monkeypatch)
    yield place
    place.check()


def make(sizes=SIZES, hidden=HIDDEN, **settings):
    return MLP(sizes, **{"hidden_activation": hidden, "device": "cuda", "random_state": 0} | settings)


def samples(n, n_inputs=3, n_outputs=2):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, n_inputs))
    return X, np.tanh(X @ rng.normal(size=(n_inputs, n_outputs))), rng.random(n) + 0.1


def assert_close(net, history, reference, losses, start):
    tolerance = TOLERANCES["training", net.dtype.name]
    assert np.abs(reference.params - start).max() > 100 * tolerance, "nothing was learned, so nothing is compared"
    np.testing.assert_allclose(net.params, reference.params, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(history.loss, losses, rtol=tolerance, atol=tolerance)


@pytest.mark.thinned(44)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_match_the_reference(place, optimizer, dtype):
    """With clipping, decay, penalty and schedule, on a full batch and on batches that do not divide the data."""
    optimizer = own(optimizer, clip_norm=0.4, weight_decay=optimizer.weight_decay or 0.1)
    for n, epochs in ((16, 6), (30, 2)):
        X, y, weight = samples(n)
        net = make(dtype=dtype, l2=0.05)
        start, schedule = net.params.copy(), Cosine(0.1)
        size = 13 if n == 30 else None
        reference = reference_of(net.network, start)
        losses = follow(
            reference,
            X,
            y,
            optimizer,
            epochs=epochs,
            batch_size=size,
            factors=schedule.factors,
            weight=weight / weight.mean(),
        )
        history = net.fit(
            X,
            y,
            epochs=epochs,
            batch_size=size,
            optimizer=optimizer,
            schedule=schedule,
            sample_weight=weight,
            shuffle=False,
            verbose=0,
        )
        assert_close(net, history, reference, losses, start)


def test_layer_factors_match_the_reference(place):
    """Fahlman's rule: gradients are divided by the number of inputs of the unit."""
    X, y, _ = samples(16)
    net, optimizer = make(dtype="float64", l2=0.05), Quickprop(0.5, by_fan_in=True, bias_input=0.5)
    reference = Layered(SIZES, (*HIDDEN, "identity"), "squared_error", net.params, l2=0.05)
    reference.factors = [(1 / (fan_in + 1), 0.25 / (fan_in + 1)) for fan_in in SIZES[:-1]]
    start = net.params.copy()
    losses = follow(reference, X, y, optimizer, epochs=6)
    assert_close(net, net.fit(X, y, epochs=6, optimizer=optimizer, verbose=0), reference, losses, start)


@pytest.mark.parametrize("name", ("adamw", "momentum", "quickprop"))
def test_decay_schedules_and_rate_factors_match_the_reference(place, name, monkeypatch):
    """Also in calls of a few steps, each of which has its part of the schedule's factors."""
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_CALL", 1)
    X, y, _ = samples(16)
    net = make(dtype="float64")
    optimizer = dataclasses.replace(
        OPTIMIZERS[name],
        weight_decay=0.4,
        weight_decay_schedule=FlatCosine(0.2),
        learning_rate_factors={"biases": 0.25, (0, "weights"): 2.0, -1: 0.5},
    )
    reference, start = reference_of(net.network, net.params), net.params.copy()
    rates = [(2.0, 0.25), *[(1.0, 0.25)] * (len(SIZES) - 3), (0.5, 0.125)]
    losses = follow(reference, X, y, optimizer, epochs=4, batch_size=6, rate_factors=rates)
    history = net.fit(X, y, epochs=4, batch_size=6, shuffle=False, optimizer=optimizer, verbose=0)
    assert_close(net, history, reference, losses, start)


def test_length_of_calls_changes_no_bit(place, monkeypatch):
    """A step per launch, or all steps in one: optimiser state, schedule and corrections are carried over."""
    X, y, _ = samples(30)
    nets = []
    for first_call in (1, 1e12):
        monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_CALL", first_call)
        nets.append(make(dtype="float64"))
        nets[-1].fit(X, y, epochs=7, batch_size=13, optimizer="adam", schedule="cosine", verbose=0)
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


@pytest.mark.full
def test_calls_shorter_than_an_epoch_match_the_reference(place, monkeypatch):
    X, y, _ = samples(30)
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_CALL", 1)
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "SHORT_CALL", 0.0)
    net = make(dtype="float64")
    reference = reference_of(net.network, net.params)
    start = net.params.copy()
    history = net.fit(X, y, epochs=3, batch_size=7, optimizer=OPTIMIZERS["rprop"], shuffle=False, verbose=0)
    losses = follow(reference, X, y, OPTIMIZERS["rprop"], epochs=3, batch_size=7)
    assert_close(net, history, reference, losses, start)


# ---- losses and activations


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", [HIDDEN_NAMES[::2], HIDDEN_NAMES[1::2]], ids=["even", "odd"])
def test_every_hidden_activation_matches_the_reference(place, hidden, dtype, rng):
    """One layer per activation."""
    sizes = (5, *(6 + k % 4 for k in range(len(hidden))), 3)
    net, reference = net_and_reference(sizes, hidden, "squared_error", "identity", dtype, device="cuda")
    for W, name in zip(net.weights, (*hidden, "identity"), strict=True):
        W *= (6.0 if "sigmoid" in name else 2.0) / np.linalg.norm(W, 2)  # neither vanishes nor explodes over layers
    reference.params[:] = net.params
    X, y = rng.normal(size=(9, 5)), rng.normal(size=(9, 3))
    _, gradient = reference.loss_and_gradient(X, y)
    for W, b in reference.layers(gradient):
        assert min(np.abs(W).max(), np.abs(b).max()) > 1e-3, "every layer has a gradient"
    assert_same_gradient(net, reference, X, y, dtype)
    np.testing.assert_allclose(
        net.predict(X), reference.predict(X), rtol=TOLERANCES["value", dtype], atol=TOLERANCES["value", dtype]
    )


@pytest.mark.thinned(56)
@pytest.mark.parametrize("loss, output", PAIRS)
def test_every_loss_and_output_matches_the_reference(either, loss, output, rng):
    constants = dict.fromkeys(CONSTANTS, 0.3)
    net, reference = net_and_reference((4, 6, 3), "tanh", loss, output, "float64", device="cuda", **constants)
    X, y = rng.normal(size=(21, 4)), targets_for(loss, output, 21, 3, rng)
    weight = rng.random(21) * (rng.random(21) > 0.3)
    assert_same_gradient(net, reference, X, y, "float64", sample_weight=weight)


@pytest.mark.parametrize("sizes", [(1, 1), (3, 2), (70, 33, 41, 17), (2, 1, 1, 5)])
def test_gradients_of_extreme_shapes_match_the_reference(place, sizes, rng):
    """No hidden layer, one unit, layers wider than a warp and than a tile; a last tile that is not full."""
    net, reference = net_and_reference(sizes, "tanh", "squared_error", "identity", "float64", device="cuda", l2=0.1)
    for n in (1, 67, 131):
        assert_same_gradient(net, reference, rng.normal(size=(n, sizes[0])), rng.normal(size=(n, sizes[-1])), "float64")


@pytest.mark.full
def test_gradient_in_parts_matches_the_reference(place, rng, monkeypatch):
    """More rows than one part holds: gradients of all parts are added up."""
    monkeypatch.setattr("fastmlp.nets.objective.ROWS", 16)
    net, reference = net_and_reference(SIZES, HIDDEN, "squared_error", "identity", "float64", device="cuda", l2=0.2)
    assert_same_gradient(net, reference, rng.normal(size=(37, 3)), rng.normal(size=(37, 2)), "float64")


@pytest.mark.full
def test_gradient_of_a_net_with_dropout_drops_nothing(place, rng):
    """Dropout is for training only, not for `loss_and_gradient`."""
    net, reference = net_and_reference(
        SIZES, HIDDEN, "squared_error", "identity", "float64", device="cuda", dropout=0.5
    )
    X, y = rng.normal(size=(13, 3)), rng.normal(size=(13, 2))
    assert_same_gradient(net, reference, X, y, "float64")
    np.testing.assert_allclose(net.predict(X), reference.predict(X), rtol=1e-12)


# ---- what is random


@pytest.mark.parametrize("hidden", [("tanh", "relu", "gelu"), ("silu", "sigmoid", "elu")])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_training_matches_the_reference_with_the_same_masks(place, hidden, dtype, rng):
    """The reference uses the masks of Philox; a batch exceeds a tile, and the last batch is smaller."""
    sizes, rates = (5, 7, 19, 6, 2), (0.5, 0.0, 0.2)
    net = make(sizes, hidden, dropout=rates, dtype=dtype, l2=0.01)
    reference = reference_of(net.network, net.params)
    start = net.params.copy()
    X, y, weight = rng.normal(size=(157, 5)), rng.normal(size=(157, 2)), rng.random(157) + 0.1
    history = net.fit(
        X, y, epochs=2, batch_size=90, optimizer=SGD(0.05), shuffle=False, sample_weight=weight, verbose=0
    )
    losses = follow_sgd(
        reference, X, y, 0.05, epochs=2, batch_size=90, seed=fit_seed(0), rates=rates, weight=weight / weight.mean()
    )
    assert_close(net, history, reference, losses, start)


@pytest.mark.full
def test_scheduled_dropout_matches_the_reference_with_the_same_masks(place, rng, monkeypatch):
    """Also in calls of a few steps, each of which has its part of the schedule's factors."""
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_CALL", 1)
    sizes, rates, schedule = (5, 7, 9, 6, 2), (0.5, 0.0, 0.4), FlatCosine(0.2)
    net = make(sizes, ("tanh", "relu", "silu"), dropout=rates, dtype="float64")
    reference, start = reference_of(net.network, net.params), net.params.copy()
    X, y = rng.normal(size=(50, 5)), rng.normal(size=(50, 2))
    fit = {"epochs": 4, "batch_size": 17}
    history = net.fit(X, y, **fit, optimizer=SGD(0.05), dropout_schedule=schedule, shuffle=False, verbose=0)
    losses = follow_sgd(reference, X, y, 0.05, **fit, seed=fit_seed(0), rates=rates, dropout_factors=schedule.factors)
    assert_close(net, history, reference, losses, start)


@pytest.mark.full
@pytest.mark.parametrize("dtype", DTYPES)
def test_masks_equal_the_reference_bit_for_bit(cuda, monkeypatch, dtype, rng):
    """The block's memory holds masks of the last step; 13 x 7 and 13 x 5 elements are no multiples of four."""
    from fastmlp.kernels.cuda.population import launch

    Place("workspace", monkeypatch)
    workspaces, (X, y, _) = [], samples(39)
    workspace_for = launch.workspace_for
    monkeypatch.setattr(
        launch, "workspace_for", lambda *given: workspaces.append(workspace_for(*given)) or workspaces[-1]
    )
    net = make(dropout=(0.5, 0.3), dtype=dtype)
    net.fit(X, y, epochs=2, batch_size=13, optimizer=SGD(0.1), verbose=0)
    n_units, pitch = sum(SIZES), launch.pitch_of(16, np.dtype(dtype).itemsize)
    at = 3 * n_units * pitch  # behind activations, z and deltas: see include/block_memory.cuh
    masks = workspaces[-1].get()[at : at + n_units * pitch].reshape(n_units, pitch)[SIZES[0] :, :13]
    for expected in masks_of(SIZES, (0.5, 0.3), 13, fit_seed(0), 5):
        width = expected.shape[1]
        np.testing.assert_array_equal(masks[:width].T, expected.astype(dtype))
        masks = masks[width:]


def test_shuffled_training_matches_the_reference_in_the_same_order(place, rng):
    """More samples than random words drawn at a time; the second fit has other orders."""
    net = make(dtype="float64")
    X, y, weight = samples(300)
    reference = reference_of(net.network, net.params)
    for fit in range(2):
        start = reference.params.copy()
        losses = follow_sgd(
            reference,
            X,
            y,
            0.2,
            epochs=3,
            batch_size=77,
            seed=fit_seed(0, fit),
            shuffle=True,
            weight=weight / weight.mean(),
        )
        history = net.fit(X, y, epochs=3, batch_size=77, optimizer=SGD(0.2), sample_weight=weight, verbose=0)
        assert_close(net, history, reference, losses, start)


def test_batches_and_dropout_together_match_the_reference(place, rng):
    net = make(dropout=0.3, dtype="float64")
    X, y, _ = samples(30)
    reference = reference_of(net.network, net.params)
    start = net.params.copy()
    history = net.fit(X, y, epochs=3, batch_size=13, optimizer=SGD(0.2), verbose=0)
    losses = follow_sgd(reference, X, y, 0.2, epochs=3, batch_size=13, seed=fit_seed(0), shuffle=True, rates=(0.3, 0.3))
    assert_close(net, history, reference, losses, start)


def test_order_equals_the_reference_bit_for_bit(cuda):
    """The device array after an epoch holds the order of that epoch."""
    from fastmlp.kernels.cuda.single_net import small_net

    network, n = make().network, 600
    work = small_net.SmallNetWorkspace(describe_net(network), 64, n, True, np.dtype(np.float32))
    X, y, _ = samples(n)
    data = Samples(n, np.float32(X).ravel(), np.float32(y).ravel(), False, np.empty(0, np.float32), True, METRIC_NONE)
    n_batches, seed = -(-n // 64), 2**61 + 5
    plan = Plan.for_training(network, resolve("cuda"), np.dtype(np.float32), n, 64, True)
    state = plan.make_state(network.layout.padded(np.float32), np.zeros(0, np.float32), 9)
    for epoch in (0, 7):
        config = TrainConfig(64, True, seed, SGD_RULE, SGD(0.1).hyper, np.ones(n_batches), False, np.zeros(0))
        work.train(plan.place(data), config, state, epoch * n_batches, n_batches)
        np.testing.assert_array_equal(work._order.get(), epoch_order(n, seed, epoch))
        assert state.scalars[0, STEPS_DONE] == (epoch + 1) * n_batches


# ---- use


@pytest.mark.parametrize(
    "loss, k, dtype",
    [
        ("binary_cross_entropy", 1, "float32"),
        ("binary_cross_entropy", 3, "float64"),
        ("softmax_cross_entropy", 3, "float32"),
    ],
)
def test_predict_and_evaluate_match_the_reference(either, loss, k, dtype, rng):
    """Outputs, losses and accuracy, by threshold and by argmax, with weights, over several tiles and blocks."""
    net, reference = net_and_reference((4, 6, k), "tanh", loss, None, dtype, device="cuda")
    n = 4500 if k == 1 else 131
    X, weight = rng.normal(size=(n, 4)), rng.random(n) * (rng.random(n) > 0.2)
    y = targets_for(loss, None, n, k, rng)
    outputs = reference.predict(X)
    tolerance = TOLERANCES["value", dtype]
    np.testing.assert_allclose(net.predict(X), outputs, rtol=tolerance, atol=tolerance)
    if loss == "softmax_cross_entropy":
        right = (outputs.argmax(axis=1) == y.argmax(axis=1)).astype(float)
        np.testing.assert_array_equal(net.predict_classes(X), outputs.argmax(axis=1))
    else:
        right = ((outputs > 0.5) == (y > 0.5)).mean(axis=1)
    for w in (None, weight):
        shares = np.ones(n) if w is None else w / w.mean()
        figures = net.evaluate(X, y, sample_weight=w)
        zs, layers = reference.forward(X)
        expected = np.mean(shares * loss_per_sample(loss, zs[-1], layers[-1], y))
        assert figures["loss"] == pytest.approx(expected, rel=10 * tolerance)
        assert figures["accuracy"] == pytest.approx(np.mean(shares * right), rel=1e-5)
    history = net.fit(X, y, epochs=1, batch_size=None, optimizer=SGD(1e-30), sample_weight=weight, verbose=0)
    assert history.accuracy == pytest.approx([figures["accuracy"]], rel=1e-5)
    assert history.loss == pytest.approx([figures["loss"]], rel=10 * tolerance)


def test_softmax_of_large_logits_matches_the_reference(place):
    """Logits differ by 500: no overflow, and a finite loss of a class of tiny probability."""
    net = make((3, 3), (), loss="softmax_cross_entropy", dtype="float64")
    net.params[:] = 0.0
    net.weights[0][:] = 500 * np.eye(3)
    reference = reference_of(net.network, net.params)
    X, y = np.array([[1.0, 0.0, -1.0], [-2.0, 1.0, 1.0]]), np.array([0, 0])
    np.testing.assert_allclose(net.predict(X), reference.predict(X), rtol=1e-12, atol=1e-300)
    assert_same_gradient(net, reference, X, np.eye(3)[y], "float64")


# ---- memory of a block


@pytest.mark.full
def test_static_shared_memory_counts_towards_the_limit(emulated_cuda, monkeypatch):
    """A net just below the default limit of shared memory: with static shared memory it exceeds the limit."""
    from fastmlp.kernels.cuda.build.compiled_module import DEFAULT_SHARED, MOST_DECLARED, Kernel

    asked, launch = [], Kernel.__call__
    monkeypatch.setattr(
        Kernel,
        "__call__",
        lambda kernel, *given, shared=0: (asked.append(shared), launch(kernel, *given, shared=shared)),
    )
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(128, 60)), rng.integers(10, size=128)
    nets = [
        MLP((60, 3, 10), hidden_activation="tanh", loss="softmax_cross_entropy", device=device, random_state=0)
        for device in ("cuda", "cpu")
    ]
    for net in nets:
        net.fit(X, y, epochs=2, batch_size=64, optimizer="adam", verbose=0)
    assert any(DEFAULT_SHARED - MOST_DECLARED < size <= DEFAULT_SHARED for size in asked)
    np.testing.assert_allclose(nets[0].params, nets[1].params, rtol=1e-4, atol=1e-5)


# ---- order of threads


@pytest.mark.parametrize("settings", [{"dropout": 0.3}, {"loss": "softmax_cross_entropy"}], ids=["dropout", "softmax"])
def test_any_order_of_threads_gives_the_same_bits(place, settings, emulated_cuda, rng):
    X, y = rng.normal(size=(91, 3)), rng.integers(0, 2, size=91)
    found = []
    for order in range(4):
        emulated_cuda.settings.order = order
        net = make(**settings)
        optimizer = Adam(0.05, clip_norm=0.1)
        history = net.fit(X, np.eye(2)[y], epochs=2, batch_size=50, optimizer=optimizer, verbose=0)
        figures = net.evaluate(X, np.eye(2)[y])
        found.append((net.params.tobytes(), history.loss.tobytes(), net.predict(X).tobytes(), str(figures)))
    assert len(set(found)) == 1


@pytest.mark.full
@pytest.mark.parametrize("capability", ["75", "90"])
def test_nets_in_a_block_predict_in_float32_too(emulated_cuda, capability):
    """With a permission to round to bfloat16, and on GPUs that lack it; a prediction is not made by the block."""
    emulated_cuda.settings.compute_capability = capability
    X, y, _ = samples(40, 10, 10)
    nets = [MLP((10, 200, 10), device="cuda", precision=p, random_state=0) for p in ("exact", "bfloat16")]
    losses = [net.fit(X, y, epochs=1, batch_size=8, validation_data=(X, y), verbose=0).validation_loss for net in nets]
    np.testing.assert_array_equal(nets[0].params, nets[1].params)
    np.testing.assert_array_equal(*losses)
    np.testing.assert_array_equal(*[net.predict(X) for net in nets])
