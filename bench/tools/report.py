"""Writes the tables of saved results, or the tables and plots of the documents.

    python bench/tools/report.py [RESULT.json]              writes RESULT.md beside it, with all tables
    python bench/tools/report.py --documents [RESULT.json ...]   writes the tables of README.md and of
                                                            docs/explanation/performance.md, and its plots, anew
    python bench/tools/report.py --publish RESULT.json      copies RESULT.json to bench/results, in place of earlier
                                                            results of the same processor and number of CPUs, or of
                                                            the same GPU, and writes the documents

RESULT.json is what `pytest bench --save RESULT.json` wrote; bench/results/latest.json if none is given, and with
--documents all published results, bench/results/cpu-PROCESSOR.json and cuda-GPU.json, the newest first.
performance.md has all tables of the first of each device and a summary of the others, README.md a summary of the first
of each device, and plots are of the first.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "src")]  # it also runs without an installed fastmlp

from reporting import result_files, result_texts  # noqa: E402
from reporting.result_statistics import curves, outside_curves  # noqa: E402

from fastmlp.runtime.output_files import write_bytes  # noqa: E402

RESULTS = ROOT / "bench" / "results"
README = ROOT / "README.md"  # one short table
PERFORMANCE = ROOT / "docs" / "explanation" / "performance.md"  # all tables
PLOTS = ROOT / "docs" / "_static" / "benchmarks"
OVERVIEW = "cases.svg"
BEGIN, END = "<!-- benchmarks: written by bench/tools/report.py --documents -->", "<!-- end of benchmarks -->"
MARK = "<!-- results: {} -->"  # at the end of a plot, with a digest of the results that it shows


def committed() -> list[Path]:
    """Return the paths of the published results, the newest first, and those of the CPU before those of a GPU."""
    finished = lambda path: result_files.load(path)["finished"]
    return [path for device in ("cpu", "cuda") for path in sorted(RESULTS.glob(f"{device}-*.json"), key=finished)[::-1]]


def publish(path: Path) -> Path:
    """Copy results to the folder of published ones, and return the path of the copy.

    Raises
    ------
    ValueError
        If the results are of a quick run, or lack rows of a full one.
    """
    results = result_files.load(path)
    if results["options"]["quick"]:
        raise ValueError(f"{path} is of a quick run: publish one of `pytest bench --save {path}`.")
    have = {(result["name"], row["name"]) for result in results["results"] for row in result["rows"]}
    if lacking := programs_of_suite(results["options"]["device"]) - have:
        case, name = min(lacking)
        raise ValueError(
            f"{path} lacks rows of a full run, such as that of {name!r} in {case!r} ({len(lacking)} in all): add them "
            f"by `pytest bench --resume --save {path}`."
        )
    copy = RESULTS / result_files.published_name(results)
    write_bytes(copy, path.read_bytes())
    return copy


def programs_of_suite(device: str) -> set[tuple[str, str]]:
    """Return {(case, fastmlp or a competitor that computes on the device)} of a run without --largest."""
    from suite.case_lookup import ENTRIES

    found = set()
    for entry in ENTRIES:
        able = [competitor for competitor in entry.competitors if device in competitor.devices]
        if any(competitor.kind == "ours" for competitor in able) and not entry.largest:
            found |= {(entry.name, one.name) for one in able if one.kind in ("ours", "peer")}
    return found


def tables(paths: list[Path]) -> str:
    """Return what is between the two marks of docs/explanation/performance.md: a section for each file.

    The first of each device has all tables, the others a summary and the name of their file.
    """
    parts, seen = [], set()
    for path, results in zip(paths, map(result_files.load, paths), strict=True):
        parts += [f"### {result_texts.device_text(results)}", *about(results)]
        if (device := results["options"]["device"]) in seen:
            parts += [result_texts.headline_markdown(results), f"All rows: `bench/results/{path.name}`."]
        else:
            parts += [result_texts.markdown(results)]
        seen.add(device)
    return "\n\n".join(parts)


def page(results: dict[str, Any]) -> str:
    """Return the tables of results, also those of the curves, and all programs of each case."""
    parts = [f"# {result_texts.device_text(results)}", *about(results), *result_texts.missing_lines(results)]
    parts += [result_texts.headline_markdown(results), result_texts.markdown(results)]
    parts += [f"**{name}**\n\n{result_texts.table_markdown(points)}" for name, points in curves(results).items()]
    parts += ["## All programs", *map(result_texts.case_markdown, outside_curves(results)), results["how"]]
    return "\n\n".join(parts) + "\n"


def about(results: dict[str, Any]) -> list[str]:
    """Return paragraphs on the machine, warnings, and the cases where a competitor is faster."""
    warnings = [f"> {text}" for text in result_texts.warnings_of(results)]
    return ["  \n".join(result_texts.machine_lines(results)), *warnings, result_texts.losses_markdown(results)]


def short_table(paths: list[Path]) -> str:
    """Return the table between the README's two marks: a row per group of cases, of each device's first file."""
    first_of_device: dict[str, dict[str, Any]] = {}
    for results in map(result_files.load, paths):
        first_of_device.setdefault(results["options"]["device"], results)
    parts = []
    for results in first_of_device.values():
        parts += [result_texts.machine_lines(results)[0] + ".", result_texts.headline_markdown(results)]
    return "\n\n".join(parts)


def with_tables(document: str, text: str, marks: tuple[str, str] = (BEGIN, END)) -> str:
    """A document with `text` between its two marks.

    Raises
    ------
    ValueError
        If a mark is missing, or the second comes first.
    """
    before, begin, after_begin = document.partition(marks[0])
    _, end, after = after_begin.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"The document needs the two marks {marks[0]} and {marks[1]}.")
    return f"{before}{marks[0]}\n\n{text}\n\n{marks[1]}{after}"


def documents(paths: list[Path]) -> dict[Path, str]:
    """Return {path of a document: its text with the tables of these results}."""
    texts = {README: short_table(paths), PERFORMANCE: tables(paths)}
    return {path: with_tables(path.read_text(encoding="utf-8"), text) for path, text in texts.items()}


def mark(source: Path) -> str:
    """Return the mark of plots of a file of results."""
    return MARK.format(hashlib.sha256(source.read_bytes()).hexdigest()[:16])


def plot_names(results: dict[str, Any]) -> dict[str, str]:
    """Return {name of a curve: name of the file of its plot}."""
    return {name: points[0]["curve"]["axis"].replace(" ", "-") + ".svg" for name, points in curves(results).items()}


def plots(source: Path) -> dict[Path, str]:
    """Return {path of a plot: its text}, of the results in a file."""
    from reporting.plots import curve_pictures, overview

    results = result_files.load(source)
    texts = {OVERVIEW: overview(results)}
    texts |= {plot_names(results)[name]: text for name, text in curve_pictures(results).items()}
    return {PLOTS / name: f"{text.rstrip()}\n{mark(source)}\n" for name, text in texts.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="*")
    parser.add_argument("--documents", action="store_true", help="write the tables and plots of the documents anew")
    parser.add_argument("--publish", action="store_true", help="copy results to bench/results, and do --documents")
    options = parser.parse_args()
    try:
        named = options.results or [RESULTS / "latest.json"]
        texts = {}
        if options.publish:
            for path in named:
                print(f"wrote {publish(path)}")
        if options.publish or options.documents:
            paths = committed() if options.publish else options.results or committed()
            if not paths:
                raise ValueError("There are no published results in bench/results: see --publish.")
            texts = documents(paths) | plots(paths[0])
            PLOTS.mkdir(parents=True, exist_ok=True)
        else:
            texts = {path.with_suffix(".md"): page(result_files.load(path)) for path in named}
        for path, text in texts.items():
            write_bytes(path, text.encode())
            print(f"wrote {path}")
    except (ValueError, OSError) as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
