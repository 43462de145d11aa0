"""The figures of studies/larger_than_memory.py in the guide: tables and sentences in Markdown, and a picture.

Run: python bench/tools/stream_report.py [--results FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from tools.report import with_tables
from tools.svg_picture import svg_picture

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results" / "larger_than_memory.json"
PAGE = ROOT / "docs" / "guide" / "larger_than_memory.md"
PICTURE = ROOT / "docs" / "_static" / "larger_than_memory.svg"
MARKS = (
    "<!-- figures: bench/tools/stream_report.py writes them from bench/results/larger_than_memory.json, "
    "where it exists -->",
    "<!-- end of figures -->",
)
LEAST_SPEED = 0.85  # of that in memory, to reach in later epochs
MOST_FIRST = 1.5  # times the floor that the first epoch may take
MOST_RESIDENT = 1e9  # bytes
KINDS = {  # of epochs in the rounds of the part `baseline`
    "in_memory": "in memory",
    "streamed": "over the file",
    "emptied": "over the file after the page cache was emptied",
}

Results = dict[str, dict[str, Any]]


class Epochs(NamedTuple):
    """Epochs of one kind, of all rounds."""

    seconds: list[float]  # of each round, the median of its epochs
    rows: int
    from_disk: float  # largest part of an epoch's bytes that the disk has read

    @property
    def speed(self) -> float:
        """Rows per second, the median over the rounds."""
        return self.rows / median(self.seconds)


def epochs_of(results: Results) -> dict[str, Epochs]:
    """Return the epochs of the part `baseline` by their kind; one that was not measured is left out."""
    part = results["baseline"]
    found = {}
    for kind in KINDS:
        turns = [round_[kind] for round_ in part["rounds"] if kind in round_]
        if turns:
            n = part["rows_in_memory"] if kind == "in_memory" else part["rows"]
            of_epoch = max(turn["bytes_from_disk"] / len(turn["seconds"]) for turn in turns)
            seconds = [median(turn["seconds"]) for turn in turns]
            found[kind] = Epochs(seconds, n, of_epoch / (n * part["row_bytes"]))
    return found


def ratios(results: Results, kind: str) -> list[float]:
    """Return the speed of epochs of a kind over that in memory, of each round."""
    epochs = epochs_of(results)
    ours, theirs = epochs[kind], epochs["in_memory"]
    pairs = zip(ours.seconds, theirs.seconds, strict=False)
    return [(ours.rows / seconds) / (theirs.rows / others) for seconds, others in pairs]


def nanoseconds(results: Results) -> dict[int, list[float]]:
    """Return {rows of a file: nanoseconds per row of each turn, the median of its epochs} of the part `rows`."""
    turns = results["rows"]["turns"]
    return {int(n): [1e9 * median(turn["seconds"]) / int(n) for turn in found] for n, found in turns.items()}


def largest_resident(results: Results) -> int:
    """Return the largest resident memory of the process with the streamed fit, in bytes."""
    part = results["baseline"]
    streamed = [turn for round_ in part["rounds"] for kind, turn in round_.items() if kind != "in_memory"]
    return max(turn["largest_resident"] for turn in (part["first_epoch"], *streamed))


def markdown(results: Results) -> str:
    """Return what the guide says about the results; parts that were not measured are left out, but `baseline`."""
    lines = ["| | rows per second | resident memory |", "|---|---|---|"]
    for kind, epochs in epochs_of(results).items():
        resident = "" if kind == "in_memory" else f"{largest_resident(results) / 1e9:.2f} GB"
        lines.append(f"| epochs {KINDS[kind]} | {_speeds(epochs)} | {resident} |")
    if (part := results.get("torch")) is not None:
        name = f"PyTorch {part['version']}, a DataLoader over the row groups"
        lines.append(f"| {name} | {part['rows_a_second']:,.0f} | {part['largest_resident'] / 1e9:.2f} GB |")
    if (part := results.get("xgboost")) is not None:
        speed = f"{part['rows_a_second_of_reading']:,.0f} to read, {part['rows_a_second_of_a_tree']:,.0f} a tree"
        resident = f"{part['largest_resident'] / 1e9:.2f} GB"
        lines.append(f"| XGBoost {part['version']}, external memory | {speed} | {resident} |")
    lines += ["", *_sentences(results)]
    if "rows" in results:
        lines += ["", *_table_of_rows(results)]
    return "\n".join([*lines, "", f"![{_caption(results)}](../_static/{PICTURE.name})"])


def _speeds(epochs: Epochs) -> str:
    slowest, fastest = (f"{epochs.rows / seconds:,.0f}" for seconds in (max(epochs.seconds), min(epochs.seconds)))
    return f"{epochs.speed:,.0f} ({slowest} to {fastest})"


def _sentences(results: Results) -> list[str]:
    part, machine = results["baseline"], results["baseline"]["machine"]
    net = "-".join(map(str, part["sizes"]))
    text = (
        f"Medians of {len(part['rounds'])} rounds, and the slowest and fastest one ({part['measured']}): a net {net} "
        f"on {part['rows']:,} rows, {part['file_bytes'] / 1e9:.1f} GB of Parquet, with "
        f'`memory_limit="{part["memory_limit"]}"`, on {machine["processor"]}, {machine["cpus"]} CPUs, '
        f"{machine['memory'] / 2**30:.0f} GiB. In each round, processes take turns: {part['rows_in_memory']:,} rows "
        "that are in memory, and epochs over the file."
    )
    epochs = epochs_of(results)
    for kind in ("streamed", "emptied"):
        if kind in epochs:
            ratio, share = median(ratios(results, kind)), epochs[kind].from_disk
            text += f" Epochs {KINDS[kind]} have {ratio:.0%} of the speed in memory; {_page_cache(share)}."
    text += f" {_aim(min(map(median, _all_ratios(results))), LEAST_SPEED, 'speed', '.0%', at_least=True)}"
    resident = largest_resident(results)
    text += f" {_aim(resident / 1e9, MOST_RESIDENT / 1e9, 'resident memory in GB', '.2f', at_least=False)}"
    text += f" {part['resident_before'] / 1e9:.2f} GB of it are there before the fit."
    return [text, "", _first_epoch(results)]


def _all_ratios(results: Results) -> list[list[float]]:
    return [ratios(results, kind) for kind in ("streamed", "emptied") if kind in epochs_of(results)]


def _page_cache(share: float) -> str:
    """Return where the bytes of an epoch came from; share : part of them that the disk has read"""
    if share < 0.01:
        return "the page cache held all rows"
    return f"the disk read up to {share:.0%} of an epoch's bytes, and the page cache held the others"


def _aim(value: float, aim: float, what: str, form: str, at_least: bool) -> str:
    reached = value >= aim if at_least else value <= aim
    words = "at least" if at_least else "at most"
    return f"The aim for {what}, {words} {aim:{form}}, is {'reached' if reached else f'missed with {value:{form}}'}."


def _first_epoch(results: Results) -> str:
    seconds = results["baseline"]["first_epoch"]["seconds"][0]
    text = f"The first epoch, in which rows are also read, checked and written to the cache, takes {seconds:.0f} s."
    if "floor" in results:
        floor, emptied = results["floor"]["seconds"], results["floor"]["emptied_page_cache"]
        aim = _aim(seconds / floor, MOST_FIRST, "the first epoch in multiples of that", ".2f", at_least=False)
        text += f" To read the file with pyarrow and to write as many bytes takes {floor:.0f} s"
        text += f"{'' if emptied else ', with a page cache that was not emptied before'}. {aim}"
    if "disk" in results and results["disk"]["emptied_page_cache"]:  # otherwise both reads may be from the page cache
        disk = results["disk"]
        speeds = disk["bytes_a_second"] / 1e9, disk["bytes_a_second_again"] / 1e9
        text += f" The disk reads {speeds[0]:.2f} GB/s, the page cache gives {speeds[1]:.1f} GB/s."
    return text


def _table_of_rows(results: Results) -> list[str]:
    part = results["rows"]
    net, figures = "-".join(map(str, part["sizes"])), nanoseconds(results)
    lines = [
        f"The time of a row in later epochs over files of {part['sizes'][0]} columns, for a net {net} with "
        f'`memory_limit="{part["memory_limit"]}"`, likewise in turns; fewer columns than above, so that the largest '
        "file fits onto the disk:",
        "",
        "| rows | ns a row, median | least and most |",
        "|---|---|---|",
    ]
    lines += [f"| {n:,} | {median(ns):.0f} | {min(ns):.0f} to {max(ns):.0f} |" for n, ns in figures.items()]
    return lines


def _caption(results: Results) -> str:
    about_rows = ", and the time per row over the rows of a file" if "rows" in results else ""
    return f"Seconds of each epoch over the file, with those at the speed in memory{about_rows}"


def picture(results: Results) -> str:
    """Return an SVG: the epochs over the file as bars and, if they were measured, times per row over rows."""
    panels = [_draw_epochs, _draw_rows] if "rows" in results else [_draw_epochs]

    def draw(figure: Any) -> None:
        for draw_panel, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
            draw_panel(axes, results)

    return svg_picture((4.5 * len(panels), 3.2), draw)


def _draw_epochs(axes: Any, results: Results) -> None:
    from fastmlp.plots.style import BLUE, INK, SKY, VERMILLION

    part, epochs = results["baseline"], epochs_of(results)
    in_memory = part["rows"] / epochs["in_memory"].speed
    bars = [(part["first_epoch"]["seconds"][0], VERMILLION, "first epoch, with the writing of the cache")]
    for k in range(len(part["rounds"])):
        for kind, colour in (("streamed", BLUE), ("emptied", SKY)):
            if kind in part["rounds"][k]:
                bars.append((part["rounds"][k][kind]["seconds"][0], colour, f"epoch {KINDS[kind]}"))
    seen: set[str] = set()
    for number, (seconds, colour, label) in enumerate(bars, 1):
        axes.bar(number, seconds, color=colour, label=None if label in seen else label)
        seen.add(label)
    axes.axhline(in_memory, color=INK, linewidth=1, label="at the speed in memory")
    axes.axhline(in_memory / LEAST_SPEED, color=INK, linewidth=1, linestyle=":", label=f"at {LEAST_SPEED:.0%} of it")
    if "floor" in results:
        floor = results["floor"]["seconds"]
        axes.axhline(floor, color=VERMILLION, linewidth=1, linestyle="--", label="pyarrow reads and writes as much")
    axes.set(xlabel="epoch", ylabel=f"seconds, {part['rows'] / 1e6:.0f} million rows", ylim=(0, None))
    axes.set_xticks(range(1, len(bars) + 1))
    axes.set_ylim(0, 1.5 * axes.get_ylim()[1])  # room for the legend above bars and lines
    axes.legend(frameon=False, fontsize=7, loc="upper right")


def _draw_rows(axes: Any, results: Results) -> None:
    from fastmlp.plots.style import BLUE

    figures = nanoseconds(results)
    middles = [median(ns) for ns in figures.values()]
    spread = [[m - min(ns) for m, ns in zip(middles, figures.values(), strict=True)]]
    spread += [[max(ns) - m for m, ns in zip(middles, figures.values(), strict=True)]]
    axes.errorbar(list(figures), middles, spread, color=BLUE, marker="o", markersize=5, linewidth=1, capsize=3)
    axes.set(xscale="log", xlabel="rows of the file", ylabel="nanoseconds per row", ylim=(0, 1.5 * max(middles)))
    axes.set_xticks(list(figures), [f"{n / 1e6:g} million" for n in figures])
    axes.set_xticks([], minor=True)


def main() -> None:
    from fastmlp.runtime.output_files import write_text

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON file that the study has written")
    results = json.loads(parser.parse_args().results.read_text())
    write_text(PAGE, with_tables(PAGE.read_text(), markdown(results), MARKS))
    write_text(PICTURE, picture(results))


if __name__ == "__main__":
    main()
