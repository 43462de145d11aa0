"""The bugs of the founding question: each is reproduced, and named by its verdict."""

import io

import numpy as np
import pytest
from rich.console import Console

from fastmlp import check_gradients
from fastmlp.commands.stuck_demo import BUGS, CURED, ONE_HOT, HandWrittenNet, run, trained, verdict_on
from fastmlp.commands.xor_demo import X


@pytest.mark.parametrize("bug", [*BUGS, CURED], ids=[bug.name or "cured" for bug in [*BUGS, CURED]])
def test_each_bug_is_named(bug):
    for seed in range(4):
        net, losses = trained(bug, seed)
        assert verdict_on(net, losses).verdict == bug.verdict, seed


@pytest.mark.parametrize(
    "name, low, high",
    [
        ("double sigmoid", 0.5, 0.5),
        ("positive weights", 0.5, 0.5),
        ("independent outputs", 0.5, 0.5),
        ("wrong sign", 1.0, 1.0),
    ],
)
def test_outputs_are_stuck_as_they_were(name, low, high):
    bug = next(bug for bug in BUGS if bug.name == name)
    outputs = trained(bug)[0].predict(X)
    assert outputs.min() == pytest.approx(low, abs=0.03)
    assert outputs.max() == pytest.approx(high, abs=0.03)


def test_the_data_are_overwritten_by_updated_activations():
    """The recorded losses fall, but they are those of inputs that have moved; X itself is a copy's source and stays."""
    bug = next(bug for bug in BUGS if bug.name == "updated activations")
    net, losses = trained(bug)
    assert losses[-1] < 0.01
    assert np.mean((net.predict(X) - ONE_HOT) ** 2) > 0.1
    assert set(np.unique(X)) == {0.0, 1.0}


def test_its_backward_pass_is_right():
    """Without a bug a step is one of descent: params move by the rate times the gradient that differences give."""
    x, y, rate = X[1].astype(float), ONE_HOT[1], 1e-3

    def loss_and_gradient(arrays):
        net = HandWrittenNet()
        net.W, net.b = list(arrays[::2]), list(arrays[1::2])
        loss = float(((net.predict(x) - y) ** 2).sum() / 2)
        before = [array.copy() for array in arrays]
        net.step(x.copy(), y, rate)
        return loss, [(old - new) / rate for old, new in zip(before, arrays, strict=True)]

    assert check_gradients(loss_and_gradient, HandWrittenNet().as_arrays(), tolerance=1e-2)


def test_the_story():
    text = io.StringIO()
    assert run(Console(file=text, width=140)) == 0
    for words in ("got [0.501 0.501]", "The outputs cannot reach the targets", "+ return expit(z)", "Converged"):
        assert words in text.getvalue()
    for bug in BUGS:
        assert bug.name in text.getvalue()
