"""Competitors of the suite: they reach the float64 result on small cases, or say that they cannot do them."""

from importlib import import_module

import numpy as np
import pytest
from competitors import AVX2_FEATURES, GPU_NETS, POPULATION, PREDICTION, STOPPING, TRAINING, Unsupported
from competitors.fastmlp_competitor import check_avx512
from llvmlite import binding
from suite.case import Wrong
from suite.cases.populations import xor_nets
from suite.cases.prediction import PredictionCase
from suite.training_case import TrainingCase

from fastmlp.kernels.jit.cpu_features import LEVELS


def case(name, sizes, loss, optimizer, rate, hidden="relu", batch_size=8, n=40, **others):
    rng = np.random.default_rng(0)
    X, classes = rng.standard_normal((n, sizes[0]), np.float32), rng.integers(0, max(2, sizes[-1]), n)
    y = classes if loss == "softmax_cross_entropy" else classes[:, None].astype(np.float32)
    output = {"softmax_cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}.get(loss, name)
    return TrainingCase(
        name, "random", "minibatch", "step", sizes, hidden, output, loss, optimizer, rate, X, y, batch_size, 10, "",
        **others,
    )  # fmt: skip


CLASSES = "softmax_cross_entropy", "adam", 1e-3
TRAININGS = (
    case("classes", (6, 8, 7, 3), *CLASSES),
    case("wider classes", (6, 20, 3), *CLASSES),
    case("sigmoid", (2, 3, 1), "squared_error", "sgd", 0.5, "sigmoid", batch_size=24, n=24),
    case("cross-entropy", (2, 3, 1), "binary_cross_entropy", "adam", 1e-2),
    case("identity", (2, 3, 1), "squared_error", "adam", 1e-2),
)
XOR_NETS = [
    xor_nets(f"{optimizer} {activation}", "population", sizes, activation, optimizer, 70, 10, None)
    for sizes, activation in (((2, 2, 1), "sigmoid"), ((2, 4, 4, 1), "tanh"))
    for optimizer in ("sgd", "adam")
]
NETS_OF_CLASSES = [
    case(precision, (6, 8, 3), *CLASSES, n_nets=4, precision=precision) for precision in ("exact", "bfloat16")
]
PREDICTIONS = tuple(PredictionCase(f"{n} rows", case("rows", (6, 8, 7, 3), *CLASSES, n=n), "row") for n in (1, 30))
REFUSED = {("sklearn", "sigmoid")}
name = lambda x: x.name


def on_cpu(competitors):
    """Those that compute on a CPU; Keras compiles for long."""
    return [one for one in competitors if one.devices != ("cuda",) and one.family != "keras"]


@pytest.fixture(autouse=True)
def without_compilation(monkeypatch):
    """Make torch.compile return its function, since compiling takes a minute."""
    try:
        import torch
    except ImportError:
        return
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)


def answer(competitor, case, runs):
    if competitor.missing:
        pytest.skip(competitor.missing)
    implementation = import_module(competitor.module).Implementation(competitor.variant)
    implementation.prepare(case, 1)
    implementation.reset()
    implementation.run(runs)
    return implementation.answer(case)


@pytest.mark.parametrize("case", TRAININGS, ids=name)
@pytest.mark.parametrize("competitor", on_cpu(TRAINING), ids=name)
def test_trained_nets_reach_the_reference_or_are_refused(competitor, case):
    part = case.verification
    try:
        found = case.check(competitor, answer(competitor, part, case.verify_runs))
    except Unsupported:
        assert (competitor.name, case.name) in REFUSED
        return
    assert max(found.values()) < 0.01
    with pytest.raises(Wrong):
        case.check(competitor, answer(competitor, part, case.verify_runs - 1))


def check_nets(competitor, case):
    """The competitor passes the check of a case, and what has gone a third of the way does not."""
    part = case.verification
    params, loss = answer(competitor, part, case.verify_runs)
    assert params.shape == part.start.shape
    case.check(competitor, (params, loss))
    with pytest.raises(Wrong):
        case.check(competitor, (part.start + 0.3 * (params - part.start), loss))


@pytest.mark.parametrize("case", XOR_NETS, ids=name)
@pytest.mark.parametrize("competitor", on_cpu((*POPULATION, *STOPPING)), ids=name)
def test_many_nets_reach_the_reference(competitor, case, monkeypatch):
    """In blocks that do not divide the nets, too."""
    if not competitor.missing:
        module = import_module(competitor.module)
        for attribute, value in {"BLOCK": 9, "BLOCK_NETS": {}}.items():
            monkeypatch.setattr(module, attribute, value, raising=False)
    check_nets(competitor, case)


@pytest.mark.parametrize("case", NETS_OF_CLASSES, ids=name)
@pytest.mark.parametrize("competitor", [one for one in GPU_NETS if one.kind == "peer"], ids=name)
def test_nets_in_batches_reach_the_reference(competitor, case):
    check_nets(competitor, case)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("case", PREDICTIONS, ids=name)
@pytest.mark.parametrize("competitor", on_cpu(PREDICTION), ids=name)
def test_predictions_reach_the_reference(competitor, case):
    found = answer(competitor, case, 1)
    assert found.shape == (len(case.net.X), 3)
    assert case.check(competitor, found)["probabilities"] < 1e-5
    with pytest.raises(Wrong):
        case.check(competitor, found[:, ::-1])


def test_limited_rows_have_the_features_of_avx2_and_need_avx512(monkeypatch):
    assert ",".join(f"+{name}" for name in LEVELS["x86-64-v3"]) == AVX2_FEATURES
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: {"avx2": True, "avx512f": False})
    with pytest.raises(Unsupported, match="no AVX-512"):
        check_avx512()
