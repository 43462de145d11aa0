"""Style of all plots: palette, Axes, legends, and formatting of numbers."""

from __future__ import annotations

from typing import Any

from ..errors import install_command

# Okabe and Ito 2008, "Color universal design".
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, YELLOW, BLACK)  # neighbours differ in lightness
MARKERS = "os^DvPX<>p*h"
INK, FAINT, GRID = "#333333", "#767676", "#E4E4E4"  # FAINT has a contrast of 4.5 on white, the minimum for small text
TITLE, LABEL, SMALL = 11.0, 9.5, 8.5  # points


def import_pyplot() -> Any:
    """Return the module matplotlib.pyplot.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f"Plots need matplotlib: {install_command('plot')}.") from error
    return plt


def axes(ax: Any, width: float = 6.0, height: float = 3.8) -> Any:
    """Return `ax`, or the Axes of a new figure, with unobtrusive spines and ticks.

    width, height : size of a new figure in inches
    """
    if ax is None:
        _, ax = import_pyplot().subplots(figsize=(width, height), layout="constrained", facecolor="white")
        ax.set_facecolor("white")  # independent of the user's style, because the palette is made for white
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(FAINT)
    ax.tick_params(which="both", labelsize=SMALL, color=FAINT, labelcolor=INK)
    ax.set_axisbelow(True)
    return ax


def label_axes(ax: Any, title: str = "", x: str = "", y: str = "", size: float = TITLE) -> Any:
    """Set title and axis labels of an Axes, and return it."""
    ax.set_title(title, loc="left", fontsize=size, color=INK)
    ax.set_xlabel(x, fontsize=LABEL, color=INK)
    ax.set_ylabel(y, fontsize=LABEL, color=INK)
    return ax


def literal_text(text: Any, max_length: int = 0) -> str:
    r"""Return a user's text (class name, column name, title) in a form that matplotlib shows literally.

    A dollar sign then starts no formula, and a leading underscore hides no legend entry.

    max_length : largest number of characters; longer text is cut with an ellipsis; 0 for no limit

    >>> literal_text(r"$\foo$"), literal_text("_x"), literal_text("a long name", 6)
    ('\\$\\foo\\$', ' _x', 'a lon…')
    """
    shown = str(text)
    if max_length and len(shown) > max_length:
        shown = f"{shown[: max_length - 1]}…"
    shown = shown.replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def legend(ax: Any, *, beside: bool = False, title: str | None = None) -> None:
    """Add a legend: where it covers least or, with beside=True, to the right of the Axes.

    Only a figure with a layout engine makes room there; without one, it would cover the Axes next to it.
    """
    place: dict[str, Any] = {"loc": "best", "framealpha": 0.85, "edgecolor": "none"}
    if beside and ax.figure.get_layout_engine() is not None:
        place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0, "frameon": False}
    look = {"fontsize": SMALL, "labelcolor": INK, "handletextpad": 0.5, "title_fontproperties": {"size": SMALL}}
    ax.legend(title=title, **look, **place)


def epoch_axis(ax: Any) -> None:
    """Format the x axis with whole numbers and thousands separators."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))


def number(value: float) -> str:
    """Format a number for a tick: 0.001, 0.5, 20, 5,000, 1e-06.

    >>> [number(x) for x in (1e-6, 0.001, 0.5, 20.0, 5000.0, 2e7)]
    ['1e-06', '0.001', '0.5', '20', '5,000', '2e+07']
    """
    if value == 0 or 1e-4 <= abs(value) < 1e7:
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"
    return f"{value:.0e}"


def percent(fraction: float) -> str:
    """Format a fraction as a percentage. Fractions other than 0 and 1 are not rounded to 0 % or 100 %.

    >>> percent(1.0), percent(0.99996), percent(0.5), percent(0.0)
    ('100 %', '99.9 %', '50 %', '0 %')
    """
    percentage = 100.0 * fraction
    if 1e-6 < percentage < 0.1:
        return "under 0.1 %"
    rounded = min(percentage, 99.9) if percentage < 100.0 else percentage
    return f"{rounded:.1f}".removesuffix(".0") + " %"
