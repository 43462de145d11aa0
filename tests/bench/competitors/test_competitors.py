"""Competitors that train or predict: they reach the float64 result on small cases, and others are refused."""

from importlib import import_module

import numpy as np
import pytest
from competitors import AVX2_FEATURES, JAX_STEP, PREDICTION, TRAINING, Unsupported
from competitors.fastmlp_competitor import check_avx512
from competitors.kernels import Fastmlp
from llvmlite import binding
from suite.case import Wrong
from suite.cases.kernels import KernelCase
from suite.cases.prediction import PredictionCase
from suite.training_case import TrainingCase

from fastmlp.kernels.jit.cpu_features import LEVELS


def classification_case(n_samples, batch_size, sizes=(6, 8, 7, 3), name="classes"):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n_samples, sizes[0]), np.float32), rng.integers(0, sizes[-1], n_samples)
    return TrainingCase(
        name,
        "random",
        "minibatch",
        "step",
        sizes,
        "relu",
        "softmax",
        "softmax_cross_entropy",
        "adam",
        1e-3,
        X,
        y,
        batch_size,
        10,
        "random",
    )


def tiny_case(name, output, loss, optimizer, rate, hidden="relu", batch_size=8):
    """A case with a tiny net, for which some competitors have other code."""
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((24, 2), np.float32), rng.integers(0, 2, (24, 1)).astype(np.float32)
    return TrainingCase(
        name,
        "random",
        "minibatch",
        "step",
        (2, 3, 1),
        hidden,
        output,
        loss,
        optimizer,
        rate,
        X,
        y,
        batch_size,
        10,
        "random",
    )


TRAININGS = (
    classification_case(40, 8),
    classification_case(40, 8, (6, 20, 3), "wider classes"),
    tiny_case("sigmoid", "sigmoid", "squared_error", "sgd", 0.5, "sigmoid", batch_size=24),
    tiny_case("cross-entropy", "sigmoid", "binary_cross_entropy", "adam", 1e-2),
    tiny_case("regression", "identity", "squared_error", "adam", 1e-2),
)
PREDICTIONS = tuple(PredictionCase(f"{n} rows", classification_case(n, n), "row") for n in (1, 30))
COMPETITORS = [
    competitor for competitor in (*TRAINING, JAX_STEP) if competitor.kind == "peer" and competitor.family != "keras"
]
PREDICTORS = [competitor for competitor in PREDICTION if competitor.kind == "peer" and competitor.family != "keras"]
UNSUPPORTED = {("sklearn", "sigmoid"), ("jax step", "sigmoid")}
name = lambda x: x.name


@pytest.fixture(autouse=True)
def without_compilation(monkeypatch):
    """Make torch.compile return its function, since compiling takes a minute."""
    try:
        import torch
    except ImportError:
        return
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)


def answer(competitor, case, runs):
    implementation = import_module(competitor.module).Implementation(competitor.variant)
    implementation.prepare(case, 1)
    implementation.reset()
    implementation.run(runs)
    return implementation.answer(case)


@pytest.mark.parametrize("case", TRAININGS, ids=name)
@pytest.mark.parametrize("competitor", COMPETITORS, ids=name)
def test_trained_competitors_reach_the_reference_or_are_refused(competitor, case):
    if competitor.missing:
        pytest.skip(competitor.missing)
    part = case.verification
    try:
        found = case.check(competitor, answer(competitor, part, case.verify_runs))
    except Unsupported:
        assert (competitor.name, case.name) in UNSUPPORTED
        return
    assert max(found.values()) < 0.01
    with pytest.raises(Wrong):
        case.check(competitor, answer(competitor, part, case.verify_runs - 1))


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("case", PREDICTIONS, ids=name)
@pytest.mark.parametrize("competitor", PREDICTORS, ids=name)
def test_predicting_competitors_reach_the_reference_or_are_refused(competitor, case):
    if competitor.missing:
        pytest.skip(competitor.missing)
    found = answer(competitor, case, 1)
    assert found.shape == (len(case.net.X), 3)
    assert case.check(competitor, found)["probabilities"] < 1e-5
    with pytest.raises(Wrong):
        case.check(competitor, found[:, ::-1])


@pytest.mark.thinned(2)
@pytest.mark.parametrize("case", [KernelCase("adam", "adam", (1000,)), KernelCase("tanh", "tanh", (1024,))])
def test_kernels_reach_the_reference(case):
    form = Fastmlp(case)
    form.run(1)
    case.check(None, form.result())


def test_limited_rows_have_the_features_of_avx2_and_need_avx512(monkeypatch):
    assert ",".join(f"+{name}" for name in LEVELS["x86-64-v3"]) == AVX2_FEATURES
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: {"avx2": True, "avx512f": False})
    with pytest.raises(Unsupported, match="no AVX-512"):
        check_avx512()
