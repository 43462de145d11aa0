"""Plots compared with baseline images. Drawn data depend on no training: parameters,
records and results are set by hand.
"""

import numpy as np
import pytest
from image_comparison import FOLDER, compare, stage, xor_net
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp import plots

pytest.importorskip("PIL")


def three_classes():
    """A linear net for three classes around a triangle, and points on three circles."""
    net = fastmlp.MLP((2, 3), loss="softmax_cross_entropy", random_state=0)
    angle = 2 * np.pi * np.arange(3) / 3
    net.params = np.concatenate([3 * np.cos(angle), 3 * np.sin(angle), np.zeros(3)])
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    X = np.concatenate([[np.cos(a), np.sin(a)] + 0.75 * np.c_[np.cos(turn), np.sin(turn)] for a in angle])
    return net, X, np.repeat(np.arange(3), 12)


def history():
    made = fastmlp.History()
    epoch = np.arange(200)
    made.loss = np.exp(-epoch / 40) + 0.01
    made.validation_loss = np.exp(-epoch / 45) + 0.02 + 4e-4 * np.maximum(epoch - 120, 0)
    return made


def regression():
    net = fastmlp.MLP((2, 2, 1), hidden_activation="tanh", random_state=0)
    net.params = [1, 0.5, -1, 2, 0.1, -0.2, 1.5, -1, 0.3]
    X = np.stack(np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9)), axis=-1).reshape(-1, 2)
    return net, X, net.predict(X)[:, 0] + 0.3 * np.cos(7 * X[:, 0])


PICTURES = {
    "history": lambda ax: plots.history(history(), ax=ax),
    "boundary": lambda ax: plots.boundary(xor_net(), XOR_X, XOR_Y, ax=ax),
    "boundary_wrong": lambda ax: plots.boundary(xor_net(), XOR_X, 1 - XOR_Y, ax=ax),
    "boundary_classes": lambda ax: plots.boundary(*three_classes(), ax=ax),
    "boundary_numbers": lambda ax: plots.boundary(*regression(), ax=ax),
    "predictions": lambda ax: plots.predictions(*regression(), ax=ax),
    "confusion": lambda ax: plots.confusion(*three_classes(), ax=ax),
    "calibration": lambda ax: plots.calibration(*three_classes(), ax=ax),
}


@pytest.mark.parametrize("name", PICTURES)
def test_plot_equals_its_baseline_image(name):
    ax = stage()
    PICTURES[name](ax)
    compare(ax.figure, name)


def test_every_public_plot_has_a_baseline_image():
    assert {"history", "boundary", "predictions", "confusion", "calibration"} == {*plots.__all__}
    files = {path.stem for path in FOLDER.glob("*.png")}
    assert files == set(PICTURES)
    assert sum(path.stat().st_size for path in FOLDER.glob("*.png")) < 300_000
