"""The peers of one net and of predictions do on small works what float64 does, and are refused where they do less."""

from importlib import import_module

import numpy as np
import pytest
from competitors import JAX_STEP, PREDICTION, TRAINING, Unsupported
from suite.case import Wrong
from suite.cases.prediction import PredictionWork
from suite.cases.training_case import Workload


def classes(n_samples, batch_size, sizes=(6, 8, 7, 3), name="classes"):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n_samples, sizes[0]), np.float32), rng.integers(0, sizes[-1], n_samples)
    return Workload(name, "random", "minibatch", "step", sizes, "relu", "softmax", "softmax_cross_entropy", "adam",
                    1e-3, X, y, batch_size, 10, "random")  # fmt: skip


def numbers(name, output, loss, optimizer, rate, hidden="relu", batch_size=8):
    """A tiny net, which some forms treat otherwise."""
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((24, 2), np.float32), rng.integers(0, 2, (24, 1)).astype(np.float32)
    return Workload(name, "random", "minibatch", "step", (2, 3, 1), hidden, output, loss, optimizer, rate, X, y,
                    batch_size, 10, "random")  # fmt: skip


TRAININGS = (
    classes(40, 8),
    classes(40, 8, (6, 20, 3), "wider classes"),
    numbers("sigmoid", "sigmoid", "squared_error", "sgd", 0.5, "sigmoid", batch_size=24),
    numbers("cross-entropy", "sigmoid", "binary_cross_entropy", "adam", 1e-2),
    numbers("regression", "identity", "squared_error", "adam", 1e-2),
)
PREDICTIONS = tuple(PredictionWork(f"{n} rows", classes(n, n), "row") for n in (1, 30))
PEERS = [peer for peer in (*TRAINING, JAX_STEP) if peer.kind == "peer" and peer.family != "keras"]
PREDICTORS = [peer for peer in PREDICTION if peer.kind == "peer" and peer.family != "keras"]
UNSUPPORTED = {("sklearn", "sigmoid"), ("jax step", "sigmoid")}
name = lambda x: x.name


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch):
    """PyTorch computes what its graphs would be made of: compiling takes a minute."""
    try:
        import torch
    except ImportError:
        return
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)


def answer(peer, work, runs):
    contestant = import_module(peer.module).Contestant(peer.variant)
    contestant.prepare(work, 1)
    contestant.reset()
    contestant.run(runs)
    return contestant.answer(work)


@pytest.mark.parametrize("work", TRAININGS, ids=name)
@pytest.mark.parametrize("peer", PEERS, ids=name)
def test_training(peer, work):
    if peer.missing:
        pytest.skip(peer.missing)
    part = work.verification
    try:
        found = work.check(peer, answer(peer, part, work.verify_runs))
    except Unsupported:
        assert (peer.name, work.name) in UNSUPPORTED
        return
    assert max(found.values()) < 0.01
    with pytest.raises(Wrong):
        work.check(peer, answer(peer, part, work.verify_runs - 1))


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("work", PREDICTIONS, ids=name)
@pytest.mark.parametrize("peer", PREDICTORS, ids=name)
def test_prediction(peer, work):
    if peer.missing:
        pytest.skip(peer.missing)
    found = answer(peer, work, 1)
    assert found.shape == (len(work.net.X), 3)
    assert work.check(peer, found)["probabilities"] < 1e-5
    with pytest.raises(Wrong):
        work.check(peer, found[:, ::-1])
