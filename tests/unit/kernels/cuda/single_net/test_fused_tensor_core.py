"""Kernel family fused_tensor_core: gradients and training, compared with the reference in float64."""

import dataclasses

import numpy as np
import pytest
from cuda_cases import HIDDEN_NAMES, OPTIMIZERS, follow, follow_sgd, reference_of, tensor_cores_first
from reference_net import ReferenceMLP

from fastmlp import MLP, SGD, Adam
from fastmlp.kernels.formulas.losses import CODES as LOSS_CODES
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.schedules import Cosine

pytestmark = pytest.mark.thinned(4)
OFF = 2.5e-2  # relative to the gradient's norm. Operands of products are rounded: bfloat16 has 8 bits of precision.


@pytest.fixture(autouse=True)
def workspace_types(cuda, monkeypatch):
    """Assert that all training uses the fused kernel; the list of workspace types in use."""
    from fastmlp.kernels.cuda.single_net.fused_tensor_core import FusedWorkspace
    from fastmlp.kernels.cuda.single_net.layerwise import LayerwiseWorkspace

    tensor_cores_first(monkeypatch)
    kinds, train = [], LayerwiseWorkspace.train
    monkeypatch.setattr(
        LayerwiseWorkspace, "train", lambda work, *arguments: (kinds.append(type(work)), train(work, *arguments))[1]
    )
    yield kinds
    assert kinds
    assert set(kinds) == {FusedWorkspace}


def make(sizes, **settings):
    return MLP(sizes, device="cuda", random_state=0, precision="bfloat16", **settings)


def assert_close(gradient, expected):
    off = np.linalg.norm(gradient - expected) / np.linalg.norm(expected)
    assert 1e-4 < off < OFF, off


def targets(rng, net, n):
    row, width = net.network.loss_row, net.network.n_outputs
    if row.name == "softmax_cross_entropy":
        labels = rng.integers(0, width, n)
        return labels, np.eye(width)[labels]
    low, high = max(row.targets[0], -0.4), min(row.targets[1], 0.4)
    y = rng.uniform(low, high, (n, width))
    return y, y


PAIRS = list(zip(HIDDEN_NAMES[::2], [*HIDDEN_NAMES[1::2], "tanh"], strict=False))
assert {name for pair in PAIRS for name in pair} == set(HIDDEN_NAMES)


@pytest.mark.thinned(4)
@pytest.mark.parametrize("hidden", PAIRS, ids=str)
def test_every_hidden_activation_matches_the_reference(hidden, rng):
    net = make((5, 20, 33, 3), hidden_activation=hidden)
    X, y = rng.normal(size=(70, 5)), rng.normal(size=(70, 3))
    loss, gradient = net.loss_and_gradient(X, y)
    expected_loss, expected = reference_of(net.network, net.params).loss_and_gradient(X, y)
    assert loss == pytest.approx(expected_loss, rel=OFF)
    assert_close(gradient, expected)


@pytest.mark.thinned(4)
@pytest.mark.parametrize("loss", [row.name for row in LOSSES])
def test_every_loss_matches_the_reference(loss, rng):
    """Samples have weights in every second case."""
    weighted = LOSS_CODES[loss] % 2 == 0
    net = make((5, 20, 3), hidden_activation="tanh", loss=loss, l2=0.01)
    X = rng.normal(size=(70, 5))
    given, y = targets(rng, net, 70)
    weight = rng.uniform(0.5, 1.5, 70) if weighted else None
    found, gradient = net.loss_and_gradient(X, given, **({"sample_weight": weight} if weighted else {}))
    scaled = weight / weight.mean() if weighted else None
    expected_loss, expected = reference_of(net.network, net.params).loss_and_gradient(X, y, scaled)
    assert found == pytest.approx(expected_loss, rel=OFF)
    assert_close(gradient, expected)


@pytest.mark.full
@pytest.mark.thinned(4)
@pytest.mark.parametrize(
    "sizes, n",
    [
        ((1, 1), 1),
        ((3, 2), 5),
        ((128, 128, 128), 65),
        ((2, 17, 1), 64),
        ((16, 16, 16, 16, 16, 16), 200),
        ((100, 7, 128, 10), 129),
    ],
)
def test_gradients_of_extreme_shapes_match_the_reference(sizes, n, rng):
    """Layers of 1 to 128 units; fewer rows than a tile, one more than a tile, and more than one block processes."""
    net = make(sizes, hidden_activation="tanh")
    X, y = rng.normal(size=(n, sizes[0])), rng.normal(size=(n, sizes[-1]))
    loss, gradient = net.loss_and_gradient(X, y)
    expected_loss, expected = reference_of(net.network, net.params).loss_and_gradient(X, y)
    assert loss == pytest.approx(expected_loss, rel=OFF)
    assert_close(gradient, expected)


@pytest.mark.full
@pytest.mark.parametrize("limit", [10**6, 50_000])
def test_gradients_in_shared_or_global_memory_match_the_reference(limit, monkeypatch, rng):
    """One block processes all tiles of rows, or many blocks share them."""
    from fastmlp.kernels.cuda.single_net import fused_tensor_core

    monkeypatch.setattr(fused_tensor_core, "shared_limit", lambda: limit)
    net = make((5, 20, 33, 3), hidden_activation=("silu", "tanh"))
    X, y = rng.normal(size=(333, 5)), rng.normal(size=(333, 3))
    for n in (60, 333):
        _, gradient = net.loss_and_gradient(X[:n], y[:n])
        assert_close(gradient, reference_of(net.network, net.params).loss_and_gradient(X[:n], y[:n])[1])


@pytest.mark.full
def test_sources_are_assembled_once(monkeypatch, rng):
    """Sources must not be assembled at every step."""
    from fastmlp.kernels.cuda.single_net import fused_tensor_core

    texts, source = [], fused_tensor_core.source
    monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", "0")
    monkeypatch.setattr(fused_tensor_core, "source", lambda *parts: (texts.append(source(*parts)), texts[-1])[1])
    net = make((5, 20, 3))
    net.fit(rng.normal(size=(100, 5)), rng.normal(size=(100, 3)), epochs=3, batch_size=20, verbose=0)
    assert len(texts) == 1


@pytest.mark.parametrize("shuffle", [True, False])
def test_training_matches_the_reference(shuffle, rng):
    """Batches, the last one short: losses and changes of parameters match the reference. Samples have weights in
    batches that are not shuffled.
    """
    from cuda_cases import fit_seed

    net = make((5, 20, 33, 3), hidden_activation="tanh")
    reference, start = reference_of(net.network, net.params), net.params.copy()
    X, y = rng.normal(size=(150, 5)), rng.normal(size=(150, 3))
    weight = None if shuffle else rng.uniform(0.5, 1.5, 150)
    scaled = None if weight is None else weight / weight.mean()
    fit = {"epochs": 6, "batch_size": 64, "shuffle": shuffle}
    history = net.fit(X, y, optimizer=SGD(0.1), sample_weight=weight, verbose=0, **fit)
    losses = follow_sgd(reference, X, y, 0.1, weight=scaled, seed=fit_seed(0), **fit)
    np.testing.assert_allclose(history.loss, losses, rtol=OFF)
    assert_close(net.params - start, reference.params - start)
    # Evaluation rounds nothing.
    exact = reference_of(net.network, net.params)
    np.testing.assert_allclose(net.predict(X), exact.predict(X), rtol=1e-4, atol=1e-5)


class Rounded(ReferenceMLP):
    """The reference's optimiser with rounded gradients, which other tests compare with exact ones."""

    def loss_and_gradient(self, X, y, weight=None, masks=None):
        self.net.params[:] = self.params
        loss, gradient = self.net.loss_and_gradient(X, y)
        return loss, gradient.astype(np.float64)


@pytest.mark.thinned(5)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_update_rule_matches_the_reference(name, rng):
    """State and parameters are float32 and not rounded. With clipping, a penalty and a schedule."""
    optimizer = dataclasses.replace(OPTIMIZERS[name], clip_norm=0.4)
    net, other = (make((5, 20, 3), hidden_activation="tanh", l2=0.05) for _ in range(2))
    start, schedule = net.params.copy(), Cosine(0.1)
    X, y = rng.normal(size=(70, 5)), rng.normal(size=(70, 3))
    reference = reference_of(net.network, start, kind=Rounded)
    reference.net = other
    losses = follow(reference, X, y, optimizer, epochs=5, factors=schedule.factors)
    history = net.fit(X, y, epochs=5, optimizer=optimizer, schedule=schedule, verbose=0)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-3)
    off = np.linalg.norm(net.params - reference.params) / np.linalg.norm(reference.params - start)
    assert off < 2e-3, off


@pytest.mark.full
def test_recorded_accuracy_equals_evaluate(rng):
    net = make((5, 20, 3), loss="softmax_cross_entropy", hidden_activation="relu")
    X, labels = rng.normal(size=(150, 5)), rng.integers(0, 3, 150)
    before = net.evaluate(X, labels)["accuracy"]
    history = net.fit(X, labels, epochs=1, optimizer=SGD(0.1), verbose=0)
    assert history.accuracy[0] == pytest.approx(before, abs=0.011)  # one sample may change its class by rounding


@pytest.mark.parametrize("optimizer", [Adam(0.01), Adam(0.01, clip_norm=0.1)], ids=["adam", "clipped"])
def test_replayed_steps_change_no_bit(optimizer, monkeypatch, rng):
    found, (X, y) = [], (rng.normal(size=(150, 5)), rng.normal(size=(150, 3)))
    for wanted in ("0", "1"):
        monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", wanted)
        net = make((5, 20, 3), hidden_activation="tanh")
        net.fit(X, y, epochs=9, batch_size=64, optimizer=optimizer, verbose=0)
        found.append(net.params.copy())
    np.testing.assert_array_equal(*found)


@pytest.mark.full
def test_step_has_four_launches(emulated_cuda, monkeypatch, rng):
    """The number of launches is independent of the depth."""
    monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", "0")
    names = ("narrow_weights", "narrow_gradient", "reduce", "update")
    for sizes in ((5, 20, 3), (5, 16, 16, 16, 16, 3)):
        net = make(sizes)
        with emulated_cuda.counting() as n:
            net.fit(rng.normal(size=(150, 5)), rng.normal(size=(150, 3)), epochs=2, batch_size=50, verbose=0)
        assert {name: n[f"launches of {name}"] for name in names} == dict.fromkeys(names, 6)
        assert n["launches"] == 24 + 2 * 2 + n["launches of probe"]  # two for each epoch's order


@pytest.mark.full
def test_sample_of_weight_zero_may_overflow(rng):
    """1e30 times 1e30 is beyond float32."""
    net = make((5, 20, 3), hidden_activation="relu")
    X, y, weight = rng.normal(size=(40, 5)), rng.normal(size=(40, 3)), np.ones(40)
    weight[7] = 0.0
    net.weights[0][:] *= 1e10
    net.weights[1][:] *= 1e-10
    loss, gradient = net.loss_and_gradient(np.where(weight[:, None], X, 1e30), y, sample_weight=weight)
    scaled = weight / weight.mean()
    expected_loss, expected = reference_of(net.network, net.params).loss_and_gradient(X, y, scaled)
    assert loss == pytest.approx(expected_loss, rel=OFF)
    assert_close(gradient, expected)


@pytest.mark.full
def test_net_too_deep_for_shared_memory_trains_layerwise(workspace_types, rng):
    """The layerwise kernel trains the net, in bfloat16, too."""
    net = make((128,) * 8 + (10,), hidden_activation="gelu")
    X, y = rng.normal(size=(40, 128)), rng.normal(size=(40, 10))
    _, gradient = net.loss_and_gradient(X, y)
    assert {kind.__name__ for kind in workspace_types} == {"LayerwiseWorkspace"}
    assert_close(gradient, reference_of(net.network, net.params).loss_and_gradient(X, y)[1])
    workspace_types.clear()
    make((5, 20, 3)).loss_and_gradient(X[:, :5], y[:, :3])  # trains in the fused kernel, which the fixture expects


@pytest.mark.full
def test_float64_nets_are_not_rounded(workspace_types, cuda, rng):
    """`precision` has no effect in float64."""
    net = make((5, 20, 3), hidden_activation="tanh", dtype="float64")
    reference = reference_of(net.network, net.params)
    X, y = rng.normal(size=(50, 5)), rng.normal(size=(50, 3))
    net.fit(X, y, epochs=2, batch_size=25, shuffle=False, optimizer=SGD(0.1), verbose=0)
    follow_sgd(reference, X, y, 0.1, epochs=2, batch_size=25)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-10, atol=1e-12)
    make((5, 20, 3)).fit(X, y, epochs=1, verbose=0)  # trains in the fused kernel, which the fixture expects
