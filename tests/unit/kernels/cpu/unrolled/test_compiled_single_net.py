"""Unrolled steps of a tiny net give the same bits as the loops.

What the loops compute is compared with float64 NumPy in tests/unit/fit/test_fit_loop.py and
tests/unit/optimizers/test_optimizers.py; the first test here repeats that for unrolled code.
"""

import numpy as np
import pytest
from reference_net import ReferenceMLP
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp.execution import thresholds
from fastmlp.kernels.cpu.unrolled import compiled_single_net
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.optimizers import OPTIMIZERS

HIDDEN = [row.name for row in ACTIVATIONS if row.name not in ("softmax", "exponential")]
TARGETS = XOR_Y[:, None]
SIGMOIDS = {"loss": "squared_error", "output": "sigmoid", "hidden_activation": "sigmoid", "optimizer": fastmlp.SGD(0.5)}


@pytest.fixture
def unrolled_calls(monkeypatch):
    """Use unrolled code from the first step on; the list of addresses that were called."""
    calls, ask = [], compiled_single_net.address_for

    def recorded(*arguments):
        calls.append(ask(*arguments))
        return calls[-1]

    monkeypatch.setattr(thresholds, "COMPILE_UNROLLED_AFTER", 0)
    monkeypatch.setattr(compiled_single_net, "address_for", recorded)
    return calls


def fit(sizes=(2, 2, 1), X=XOR_X, y=TARGETS, *, optimizer="sgd", dtype="float32", epochs=40, output=None, **settings):
    fits = {name: settings.pop(name) for name in ("batch_size", "shuffle", "sample_weight") if name in settings}
    net = fastmlp.MLP(sizes, output_activation=output, random_state=3, dtype=dtype, **settings)
    history = net.fit(X, y, epochs=epochs, optimizer=optimizer, **{"batch_size": 4, "shuffle": False, **fits})
    return net, history


def assert_equals_loops(unrolled_calls, *arguments, **settings):
    net, history = fit(*arguments, **settings)
    assert len(unrolled_calls) > 0
    assert all(unrolled_calls)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled_single_net, "address_for", lambda *_: 0)
        expected, records = fit(*arguments, **settings)
    np.testing.assert_array_equal(net.params, expected.params)
    np.testing.assert_array_equal(history.loss, records.loss)
    if records.accuracy is not None:
        np.testing.assert_array_equal(history.accuracy, records.accuracy)


@pytest.mark.thinned(2)
@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-4), ("float64", 1e-10)])
def test_unrolled_training_matches_the_reference(dtype, tolerance, unrolled_calls):
    net = fastmlp.MLP(
        (2, 3, 1),
        hidden_activation="tanh",
        output_activation="sigmoid",
        loss="squared_error",
        random_state=0,
        dtype=dtype,
    )
    reference = ReferenceMLP((2, 3, 1), ["tanh", "sigmoid"], "squared_error", np.array(net.params, float))
    history = net.fit(XOR_X, TARGETS, epochs=200, batch_size=4, shuffle=False, optimizer=fastmlp.SGD(0.5))
    for epoch in range(200):
        loss, gradient = reference.loss_and_gradient(XOR_X, TARGETS)
        assert history.loss[epoch] == pytest.approx(loss, rel=tolerance)
        reference.params -= 0.5 * gradient
    assert all(unrolled_calls)
    np.testing.assert_allclose(net.params, reference.params, rtol=tolerance, atol=tolerance)


@pytest.mark.thinned(6)
@pytest.mark.parametrize(
    "optimizer",
    [
        *(cls(weight_decay=0.0) for cls in OPTIMIZERS.values()),
        fastmlp.SGD(0.5, momentum=0.9),
        fastmlp.SGD(0.5, momentum=0.9, nesterov=True),
    ],
    ids=lambda optimizer: optimizer.rule.name,
)
def test_every_update_rule_equals_the_loops(optimizer, unrolled_calls):
    """The net has more parameters than a vector of the update."""
    assert_equals_loops(
        unrolled_calls, (2, 4, 2, 1), optimizer=optimizer, hidden_activation="tanh", loss="binary_cross_entropy"
    )


@pytest.mark.thinned(12)
@pytest.mark.parametrize("name", HIDDEN)
def test_every_activation_equals_the_loops(name, unrolled_calls):
    assert_equals_loops(
        unrolled_calls, (2, 3, 1), hidden_activation=name, dtype="float64", loss="squared_error", output="sigmoid"
    )


@pytest.mark.thinned(6)
@pytest.mark.parametrize("row", LOSSES, ids=lambda row: row.name)
def test_every_loss_equals_the_loops(row, unrolled_calls):
    output = row.outputs[0] if row.outputs else "tanh"
    y = np.concatenate([TARGETS, 1 - TARGETS], axis=1)
    assert_equals_loops(
        unrolled_calls,
        (2, 2, 2),
        y=y,
        loss=row.name,
        output=output,
        hidden_activation="tanh",
        optimizer=fastmlp.SGD(0.05),
    )


@pytest.mark.thinned(2)
@pytest.mark.parametrize("batch_size", (1, 2, 3, 4))
@pytest.mark.parametrize("shuffle", (False, True))
def test_batches_and_shuffling_equal_the_loops(batch_size, shuffle, unrolled_calls, rng, monkeypatch):
    """The last batch is short, sample weights differ, and calls end within epochs."""
    monkeypatch.setattr("fastmlp.fit.hooks.tuned_calls.FIRST_CALL", 1.0)
    X, y = rng.random((10, 2)), rng.integers(0, 2, (10, 1))
    walk = {"batch_size": batch_size, "shuffle": shuffle, "sample_weight": rng.random(10) + 0.5}
    assert_equals_loops(unrolled_calls, X=X, y=y, **walk, **SIGMOIDS)


def test_one_hot_targets_equal_the_loops(unrolled_calls):
    """One-hot targets and batches of one sample: accuracy is by the larger output."""
    one_hot = np.concatenate([1 - TARGETS, TARGETS], axis=1)
    assert_equals_loops(unrolled_calls, (2, 2, 2, 2), y=one_hot, batch_size=1, epochs=300, **SIGMOIDS)


@pytest.mark.full
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.thinned(4)
def test_softmax_equals_the_loops(batch_size, dtype, unrolled_calls, rng):
    """Three classes, a short last batch, and different sample weights."""
    X, y = rng.random((10, 2)), rng.integers(0, 3, 10)
    assert_equals_loops(
        unrolled_calls,
        (2, 3, 3),
        X=X,
        y=y,
        batch_size=batch_size,
        shuffle=True,
        sample_weight=rng.random(10) + 0.5,
        loss="softmax_cross_entropy",
        hidden_activation="relu",
        optimizer="adam",
        dtype=dtype,
    )


def test_divergence_is_detected(unrolled_calls):
    with pytest.warns(fastmlp.DivergenceWarning):
        net, history = fit(optimizer=fastmlp.SGD(1e30), loss="squared_error", output="identity", epochs=50)
    assert unrolled_calls
    assert all(unrolled_calls)
    assert np.isfinite(net.params).all()
    assert np.isfinite(history.loss).all()


@pytest.mark.parametrize(
    "why, sizes, settings",
    [
        ("too many parameters", (2, 64, 1), {}),
        ("an L2 penalty", (2, 2, 1), {"l2": 0.1}),
        ("clipping", (2, 2, 1), {"optimizer": fastmlp.SGD(0.1, clip_norm=1.0)}),
        ("weight decay", (2, 2, 1), {"optimizer": fastmlp.AdamW(0.1)}),
    ],
)
def test_nets_without_unrolled_code_use_the_loops(why, sizes, settings, unrolled_calls):
    fit(sizes, **settings)
    assert not any(unrolled_calls), why


def test_code_on_disk_is_loaded_and_other_code_is_compiled_if_asked(monkeypatch):
    """What is chosen when is in tests/unit/execution/test_unrolled_code.py. Code that another process compiles is
    looked for at intervals, and not again when it is found.
    """
    asked, seen, looked, on_disk = [], [], [], False
    address_for = compiled_single_net.address_for
    monkeypatch.setattr(compiled_single_net, "address", lambda *which: asked.append(which) or 1)
    monkeypatch.setattr(compiled_single_net, "_found", set())
    monkeypatch.setattr(compiled_single_net, "_ask_again", {})
    monkeypatch.setattr(compiled_single_net, "exists", lambda name: looked.append(name) or on_disk)
    monkeypatch.setattr(compiled_single_net, "address_for", lambda *arguments: seen.append(arguments) or 0)
    monkeypatch.setattr(thresholds, "COMPILE_UNROLLED_AFTER", 0)
    fastmlp.MLP((2, 2, 1), random_state=0).fit(XOR_X, TARGETS, epochs=1, batch_size=4)
    *settings, compiles = seen[0]
    assert compiles
    monkeypatch.setattr(compiled_single_net, "ASK_EVERY", 1e9)
    assert [address_for(*settings, False), address_for(*settings, True)] == [0, 1]
    on_disk = True
    assert address_for(*settings, False) == 0
    compiled_single_net._ask_again.clear()  # the time is over
    assert [address_for(*settings, False), address_for(*settings, False)] == [1, 1]
    assert (len(asked), len(looked)) == (3, 2)
