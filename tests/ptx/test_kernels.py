"""The compiled kernels of each family, run by the PTX interpreter, against the reference in float64.

Each case of a family has options that change its code: activations, losses, update rules, dtypes, weights, clipping,
penalties, schedules, factors of layers, dropout, metrics, early stopping, bfloat16. The same
tests of whole files run by `pytest --device ptx`.
"""

import re
import warnings
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from cuda_cases import HIDDEN_NAMES, Place, fit_seed, follow_sgd, reference_of
from cuda_emulator import raw
from ptx_cases import CASES, CLOSE, FEW, IN_BFLOAT16, MANY, ROWS, SINGLE, Case
from reference_bfloat16 import RoundedMLP
from reference_net import ReferenceMLP
from tolerances import TOLERANCES

from fastmlp import MLP, SGD, Population
from fastmlp.execution.gpu_costs import BY_LAYERS, using
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.kernels.formulas.update_rules import RULES
from fastmlp.kernels.structs import METRIC_MARGIN, NO_UPDATE

# full: .ci/run has a step of its own for them
pytestmark = [pytest.mark.ptx, pytest.mark.full, pytest.mark.usefixtures("run_as_ptx")]


def pairs(table):
    return [pytest.param(place, name, id=f"{place}-{name}") for place, names in table.items() for name in names]


def test_cases_have_every_loss_and_update_rule():
    assert {case.loss for case in CASES.values()} == {row.name for row in LOSSES}
    assert {case.optimizer.rule.name for case in CASES.values()} == {row.name for row in RULES}


LARGE_BLOCK = ("rprop", "adam")
MANY_OUTPUTS = [(70, "exact"), (130, "exact"), (35, "bfloat16"), (70, "bfloat16"), (130, "bfloat16")]


def assert_close(params, reference, start, dtype):
    tolerance = TOLERANCES["training", dtype]
    assert np.abs(reference.params - start).max() > 100 * tolerance, "nothing was learned, so nothing is compared"
    np.testing.assert_allclose(params, reference.params, rtol=tolerance, atol=tolerance)


@pytest.mark.thinned(3)
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


@pytest.mark.thinned(2)
@pytest.mark.parametrize("name", LARGE_BLOCK)
def test_net_in_a_large_block_matches_the_reference(name, monkeypatch):
    """A block of 256 threads, whose warps add up their sums in shared memory, and two tiles of samples."""
    place, case, sizes = Place("block", monkeypatch), replace(CASES[name], batch_size=None), (6, 64, 3)
    net = MLP(sizes, l2=case.l2, **case.settings_of_net() | {"hidden_activation": case.hidden[:1]})
    X, y, weight = case.data(sizes, rows=70)
    start, reference = net.params.copy(), case.reference(net.network, net.params)
    losses = case.train(reference, X, y, weight, fit_seed(0))
    history = net.fit(X, y, sample_weight=weight if case.weighted else None, **case.settings_of_fit())
    np.testing.assert_allclose(history.loss, losses, rtol=TOLERANCES["training", case.dtype])
    assert_close(net.params, reference, start, case.dtype)
    [shape] = {shape for kernel, shape in place.shapes if kernel == "train_nets"}
    assert (shape.threads, shape.tile) == (256, 64)
    place.check()


@pytest.mark.thinned(3)
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


@pytest.mark.thinned(2)
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


@pytest.mark.thinned(2)
@pytest.mark.parametrize("place", ["thread", "block", "batched", "layers"])
def test_correct_classes_are_counted(place, monkeypatch):
    """Of softmax, by the largest output; the step is too small to change a parameter."""
    place, n, rng = Place(place, monkeypatch), FEW.get(place, 2), np.random.default_rng(3)
    settings = {"hidden_activation": "tanh", "loss": "softmax_cross_entropy", "device": "cuda", "random_state": 0}
    nets = Population((2, 3, 3), n, init_scale=3.0, **settings)
    X, labels = rng.normal(size=(ROWS, 2)), rng.integers(0, 3, ROWS)
    result = nets.fit(X, labels, epochs=1, optimizer=SGD(1e-30), shuffle=False, verbose=0)
    for k in (0, n - 1):
        expected = np.mean(reference_of(nets.network, nets.params[k]).predict(X).argmax(axis=1) == labels)
        assert 0 < expected < 1
        assert result.accuracy[k] == pytest.approx(expected)
    place.check()


@pytest.mark.thinned(2)
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
    found, scores = net.predict(X), net.evaluate(X, labels, **given)
    scaled = weight / weight.mean() if weighted else np.ones(ROWS)
    expected_loss, expected = reference.loss_and_gradient(X, targets, scaled)
    tolerance = TOLERANCES["gradient", "float32"]
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    np.testing.assert_allclose(gradient, expected, rtol=tolerance, atol=tolerance)
    outputs = reference.predict(X)
    np.testing.assert_allclose(found, outputs, rtol=tolerance, atol=tolerance)
    penalty = 0.05 * sum(np.sum(W * W) for W, _ in reference.layers(reference.params))
    assert scores["loss"] == pytest.approx(expected_loss - penalty, rel=tolerance)
    assert scores["accuracy"] == pytest.approx(np.mean(scaled * (outputs.argmax(axis=1) == labels)))
    place.check()


@pytest.mark.thinned(2)
@pytest.mark.parametrize("n_outputs, precision", MANY_OUTPUTS)
def test_gradient_of_many_outputs_matches_the_reference(n_outputs, precision):
    """A warp a row, and bias gradients of 64, 128 and 256 columns at a time; two chunks of rows, one of them short."""
    rng, sizes = np.random.default_rng(6), (3, 9, n_outputs)
    settings = {"loss": "softmax_cross_entropy", "hidden_activation": "tanh", "device": "cuda", "random_state": 0}
    with using(BY_LAYERS):
        net = MLP(sizes, precision=precision, **settings)
        X, labels, weight = rng.normal(size=(37, 3)), rng.integers(0, n_outputs, 37), rng.random(37) + 0.1
        assert "layerwise" in net.explain(37)
        loss, gradient = net.loss_and_gradient(X, labels, sample_weight=weight)
    reference = reference_of(net.network, net.params, kind=ReferenceMLP if precision == "exact" else RoundedMLP)
    expected_loss, expected = reference.loss_and_gradient(X, np.eye(n_outputs)[labels], weight / weight.mean())
    assert loss == pytest.approx(expected_loss, rel=CLOSE)
    most = TOLERANCES["gradient", "float32"] if precision == "exact" else CLOSE
    assert np.linalg.norm(gradient - expected) / np.linalg.norm(expected) < most
    of_biases = slice(-n_outputs, None)
    np.testing.assert_allclose(gradient[of_biases], expected[of_biases], rtol=0.02, atol=most)


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


@pytest.mark.thinned(2)
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


# ---- what these tests compile


def every_case():
    """Yield the tests above that compile training kernels, each with each of its cases."""
    for test, table in (
        (test_trained_net_matches_the_reference, SINGLE),
        (test_trained_population_matches_the_reference, MANY),
        (test_products_of_bfloat16_match_the_rounded_reference, IN_BFLOAT16),
    ):
        yield from ((test, place, name) for place, names in table.items() for name in names)
    yield from ((test_net_in_a_large_block_matches_the_reference, name) for name in LARGE_BLOCK)
    for place in ("thread", "block", "batched", "layers"):
        yield test_outputs_within_the_margin_are_counted, place
        yield test_correct_classes_are_counted, place
    yield from (
        (test_early_stopped_population_matches_the_reference, place) for place in ("thread", "block", "batched")
    )
    for place in ("block", "layers"):
        yield from ((test_gradient_and_evaluation_match_the_reference, place, weighted) for weighted in (False, True))


class Enough(Exception):
    """Ends a fit whose sources are all there."""


WITHOUT_FIT = (test_gradient_and_evaluation_match_the_reference,)
LAST_OF_STEP = ("train_nets", "update", "step_settings")  # kernels that are launched once all sources are compiled
ENUMERATED = {  # constants of the generated sources, and their values
    **{name: {0, 1} for name in ("SHUFFLES", "WEIGHTED", "PENALISED", "CLIPPED", "LAYERED", "VALIDATES")},
    **{name: {0, 1} for name in ("ONE_NET", "IN_SHARED", "HAS_TARGETS")},
    "SCHEDULED": {0, 1, 2},
    "METRIC": set(range(METRIC_MARGIN + 1)),
    "LOSS": set(range(len(LOSSES))),
    "RULE": {NO_UPDATE, *range(len(RULES))},
}


@pytest.fixture
def texts(emulated_cuda, monkeypatch):
    """The sources that every_case compiles, none of whose kernels run."""
    MLP((1, 1), device="cuda")  # finds the GPU, with a kernel that runs
    fits = [True]

    def launch(kernel, grid, block, args, **options):
        if fits[0] and kernel.name in LAST_OF_STEP:
            raise Enough

    monkeypatch.setattr(raw.RawKernel, "__call__", launch)
    load = lambda code, options, names: dict.fromkeys(raw.KERNEL.findall(code))
    monkeypatch.setattr(emulated_cuda.settings, "load", load)
    for test, *case in every_case():
        fits[0] = test not in WITHOUT_FIT
        with monkeypatch.context() as patches, warnings.catch_warnings(), suppress(Exception):
            warnings.simplefilter("ignore")
            test(*case, patches)
    return [code for code, _ in emulated_cuda.sources]


def test_every_activation_and_switch_is_compiled(texts):
    """In at least one source each: hidden activations, and the values of the constants that kernels branch on."""
    text = "\n".join(texts)
    found = {}
    for name, value in re.findall(r"^constexpr (?:int|bool) (\w+) = (-?\w+);", text, re.M):
        found.setdefault(name, set()).add(value)
    for name, values in ENUMERATED.items():
        assert {int(value) for value in found[name]} == values, name
    switches = set(re.findall(r"^constexpr bool (\w+) = (?:true|false);", text, re.M))
    assert switches >= {"DELTA_IS_WRT_LOGIT", "KEEPS", "DROPS", "COMPARES", "CORRECTS"}
    assert [name for name in switches if found[name] != {"true", "false"}] == []
    assert {value == "0" for value in found["FIXED_ROWS"]} == {True, False}
    assert found["THREADS"] >= {"32", "64", "256"}
    for line in ("typedef float T;", "typedef double T;", "typedef T Operand;", "typedef struct Bfloat16 Operand;"):
        assert line in text
    layers = re.findall(r"constexpr int activation_of\(int k\) \{ return (.*); \}", text)
    hidden = {int(code) for line in layers for code in re.findall(r"\? (\d+) :", line)}
    assert {ACTIVATIONS[code].name for code in hidden} == set(HIDDEN_NAMES)
