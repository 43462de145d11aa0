"""The compiled kernels of each family, run by the PTX interpreter, against the reference in float64.

Each case of a family has options that change its code: activations, losses, update rules, dtypes, weights, clipping,
penalties, schedules, factors of layers, dropout, metrics, early stopping, block-diagonal layers, bfloat16. The same
tests of whole files run by `pytest --device ptx`.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from cuda_cases import OPTIMIZERS, Layered, Place, fit_seed, follow, follow_sgd, own, reference_of, tensor_cores_first
from net_cases import targets_for
from reference import ReferenceMLP
from reference_bfloat16 import RoundedMLP
from tolerances import TOLERANCES

from fastmlp import MLP, SGD, AdamW, PeriodicEmbedding, Population, Quickprop
from fastmlp.execution.gpu_costs import BY_LAYERS, using
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.kernels.formulas.update_rules import RULES
from fastmlp.optimizers import Optimizer
from fastmlp.schedules import Cosine, FlatCosine

# full: .ci/run has a step of its own for them
pytestmark = [pytest.mark.ptx, pytest.mark.full, pytest.mark.usefixtures("run_as_ptx")]

ROWS, EPOCHS, RATE = 20, 2, 0.1
FEW = {"thread": 130, "block": 2, "workspace": 2, "batched": 3}  # nets of a population
ROUNDING = 3e-2  # of a fit with operands in bfloat16, relative to its length
CLOSE = 2e-3  # the same, compared with a reference that rounds operands, too


@dataclass(frozen=True)
class Case:
    """Options of a fit that change the code of kernels."""

    loss: str
    output: str
    hidden: tuple[str, str]
    optimizer: Optimizer = SGD(RATE)  # noqa: RUF009
    dtype: str = "float32"
    batch_size: int | None = None
    l2: float = 0.0
    dropout: float = 0.0
    shuffle: bool = False
    weighted: bool = False
    schedule: Cosine | None = None

    def settings_of_net(self):
        return {
            "hidden_activation": self.hidden,
            "output_activation": self.output,
            "loss": self.loss,
            "dtype": self.dtype,
            "dropout": self.dropout,
            "device": "cuda",
            "random_state": 0,
        }

    def settings_of_fit(self):
        return {
            "epochs": EPOCHS,
            "batch_size": self.batch_size,
            "optimizer": self.optimizer,
            "shuffle": self.shuffle,
            "schedule": self.schedule,
            "verbose": 0,
        }

    def data(self, sizes):
        rng = np.random.default_rng(1)
        X = rng.normal(size=(ROWS, sizes[0]))
        return X, targets_for(self.loss, self.output, ROWS, sizes[-1], rng), rng.random(ROWS) + 0.1

    def train(self, reference, X, y, weight, seed):
        """Train the reference in the same way."""
        scaled = weight / weight.mean() if self.weighted else None
        if self.shuffle or self.dropout:
            assert isinstance(self.optimizer, SGD)
            return follow_sgd(
                reference,
                X,
                y,
                RATE,
                epochs=EPOCHS,
                batch_size=self.batch_size,
                seed=seed,
                shuffle=self.shuffle,
                rates=(self.dropout,) * (len(reference.sizes) - 2),
                weight=scaled,
            )
        factors = self.schedule.factors if self.schedule else None
        settings = {"epochs": EPOCHS, "batch_size": self.batch_size, "factors": factors, "weight": scaled}
        return follow(reference, X, y, self.optimizer, **settings)

    def reference(self, network, params, kind=ReferenceMLP):
        if not getattr(self.optimizer, "by_fan_in", False):
            return reference_of(network, params, self.l2, kind)
        reference = reference_of(network, params, self.l2, kind=Layered)
        reference.factors = [(1 / (fan_in + 1), 0.25 / (fan_in + 1)) for fan_in in network.layer_sizes[:-1]]
        return reference


CASES = {
    "shuffled": Case("squared_error", "identity", ("tanh", "gelu"), batch_size=7, shuffle=True, weighted=True),
    "dropout": Case("softmax_cross_entropy", "softmax", ("relu", "silu"), batch_size=12, dropout=0.25, shuffle=True),
    "adam": Case(
        "binary_cross_entropy",
        "sigmoid",
        ("leaky_relu", "softplus"),
        own(OPTIMIZERS["adam"], clip_norm=0.4, weight_decay=0.1),
        batch_size=13,
        l2=0.05,
        weighted=True,
        schedule=Cosine(0.1),
    ),
    "rprop": Case("poisson", "exponential", ("elu", "tanh"), OPTIMIZERS["rprop"], dtype="float64"),
    "quickprop": Case(
        "huber", "tanh", ("sigmoid", "softsign"), Quickprop(0.5, by_fan_in=True, bias_input=0.5), dtype="float64"
    ),
    "rmsprop": Case("squared_error", "identity", ("selu", "silu"), OPTIMIZERS["rmsprop"], batch_size=10),
    "adagrad": Case("atanh_error", "symmetric_sigmoid", ("tanh", "tanh"), OPTIMIZERS["adagrad"], l2=0.1),
    "decay": Case(
        "squared_error",
        "identity",
        ("tanh", "elu"),
        AdamW(0.05, weight_decay=0.2, weight_decay_schedule=FlatCosine(0.2)),
        batch_size=10,
    ),
    "momentum": Case("absolute_error", "sigmoid", ("gelu", "relu"), OPTIMIZERS["momentum"], weighted=True),
    "nesterov": Case("softmax_cross_entropy", "softmax", ("silu", "tanh"), OPTIMIZERS["nesterov"], batch_size=20),
}
SINGLE = {  # where a net trains -> its cases
    "block": ("dropout", "adam", "quickprop", "decay"),
    "layers": ("shuffled", "dropout", "adam", "rprop", "quickprop", "rmsprop"),
}
MANY = {
    "thread": ("shuffled", "adam", "rprop", "adagrad", "quickprop", "decay"),
    "workspace": ("shuffled",),
    "batched": ("shuffled", "dropout", "adam", "rprop", "momentum", "quickprop", "decay"),
}
ON_TENSOR_CORES = ("shuffled", "momentum", "nesterov")
IN_BFLOAT16 = {"layers": ("dropout", "momentum"), "batched": ("shuffled", "dropout")}


def pairs(table):
    return [pytest.param(place, name, id=f"{place}-{name}") for place, names in table.items() for name in names]


def test_cases_have_every_loss_and_update_rule():
    assert {case.loss for case in CASES.values()} == {row.name for row in LOSSES}
    assert {case.optimizer.rule.name for case in CASES.values()} == {row.name for row in RULES}


def assert_close(params, reference, start, dtype):
    tolerance = TOLERANCES["training", dtype]
    assert np.abs(reference.params - start).max() > 100 * tolerance, "nothing was learned, so nothing is compared"
    np.testing.assert_allclose(params, reference.params, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("place, name", pairs(SINGLE))
def test_trained_net_matches_the_reference(place, name, monkeypatch):
    place, case, sizes = Place(place, monkeypatch), CASES[name], (3, 7, 5, 2)
    net = MLP(sizes, l2=case.l2, **case.settings_of_net())
    X, y, weight = case.data(sizes)
    start, reference = net.params.copy(), case.reference(net.network, net.params)
    losses = case.train(reference, X, y, weight, fit_seed(0))
    history = net.fit(X, y, sample_weight=weight if case.weighted else None, **case.settings_of_fit())
    tolerance = TOLERANCES["training", case.dtype]
    np.testing.assert_allclose(history.loss, losses, rtol=tolerance, atol=tolerance)
    assert_close(net.params, reference, start, case.dtype)
    if name == "dropout":
        np.testing.assert_allclose(net.predict(X), reference.predict(X), rtol=tolerance, atol=tolerance)
    place.check()


@pytest.mark.parametrize("place, name", pairs(MANY))
def test_trained_population_matches_the_reference(place, name, monkeypatch):
    case, n = CASES[name], FEW[place]
    sizes = (2, 3, 2, 2) if place == "thread" else (3, 7, 5, 2)
    place = Place(place, monkeypatch)
    population = Population(sizes, n, l2=case.l2, **case.settings_of_net())
    X, y, weight = case.data(sizes)
    start = population.params.copy()
    references = {k: case.reference(population.network, start[k]) for k in (0, n - 1)}
    population.fit(X, y, sample_weight=weight if case.weighted else None, **case.settings_of_fit())
    for k, reference in references.items():
        case.train(reference, X, y, weight, population_seed(population, k))
        assert_close(population.params[k], reference, start[k], case.dtype)
    place.check()


def population_seed(population, k):
    return fit_seed(int(population.seeds[k]))


@pytest.mark.parametrize("place", ["thread", "block", "batched"])
def test_early_stopped_population_matches_the_reference(place, monkeypatch):
    """Each net ends at the epoch with its lowest loss of held-out samples."""
    n, sizes = FEW[place], (2, 3, 1)
    place = Place(place, monkeypatch)
    case = Case("squared_error", "identity", ("tanh",), dtype="float64")
    population = Population(sizes, n, **case.settings_of_net())
    X, y, _ = case.data(sizes)
    train, held_out = (X[:12], y[:12]), (X[12:], y[12:])
    references = {k: reference_of(population.network, population.params[k]) for k in (0, n - 1)}
    population.fit(
        *train, epochs=5, validation_data=held_out, early_stopping=2, optimizer=SGD(1.0), shuffle=False, verbose=0
    )
    for k, reference in references.items():
        best = np.inf
        for _ in range(5):
            follow_sgd(reference, *train, 1.0, epochs=1)
            loss = reference.loss_and_gradient(*held_out)[0]
            if loss < best:
                best, params = loss, reference.params.copy()
        np.testing.assert_allclose(population.params[k], params, rtol=1e-9, atol=1e-9)
    place.check()


@pytest.mark.parametrize("place", ["thread", "block", "batched", "layers"])
def test_outputs_within_the_margin_are_counted(place, monkeypatch):
    """The metric of the 40-20-40 rule; the step is too small to change a parameter."""
    place, n, rng = Place(place, monkeypatch), FEW.get(place, 2), np.random.default_rng(3)
    settings = {"hidden_activation": "tanh", "loss": "binary_cross_entropy", "device": "cuda", "random_state": 0}
    nets, X, y = Population((2, 3, 1), n, init_scale=3.0, **settings), rng.normal(size=(ROWS, 2)), np.arange(ROWS) % 2
    result = nets.fit(X, y, epochs=1, optimizer=SGD(1e-30), converged="40-20-40", shuffle=False, verbose=0)
    for k in (0, n - 1):
        outputs = reference_of(nets.network, nets.params[k]).predict(X)[:, 0]
        expected = np.mean(np.abs(outputs - y) <= 0.4)
        assert 0 < expected < 1
        assert result.accuracy[k] == pytest.approx(expected)
    place.check()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("place", ["block", "layers"])
def test_gradient_and_evaluation_match_the_reference(place, weighted, monkeypatch):
    """Kernels without an update, with targets and without; outputs of which a thread takes all, or a warp."""
    place, rng, sizes = Place(place, monkeypatch), np.random.default_rng(2), (3, 6, 35 if weighted else 4)
    net = MLP(sizes, loss="softmax_cross_entropy", hidden_activation="gelu", l2=0.1, device="cuda", random_state=0)
    X, labels, weight = rng.normal(size=(ROWS, 3)), rng.integers(0, sizes[-1], ROWS), rng.random(ROWS) + 0.1
    reference, targets = reference_of(net.network, net.params), np.eye(sizes[-1])[labels]
    given = {"sample_weight": weight} if weighted else {}
    loss, gradient = net.loss_and_gradient(X, labels, **given)
    scaled = weight / weight.mean() if weighted else np.ones(ROWS)
    expected_loss, expected = reference.loss_and_gradient(X, targets, scaled)
    tolerance = TOLERANCES["gradient", "float32"]
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    np.testing.assert_allclose(gradient, expected, rtol=tolerance, atol=tolerance)
    outputs, scores = reference.predict(X), net.evaluate(X, labels, **given)
    np.testing.assert_allclose(net.predict(X), outputs, rtol=tolerance, atol=tolerance)
    penalty = 0.05 * sum(np.sum(W * W) for W, _ in reference.layers(reference.params))
    assert scores["loss"] == pytest.approx(expected_loss - penalty, rel=tolerance)
    assert scores["accuracy"] == pytest.approx(np.mean(scaled * (outputs.argmax(axis=1) == labels)))
    place.check()


@pytest.mark.parametrize("place", ["block", "batched"])
def test_evaluation_of_a_population_matches_the_reference(place, monkeypatch):
    Place(place, monkeypatch)
    case, sizes = CASES["shuffled"], (3, 7, 5, 2)
    population = Population(sizes, 3, **case.settings_of_net())
    X, y, weight = case.data(sizes)
    outputs, scores = population.predict(X), population.evaluate(X, y, sample_weight=weight)
    for k in range(3):
        reference = reference_of(population.network, population.params[k])
        np.testing.assert_allclose(outputs[k], reference.predict(X), rtol=1e-4, atol=1e-5)
        expected = reference.loss_and_gradient(X, y, weight / weight.mean())[0]
        assert scores["loss"][k] == pytest.approx(expected, rel=1e-4)


def test_block_diagonal_layers_match_the_reference(monkeypatch):
    place, rng = Place("layers", monkeypatch), np.random.default_rng(4)
    settings = {"hidden_activation": "tanh", "device": "cuda", "dtype": "float64", "random_state": 0}
    net = MLP((3, 4, 2), input_embedding=PeriodicEmbedding(3, 2), **settings)
    X, y = rng.normal(size=(ROWS, 3)), rng.normal(size=(ROWS, 2))
    start, reference = net.params.copy(), reference_of(net.network, net.params)
    net.fit(X, y, epochs=EPOCHS, optimizer=SGD(RATE), verbose=0)
    follow_sgd(reference, X, y, RATE, epochs=EPOCHS)
    assert_close(net.params, reference, start, "float64")
    assert not net.params[net.network.outside_blocks].any()
    place.check()


def test_gradients_of_tensor_cores_in_global_memory_match_the_reference(monkeypatch):
    from fastmlp.kernels.cuda.single_net import fused_tensor_core

    tensor_cores_first(monkeypatch)
    monkeypatch.setattr(fused_tensor_core, "shared_limit", lambda: 50_000)
    net = MLP((5, 20, 33, 3), hidden_activation=("silu", "tanh"), precision="bfloat16", device="cuda", random_state=0)
    assert "fused_tensor_core" in net.explain(80)
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(80, 5)), rng.normal(size=(80, 3))
    _, gradient = net.loss_and_gradient(X, y)
    expected = reference_of(net.network, net.params).loss_and_gradient(X, y)[1]
    assert np.linalg.norm(gradient - expected) / np.linalg.norm(expected) < ROUNDING


@pytest.mark.parametrize("place, name", pairs(IN_BFLOAT16))
def test_products_of_bfloat16_match_the_rounded_reference(place, name, monkeypatch):
    """Conversions, and loads and stores of 16 bits; predictions, too, but for small nets of a population."""
    case, sizes, seeds = CASES[name], (3, 19, 5, 2), [0]
    settings = {"l2": case.l2, "precision": "bfloat16", **case.settings_of_net()}
    with using(BY_LAYERS):
        if place == "layers":
            nets = MLP(sizes, **settings)
        else:
            nets = Population(sizes, 2, **settings)
            seeds = [int(seed) for seed in nets.seeds]
        X, y, weight = case.data(sizes)
        starts, n_params = np.atleast_2d(nets.params).copy(), nets.network.layout.n_params
        nets.fit(X, y, sample_weight=weight if case.weighted else None, **case.settings_of_fit())
        found, outputs = nets.params.reshape(-1, n_params), nets.predict(X).reshape(-1, ROWS, 2)
    for k, (start, seed) in enumerate(zip(starts, seeds, strict=True)):
        references = [case.reference(nets.network, start, kind) for kind in (RoundedMLP, ReferenceMLP)]
        for reference in references:
            case.train(reference, X, y, weight, fit_seed(seed))
        close, exact = references
        way = np.linalg.norm(exact.params - start)
        assert np.linalg.norm(found[k] - close.params) / way < CLOSE
        assert np.linalg.norm(found[k] - exact.params) / way > 0.5 * CLOSE, "nothing is rounded"
        predicting = close if place == "layers" else exact
        predicting.params = found[k].astype(float)
        np.testing.assert_allclose(outputs[k], predicting.predict(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ON_TENSOR_CORES)
def test_net_on_tensor_cores_matches_the_reference(name, monkeypatch):
    tensor_cores_first(monkeypatch)
    case, sizes = CASES[name], (5, 20, 17, 2)
    net = MLP(sizes, l2=case.l2, precision="bfloat16", **case.settings_of_net())
    X, y, weight = case.data(sizes)
    start, reference = net.params.copy(), case.reference(net.network, net.params)
    case.train(reference, X, y, weight, fit_seed(0))
    net.fit(X, y, sample_weight=weight if case.weighted else None, **case.settings_of_fit())
    off = np.linalg.norm(net.params - reference.params) / np.linalg.norm(reference.params - start)
    assert off < ROUNDING
