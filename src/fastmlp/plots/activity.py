"""Plot of gradients and activations of each layer during training."""

from __future__ import annotations

from typing import Any

import numpy as np

from .sample_checks import require_attributes
from .style import GRID, INK, PANEL_TITLE, axes, epoch_axis, heading, label_axes, legend, log_axis, panels, percent

TITLES = ("Gradient (RMS)", "Spread of outputs (SD)", "Saturated or dead")


def layers(recorder: Any, *, ax: Any = None) -> np.ndarray:
    """Plot size of the gradient, spread of the outputs and fraction of flat units of every layer over the epochs.

    A gradient that shrinks by a factor from layer to layer vanishes. A spread near 0 means that the layer has the same
    output for every sample. Units that are flat for most samples are saturated or dead, and hardly learn.

    Parameters
    ----------
    recorder : LayerRecorder
        Recorder that was among the callbacks of a fit.
    ax : matplotlib.axes.Axes, optional
        Axes to divide into three panels; a new figure by default.

    Returns
    -------
    ndarray of Axes, shape (3,)

    Raises
    ------
    ValueError
        If recorder is not a LayerRecorder, or has recorded nothing.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> recorder, net = fastmlp.LayerRecorder(X, y), fastmlp.MLP((2, 4, 4, 1), random_state=0)
    >>> history = net.fit(X, y, epochs=50, callbacks=[recorder])
    >>> [panel.get_title(loc="left") for panel in layers(recorder)]
    ['Gradient (RMS)', 'Spread of outputs (SD)', 'Saturated or dead']
    """
    require_attributes(
        recorder, ("gradient", "spread"), "a fastmlp.LayerRecorder that was among the callbacks of a fit"
    )
    net = recorder.net
    canvas = axes(ax, 9.6, 3.2)
    epochs = np.array(recorder.epochs) + 1
    names = [f"hidden {k + 1}" for k in range(net.network.layout.n_layers - 1)] + ["output"]
    if len(names) == 2:
        names[0] = "hidden"
    colours, widths = _ordered(len(names))
    panels_ = panels(canvas, 1, 3, 0.25)[0]
    for panel, values in zip(panels_, (recorder.gradient, recorder.spread, recorder.flat), strict=True):
        panel.grid(axis="y", color=GRID, linewidth=0.8)
        for k in range(values.shape[1]):
            mark = {"marker": "o", "markersize": 3} if len(epochs) == 1 else {}
            panel.plot(epochs, values[:, k], color=colours[k], linewidth=widths[k], label=names[k], **mark)
        panel.set_xlim(1, max(2, epochs[-1]))
        epoch_axis(panel)
    size, spread, flat = panels_
    if (recorder.gradient > 0).any():
        size.set_yscale("log")
        log_axis(size.yaxis)
        size.minorticks_off()
    spread.set_ylim(bottom=0.0)
    flat.set_ylim(-0.02, 1.02)
    flat.yaxis.set_major_formatter(lambda value, _: percent(value) if value else "0 %")
    for panel, title in zip(panels_, TITLES, strict=True):
        label_axes(panel, title, "epoch", size=PANEL_TITLE)
    if not recorder.flat.size:
        flat.text(0.5, 0.5, "no hidden layer", transform=flat.transAxes, ha="center", color=INK, fontsize=PANEL_TITLE)
    legend(flat, beside=True, handles=size.get_lines())
    heading(canvas, ax, "Inside the net, layer by layer")
    return panels_


def _ordered(n: int) -> tuple[list[Any], list[float]]:
    """Return colours and widths of the lines for n layers, from dark and thin to light and wide."""
    from matplotlib import colormaps

    return list(colormaps["viridis"](np.linspace(0.0, 0.85, n))), list(np.linspace(1.2, 2.2, n))
