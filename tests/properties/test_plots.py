"""Every plot can be drawn: a short look at all of them, whose details tests/unit/plots tests."""

import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp import plots


@pytest.fixture
def canvas():
    """Return a function that draws the figures of Axes; without a screen, and the figures are closed after the test."""
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    yield lambda axes: [figure.canvas.draw() for figure in {ax.figure for ax in np.ravel(axes)}]
    plt.close("all")


def test_every_plot_draws_something(canvas):
    net = fastmlp.MLP((2, 4, 1), loss="binary_cross_entropy", random_state=0)
    history = net.fit(XOR_X, XOR_Y, epochs=20)
    pop = fastmlp.Population((2, 2, 1), 8, loss="binary_cross_entropy", random_state=0)
    result = pop.fit(XOR_X, XOR_Y, epochs=20, optimizer="rprop", converged="40-20-40")
    line = fastmlp.MLP((2, 1), random_state=0)
    axes_of = {
        "boundary": plots.boundary(net, XOR_X, XOR_Y, resolution=10),
        "calibration": plots.calibration(net, XOR_X, XOR_Y),
        "confusion": plots.confusion(net, XOR_X, XOR_Y),
        "epochs_to_converge": plots.epochs_to_converge(result),
        "final_losses": plots.final_losses(result),
        "history": plots.history(history),
        "predictions": plots.predictions(line, XOR_X, XOR_X[:, 0]),
    }
    assert sorted(axes_of) == sorted(plots.__all__), "every plot has an example here"
    for name, axes in axes_of.items():
        assert any(ax.has_data() for ax in np.ravel(axes)), name
        canvas(axes)
