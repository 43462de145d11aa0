"""Draws the floors of the code with a fit's way through them, and the memory layouts: python docs/make_drawings.py.

It writes docs/_static/floors.svg and docs/_static/layouts.svg, which docs/architecture.md shows.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "_static"

INK, SOFT, LINE, PAPER = "#1c1c1e", "#5f6368", "#c9ccd1", "#ffffff"
ACCENT = "#c0392b"
FLOOR, DEVICE = "#eef3f8", "#e6f2ea"
BLUE, GREEN, ORANGE, GREY = "#9ec5e8", "#a8d5ba", "#f3c99f", "#e4e5e8"


class Svg:
    """Elements of a drawing on white paper, so that it can be read in dark pages too."""

    def __init__(self, width: int, height: int, title: str):
        self.width, self.height, self.title = width, height, title
        self.parts: list[str] = []

    def box(self, x, y, width, height, fill, stroke=LINE, corner=4):
        size = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{corner}"'
        self.parts.append(f'<rect {size} fill="{fill}" stroke="{stroke}"/>')

    def text(self, x, y, words, size=13, fill=INK, anchor="start", weight="normal"):
        style = f'font-size="{size}" fill="{fill}" text-anchor="{anchor}" font-weight="{weight}"'
        self.parts.append(f'<text x="{x:g}" y="{y:g}" {style}>{escape(words)}</text>')

    def path(self, points, stroke=SOFT, width=1.5, dashes=""):
        line = " ".join(f"{x:g},{y:g}" for x, y in points)
        more = f' stroke-dasharray="{dashes}"' * bool(dashes)
        self.parts.append(f'<polyline points="{line}" fill="none" stroke="{stroke}" stroke-width="{width}"{more}/>')

    def circle(self, x, y, radius, fill):
        self.parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="{radius}" fill="{fill}"/>')

    def __str__(self):
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
        head += f'width="{self.width}" height="{self.height}" font-family="Helvetica, Arial, sans-serif" role="img">'
        paper = f'<rect width="{self.width}" height="{self.height}" rx="8" fill="{PAPER}"/>'
        return "\n".join([head, f"<title>{escape(self.title)}</title>", paper, *self.parts, "</svg>\n"])


# ---- the floors of the code, and the phases of a fit


class Floor(NamedTuple):
    modules: str  # separated by commas; "..." stands for further modules of this floor
    what: str

    @property
    def names(self) -> list[str]:
        return self.modules.split(", ")


FLOORS = (  # the highest first, as in docs/architecture.md
    Floor("commands/", "the command"),
    Floor("estimators/, loading.py, warmup.py", "scikit-learn's interface, files"),
    Floor("sweeps/, sampling.py, class_probabilities.py, table_training/, export/", "several nets, other programs"),
    Floor("mlp.py, population.py", "public API"),
    Floor("fit/, nets/", "fits, predictions"),
    Floor("diagnosis/, persistence/", "verdicts, files"),
    Floor("history.py, population_result/, report/, plots/, ...", "records and what shows them"),
    Floor("execution/, executors/, data/, streams/, initialization.py", "dispatch, plans, arrays"),
    Floor("devices.py, network/, tables/", "devices, what a net is"),
    Floor("errors.py, interface/, runtime/, console/, ...", "wording, checks, the process"),
)
KERNEL_FLOORS = (
    Floor("kernels/cpu/, kernels/cuda/", "a folder per device"),
    Floor("kernels/formulas/, simd/, jit/, structs.py", "formulas, vectors, compiler"),
    Floor("kernels/system/", "files, Ctrl-C, forks"),
)


class Phase(NamedTuple):
    floor: str  # a module of the floor that does most of the phase
    words: str


PHASES = (  # docs/architecture.md describes the same nine
    Phase("fit/", "check"),
    Phase("execution/", "make samples"),
    Phase("devices.py", "choose the device"),
    Phase("execution/", "choose the family"),
    Phase("execution/", "borrow buffers"),
    Phase("kernels/cpu/", "train epochs"),
    Phase("fit/", "look"),
    Phase("fit/", "best epoch"),
    Phase("execution/", "release buffers"),
)
CALL = "mlp.py"  # where the way begins and ends
ROW, LEFT, TOP, PHASE_WIDTH = 40, 330, 34, 39


def heights() -> dict[str, float]:
    """Return {module: vertical middle of its floor}."""
    found, y = {}, float(TOP)
    for group in (FLOORS, KERNEL_FLOORS):
        for floor in group:
            found |= dict.fromkeys(floor.names, y + ROW / 2 - 3)
            y += ROW
        y += 26  # the device contract
    return found


def floors() -> Svg:
    n_floors = len(FLOORS) + len(KERNEL_FLOORS)
    width, height = LEFT + PHASE_WIDTH * 10 + 24, TOP + ROW * n_floors + 26 + 74
    svg = Svg(width, height, "The floors of the code, and a fit's way through them in nine phases")
    middle = heights()
    svg.text(14, 22, "floors: imports point down", 13, SOFT)
    svg.text(LEFT + 14, 22, "net.fit(X, y): nine phases, from left to right", 13, ACCENT)
    for group, fill in ((FLOORS, FLOOR), (KERNEL_FLOORS, DEVICE)):
        for floor in group:
            y = middle[floor.names[0]]
            svg.box(10, y - ROW / 2 + 3, width - 20, ROW - 6, fill)
            svg.text(20, y - 2, floor.modules, 12.5, INK, weight="bold")
            svg.text(20, y + 12, floor.what, 11.5, SOFT)
    contract = (middle["errors.py"] + middle["kernels/cpu/"]) / 2
    svg.path([(10, contract), (width - 10, contract)], SOFT, 1.5, "6 4")
    svg.box(14, contract - 9, 250, 18, PAPER, PAPER)
    svg.text(20, contract + 4, "the device contract: kernels/*/backend.py", 12, SOFT)
    x_of = lambda k: LEFT + PHASE_WIDTH * (k + 0.5)
    points = [(x_of(0), middle[CALL])]
    points += [(x_of(k), middle[phase.floor]) for k, phase in enumerate(PHASES, 1)]
    points += [(x_of(len(PHASES)), middle[CALL] + 12)]
    svg.path(points, ACCENT, 2)
    svg.circle(*points[0], 6, ACCENT)
    svg.text(points[0][0] - 12, points[0][1] + 4, "fit", 12.5, ACCENT, "end", "bold")
    svg.text(points[-1][0], points[-1][1] - 4, "History", 12.5, ACCENT, "middle", "bold")
    for k, (x, y) in enumerate(points[1:-1], 1):
        svg.circle(x, y, 11, ACCENT)
        svg.text(x, y + 4.5, str(k), 13, PAPER, "middle", "bold")
    for k, phase in enumerate(PHASES):
        column, row = divmod(k, 3)
        svg.text(24 + column * 235, height - 52 + row * 20, f"{k + 1}  {phase.words}", 13, INK)
    return svg


# ---- memory layouts

CELL, LANES = 26, 16


def cells(svg, x, y, names, fill, first="", width=CELL, height=CELL - 4):
    """Draw a row of cells, and a word to the left of it."""
    for k, name in enumerate(names):
        svg.box(x + k * width, y, width, height, fill if isinstance(fill, str) else fill[k], PAPER, 2)
        svg.text(x + k * width + width / 2, y + height / 2 + 4, name, 10.5, INK, "middle")
    svg.text(x - 8, y + height / 2 + 4, first, 12, SOFT, "end")


def vector(svg, x, y, n, words):
    """Draw the outline of a SIMD vector of n cells, and words below it."""
    svg.parts.append(
        f'<rect x="{x - 1.5:g}" y="{y - 1.5:g}" width="{n * CELL + 1:g}" height="{CELL - 2:g}" rx="4" fill="none" '
        f'stroke="{ACCENT}" stroke-width="2"/>'
    )
    svg.text(x + n * CELL / 2, y + CELL + 12, words, 12, ACCENT, "middle")


def parameters(svg, x, y):
    """Padded parameters of a net 2-3-1 in float32: 13 numbers and three zeros are one cache line."""
    names = [*(f"w{i}{j}" for i in range(2) for j in range(3)), "b0", "b1", "b2", "v0", "v1", "v2", "c0", *["0"] * 3]
    fills = [BLUE] * 6 + [GREEN] * 3 + [BLUE] * 3 + [GREEN] + [GREY] * 3
    svg.text(14, y - 28, "Padded parameters of a net 2-3-1 (float32)", 14, INK, weight="bold")
    svg.text(x, y - 8, "W of layer 1, row by row", 11.5, SOFT)
    svg.text(x + 6 * CELL + 4, y - 8, "its b", 11.5, SOFT)
    svg.text(x + 9 * CELL + 4, y - 8, "W, b of layer 2", 11.5, SOFT)
    svg.text(x + 16 * CELL, y - 8, "zeros", 11.5, SOFT, "end")
    cells(svg, x, y, names, fills)
    vector(svg, x, y, 16, "one cache line of 64 bytes: the vector begins at one, and is a whole number of SIMD vectors")


def batch_simd(svg, x, y):
    svg.text(14, y - 12, "batch_simd: a row per unit, a column per sample", 14, INK, weight="bold")
    for unit in range(3):
        cells(svg, x, y + unit * CELL, [f"s{s}" for s in range(LANES)], ORANGE, f"unit {unit}")
    vector(svg, x, y + 2 * CELL, LANES, "a vector has one unit of 16 samples: a[unit * columns + sample]")


def layerwise(svg, x, y):
    svg.text(14, y - 12, "layerwise: a row per sample, a column per unit", 14, INK, weight="bold")
    for sample in range(3):
        cells(svg, x, y + sample * CELL, [f"u{u}" for u in range(LANES)], ORANGE, f"sample {sample}")
    vector(svg, x, y + 2 * CELL, LANES, "a vector has 16 units of one sample: a[sample * units + unit]")


def population_simd(svg, x, y):
    svg.text(14, y - 12, "population_simd: a row per parameter, a column per net", 14, INK, weight="bold")
    for row, (name, fill) in enumerate((("w00", BLUE), ("w01", BLUE), ("b0", GREEN))):
        cells(svg, x, y + row * CELL, [f"n{n}" for n in range(LANES)], fill, name)
    vector(svg, x, y + 2 * CELL, LANES, "a vector has one parameter of 16 nets: p[parameter * lanes + net]")


def layouts() -> Svg:
    svg = Svg(580, 566, "Memory layouts: padded parameters, batch_simd, layerwise and population_simd")
    x = 100
    parameters(svg, x, 58)
    batch_simd(svg, x, 156)
    layerwise(svg, x, 306)
    population_simd(svg, x, 456)
    return svg


DRAWINGS = {"floors.svg": floors, "layouts.svg": layouts}


def main():
    for name, draw in DRAWINGS.items():
        path = FOLDER / name
        path.write_text(str(draw()), encoding="utf-8")
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
