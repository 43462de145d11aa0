"""`fastmlp xor --stuck`: bugs of a hand-written net are reproduced, and the diagnosis names each of them."""

import io

import numpy as np
import pytest
from rich.console import Console

from fastmlp import check_gradients
from fastmlp.commands.stuck_demo import BUGS, ONE_HOT, HandWrittenNet, run, trained
from fastmlp.data.xor import X


@pytest.mark.parametrize(
    "name, low, high",
    [
        ("double sigmoid", 0.5, 0.5),
        ("positive weights", 0.5, 0.5),
        ("independent outputs", 0.5, 0.5),
        ("wrong sign", 1.0, 1.0),
    ],
)
def test_bugs_reproduce_the_reported_outputs(name, low, high):
    bug = next(bug for bug in BUGS if bug.name == name)
    outputs = trained(bug)[0].predict(X)
    assert outputs.min() == pytest.approx(low, abs=0.03)
    assert outputs.max() == pytest.approx(high, abs=0.03)


def test_updated_activations_bug_overwrites_its_inputs():
    """Recorded losses fall, but belong to overwritten inputs; X itself is copied first and stays unchanged."""
    bug = next(bug for bug in BUGS if bug.name == "updated activations")
    net, losses = trained(bug)
    assert losses[-1] < 0.01
    assert np.mean((net.predict(X) - ONE_HOT) ** 2) > 0.1
    assert set(np.unique(X)) == {0.0, 1.0}


def test_hand_written_backward_pass_passes_the_gradient_check():
    """Without a bug, a step moves the parameters by the learning rate times the central-difference gradient."""
    x, y, rate = X[1].astype(float), ONE_HOT[1], 1e-3

    def loss_and_gradient(arrays):
        net = HandWrittenNet()
        net.W, net.b = list(arrays[::2]), list(arrays[1::2])
        loss = float(((net.predict(x) - y) ** 2).sum() / 2)
        before = [array.copy() for array in arrays]
        net.step(x.copy(), y, rate)
        return loss, [(old - new) / rate for old, new in zip(before, arrays, strict=True)]

    assert check_gradients(loss_and_gradient, HandWrittenNet().as_arrays(), tolerance=1e-2)


def test_stuck_demo_prints_each_bug_and_its_cure():
    text = io.StringIO()
    assert run(Console(file=text, width=140)) == 0
    for words in (
        "The outputs cannot reach the targets",
        "+ return expit(z)",
        "Converged",
        *(bug.name for bug in BUGS),
    ):
        assert words in text.getvalue()
