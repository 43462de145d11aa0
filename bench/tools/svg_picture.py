"""SVG pictures of the documents: one look, text as text, and the same bytes for the same data."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any


def svg_picture(size: tuple[float, float], draw: Callable[[Any], None]) -> str:
    """Return a picture as an SVG element whose lines have no space at their ends.

    size : width and height in inches
    draw : function that gets the empty Matplotlib figure, and draws in panels that it makes
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "fastmlp", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return "\n".join(line.rstrip() for line in text[text.index("<svg") :].splitlines()) + "\n"
