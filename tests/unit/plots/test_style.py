"""Style of all plots: palette, logarithmic axes, panels."""

import builtins

import numpy as np
import pytest

import fastmlp
from fastmlp.plots import style


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


def seen(colour, weakness):
    """CIELAB of an sRGB colour as a dichromat sees it: Viénot, Brettel, Mollon 1999, in linear RGB."""
    from matplotlib.colors import to_rgb

    r, g, b = np.array(to_rgb(colour)) ** 2.2
    red = {"protanopia": 0.11238 * r + 0.88762 * g, "deuteranopia": 0.29275 * r + 0.70725 * g}[weakness]
    blue = {"protanopia": 0.00401 * r - 0.00401 * g + b, "deuteranopia": -0.02234 * r + 0.02234 * g + b}[weakness]
    linear = np.array([red, red, blue]).clip(0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    x, y, z = np.cbrt(xyz / [0.9505, 1.0, 1.089])  # the linear part, for nearly black, is left out
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("weakness", ["protanopia", "deuteranopia"])
def test_palette_is_distinguishable_for_colour_blind_readers(weakness):
    """Colours differ by more than 10 units of CIELAB, a difference visible at a glance."""
    colours = [seen(colour, weakness) for colour in style.PALETTE[:5]]
    for k, one in enumerate(colours):
        for other in colours[:k]:
            assert np.linalg.norm(one - other) > 10
    red, green = {"protanopia": ("#ff0000", "#5e5e00"), "deuteranopia": ("#b80000", "#606000")}[weakness]
    assert np.linalg.norm(seen(red, weakness) - seen(green, weakness)) < 10, (
        "the simulation must find confusable colours alike"
    )
