"""Style of all plots: colours, legends, and matplotlib that is imported late."""

import builtins

import numpy as np
import pytest
from image_comparison import xor_net
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp import plots
from fastmlp.plots.style import PALETTE

# What protanopes and deuteranopes see of linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
SEEN = (
    np.eye(3),
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
)


@pytest.mark.parametrize("seen", SEEN, ids=["all cones", "protanopia", "deuteranopia"])
def test_colours_differ_for_colour_blind_readers(seen, headless):
    from matplotlib.colors import to_rgb

    linear = np.array([to_rgb(colour) for colour in PALETTE]) ** 2.2
    colours = np.clip(linear @ np.transpose(seen), 0, 1) ** (1 / 2.2)
    distances = np.linalg.norm(colours[:, None] - colours, axis=2)[~np.eye(len(PALETTE), dtype=bool)]
    assert distances.min() > 0.15


@pytest.mark.parametrize("layout", [None, "constrained"])
@pytest.mark.parametrize("draw", [plots.boundary, plots.calibration])
def test_a_legend_covers_no_neighbour(draw, layout, headless):
    figure, (left, right) = headless.subplots(1, 2, figsize=(9, 4), layout=layout)
    draw(xor_net(), XOR_X, XOR_Y, ax=left)
    draw(xor_net(), XOR_X, XOR_Y, ax=right)
    figure.canvas.draw()
    assert left.get_legend().get_window_extent().x1 <= right.get_tightbbox().x0
    assert right.get_legend().get_window_extent().x1 <= figure.bbox.x1


def test_missing_matplotlib_names_the_install_command(monkeypatch):
    found = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return found(name, *arguments, **keywords)

    history = fastmlp.History()
    history.loss = np.ones(3)
    install = r"Plots need matplotlib: pip install 'fastmlp\[plot\]' \(in a checkout: pip install '\.\[plot\]'\)"
    with monkeypatch.context() as without:
        without.setattr(builtins, "__import__", refuse)
        with pytest.raises(ImportError, match=install):
            history.plot()


def test_plots_module_imports_without_matplotlib(fresh_python):
    done = fresh_python("import sys, fastmlp\nfastmlp.plots.history\nprint('matplotlib' in sys.modules)")
    assert (done.stdout.strip(), done.stderr) == ("False", "")
