"""Steps of a tiny net in straight-line form: the same bits as the loops, whatever is trained, and nothing else.

What the loops compute is compared with float64 NumPy in tests/unit/training/test_fit_loop.py and
tests/unit/test_optimizers.py; the first test here repeats that for the straight-line form.
"""

import numpy as np
import pytest
from reference import ReferenceMLP

import fastmlp
from fastmlp.execution import dispatch
from fastmlp.kernels.cpu.unrolled import single_net_lookup
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.optimizers import OPTIMIZERS

HIDDEN = [row.name for row in ACTIVATIONS if row.name not in ("softmax", "exponential")]
X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
XOR = np.array([[0], [1], [1], [0]])
SIGMOIDS = {"loss": "squared_error", "output": "sigmoid", "hidden_activation": "sigmoid", "optimizer": fastmlp.SGD(0.5)}


@pytest.fixture
def used(monkeypatch):
    """The straight-line form from the first step on: a list of the addresses that were called."""
    calls, ask = [], single_net_lookup.address_for

    def noted(*arguments):
        calls.append(ask(*arguments))
        return calls[-1]

    monkeypatch.setattr(dispatch, "COMPILE_UNROLLED_AFTER", 0)
    monkeypatch.setattr(single_net_lookup, "address_for", noted)
    return calls


def fit(sizes=(2, 2, 1), X=X, y=XOR, *, optimizer="sgd", dtype="float32", epochs=40, output=None, **settings):
    fits = {name: settings.pop(name) for name in ("batch_size", "shuffle", "sample_weight") if name in settings}
    net = fastmlp.MLP(sizes, output_activation=output, random_state=3, dtype=dtype, **settings)
    history = net.fit(X, y, epochs=epochs, optimizer=optimizer, **{"batch_size": 4, "shuffle": False, **fits})
    return net, history


def assert_same(used, *arguments, **settings):
    net, history = fit(*arguments, **settings)
    assert len(used) > 0
    assert all(used)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(single_net_lookup, "address_for", lambda *_: 0)
        expected, records = fit(*arguments, **settings)
    np.testing.assert_array_equal(net.params, expected.params)
    np.testing.assert_array_equal(history.loss, records.loss)
    if records.accuracy is not None:
        np.testing.assert_array_equal(history.accuracy, records.accuracy)


@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-4), ("float64", 1e-10)])
def test_against_numpy(dtype, tolerance, used):
    net = fastmlp.MLP(
        (2, 3, 1),
        hidden_activation="tanh",
        output_activation="sigmoid",
        loss="squared_error",
        random_state=0,
        dtype=dtype,
    )
    reference = ReferenceMLP((2, 3, 1), ["tanh", "sigmoid"], "squared_error", np.array(net.params, float))
    history = net.fit(X, XOR, epochs=200, batch_size=4, shuffle=False, optimizer=fastmlp.SGD(0.5))
    for epoch in range(200):
        loss, gradient = reference.loss_and_gradient(X, XOR)
        assert history.loss[epoch] == pytest.approx(loss, rel=tolerance)
        reference.params -= 0.5 * gradient
    assert all(used)
    np.testing.assert_allclose(net.params, reference.params, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "optimizer",
    [
        *(cls(weight_decay=0.0) for cls in OPTIMIZERS.values()),
        fastmlp.SGD(0.5, momentum=0.9),
        fastmlp.SGD(0.5, momentum=0.9, nesterov=True),
    ],
    ids=lambda optimizer: optimizer.rule.name,
)
def test_every_rule(optimizer, used):
    """More parameters than a vector of the update holds."""
    assert_same(used, (2, 4, 2, 1), optimizer=optimizer, hidden_activation="tanh", loss="binary_cross_entropy")


@pytest.mark.parametrize("name", HIDDEN)
def test_every_activation(name, used):
    assert_same(used, (2, 3, 1), hidden_activation=name, dtype="float64", loss="squared_error", output="sigmoid")


@pytest.mark.parametrize("row", LOSSES, ids=lambda row: row.name)
def test_every_loss(row, used):
    output = row.outputs[0] if row.outputs else "tanh"
    y = np.concatenate([XOR, 1 - XOR], axis=1)
    assert_same(
        used, (2, 2, 2), y=y, loss=row.name, output=output, hidden_activation="tanh", optimizer=fastmlp.SGD(0.05)
    )


@pytest.mark.parametrize("batch_size", (1, 2, 3, 4))
@pytest.mark.parametrize("shuffle", (False, True))
def test_batches(batch_size, shuffle, used, rng, monkeypatch):
    """The last one is short, weights differ, and calls end within epochs."""
    monkeypatch.setattr("fastmlp.training.call_autotune.FIRST_CALL", 1.0)
    X, y = rng.random((10, 2)), rng.integers(0, 2, (10, 1))
    walk = {"batch_size": batch_size, "shuffle": shuffle, "sample_weight": rng.random(10) + 0.5}
    assert_same(used, X=X, y=y, **walk, **SIGMOIDS)


def test_the_net_of_the_question(used):
    """One-hot targets, a sample at a time: what is right is the larger output."""
    one_hot = np.concatenate([1 - XOR, XOR], axis=1)
    assert_same(used, (2, 2, 2, 2), y=one_hot, batch_size=1, epochs=300, **SIGMOIDS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_softmax(batch_size, dtype, used, rng):
    """Three classes, the last batch a short one, weights that differ."""
    X, y = rng.random((10, 2)), rng.integers(0, 3, 10)
    assert_same(
        used,
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


def test_divergence_is_seen(used):
    with pytest.warns(fastmlp.DivergenceWarning):
        net, history = fit(optimizer=fastmlp.SGD(1e30), loss="squared_error", output="identity", epochs=50)
    assert all(used)
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
def test_who_has_none(why, sizes, settings, used):
    fit(sizes, **settings)
    assert not any(used), why


def test_code_on_disk_is_loaded_and_other_code_is_compiled_if_asked(monkeypatch):
    """What is chosen when is in tests/unit/execution/test_dispatch.py."""
    asked, seen, on_disk = [], [], False
    address_for = single_net_lookup.address_for
    monkeypatch.setattr(single_net_lookup, "address", lambda *which: asked.append(which) or 1)
    monkeypatch.setattr(single_net_lookup, "_is_on_disk", lambda *which: on_disk)
    monkeypatch.setattr(single_net_lookup, "address_for", lambda *arguments: seen.append(arguments) or 0)
    monkeypatch.setattr(dispatch, "COMPILE_UNROLLED_AFTER", 0)
    fastmlp.MLP((2, 2, 1), random_state=0).fit(X, XOR, epochs=1, batch_size=4)
    *settings, compiles = seen[0]
    assert compiles
    assert [address_for(*settings, False), address_for(*settings, True)] == [0, 1]
    on_disk = True
    assert address_for(*settings, False) == 1
    assert len(asked) == 2
