"""Writes a page and tables of saved results, or the tables and plots of the documents.

    python bench/tools/report.py [RESULT.json]              writes RESULT.html and RESULT.md beside it
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
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "src")]  # it also runs without an installed fastmlp
RESULTS = ROOT / "bench" / "results"
README = ROOT / "README.md"  # one short table
PERFORMANCE = ROOT / "docs" / "explanation" / "performance.md"  # all tables
PLOTS = ROOT / "docs" / "_static" / "benchmarks"
BEGIN, END = "<!-- benchmarks: written by bench/tools/report.py --documents -->", "<!-- end of benchmarks -->"


def committed() -> list[Path]:
    """Return the paths of the published results, the newest first, and those of the CPU before those of a GPU."""
    from reporting import result_files

    finished = lambda path: result_files.load(path)["finished"]
    return [path for device in ("cpu", "cuda") for path in sorted(RESULTS.glob(f"{device}-*.json"), key=finished)[::-1]]


def publish(path: Path) -> Path:
    """Copy results to the folder of published ones, and return the path of the copy.

    It replaces earlier results of the same device, also those of a time when files had no microarchitecture.

    Raises
    ------
    ValueError
        If the results are of a quick run, or of a part of the suite.
    """
    from reporting import result_files

    from fastmlp.runtime.output_files import write_text

    results = result_files.load(path)
    if results["options"]["quick"]:
        raise ValueError(f"{path} is of a quick run: publish one of `pytest bench --save {path}`.")
    copy = RESULTS / result_files.published_name(results)
    machine = {key: value for key, value in results["machine"].items() if key != "microarchitecture"}
    older = RESULTS / result_files.published_name(results | {"machine": machine})
    check_complete(path, results, [result_files.load(file) for file in {copy, older} if file.exists()])
    write_text(copy, path.read_text(encoding="utf-8"))
    if older != copy:
        older.unlink(missing_ok=True)
    return copy


def check_complete(path: Path, results: dict[str, Any], replaced: list[dict[str, Any]]) -> None:
    """Raise ValueError if results lack what a full run of the suite measures, or what the replaced results have.

    Competitors whose library is not installed are lacking only if the replaced results have them.
    """
    status = programs(results)
    suite = programs_of_suite(results["options"]["device"])
    lacking = {program for program, is_in_full_run in suite.items() if is_in_full_run and program not in status}
    for earlier in replaced:
        have = {program for program, text in programs(earlier).items() if text != "missing"}
        lacking |= {program for program in have & suite.keys() if status.get(program, "missing") == "missing"}
    if lacking:
        case, name = min(lacking)
        raise ValueError(
            f"{path} lacks rows of a full run, such as that of {name!r} in {case!r} ({len(lacking)} in all): add them "
            f"by `pytest bench --resume --save {path}`, and points that only --largest measures by that option, too."
        )


def programs(results: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Return {(case, fastmlp or a competitor): status}."""
    pairs = [(result["name"], row) for result in results["results"] for row in result["rows"]]
    return {(case, row["name"]): row["status"] for case, row in pairs if row["kind"] in ("ours", "peer")}


def programs_of_suite(device: str) -> dict[tuple[str, str], bool]:
    """Return {(case, fastmlp or a competitor that computes on the device): whether a run without --largest has it}."""
    from suite.case_lookup import ENTRIES

    found = {}
    for entry in ENTRIES:
        able = [competitor for competitor in entry.competitors if device in competitor.devices]
        if any(competitor.kind == "ours" for competitor in able):
            found |= {(entry.name, one.name): not entry.largest for one in able if one.kind in ("ours", "peer")}
    return found


def first_of_each_device(paths: list[Path]) -> list[Path]:
    from reporting import result_files

    by_device: dict[str, Path] = {}
    for path in paths:
        by_device.setdefault(result_files.load(path)["options"]["device"], path)
    return list(by_device.values())


def tables(paths: list[Path]) -> str:
    """Return what is between the two marks of docs/explanation/performance.md: a section for each file.

    The first of each device has all tables, the others a summary and the name of their file.
    """
    from reporting import result_files, result_texts

    parts, complete = [], first_of_each_device(paths)
    for path in paths:
        results = result_files.load(path)
        parts += [f"### {result_texts.device_text(results)}", "  \n".join(result_texts.machine_lines(results))]
        parts += [f"> {text}" for text in result_texts.warnings_of(results)]
        parts += [result_texts.losses_markdown(results)]
        if path in complete:
            parts += [result_texts.markdown(results)]
        else:
            parts += [result_texts.headline_markdown(results), f"All rows: `bench/results/{path.name}`."]
    return "\n\n".join(parts)


def short_table(paths: list[Path]) -> str:
    """Return the table between the README's two marks: a row per group of cases, of each device's first file."""
    from reporting import result_files, result_texts

    parts = []
    for path in first_of_each_device(paths):
        results = result_files.load(path)
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


def write_documents(paths: list[Path]) -> list[Path]:
    """Write the documents and plots, and return the paths of all that was written."""
    from reporting import result_files

    from fastmlp.runtime.output_files import write_text
    from tools import document_plots

    texts = documents(paths)
    for path, text in texts.items():
        write_text(path, text)
    return [*texts, *document_plots.write(result_files.load(paths[0]), paths[0], PLOTS)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="*")
    parser.add_argument("--documents", action="store_true", help="write the tables and plots of the documents anew")
    parser.add_argument("--publish", action="store_true", help="copy results to bench/results, and do --documents")
    options = parser.parse_args()
    from reporting import html_page as bench_page
    from reporting import result_files

    try:
        named = options.results or [RESULTS / "latest.json"]
        if options.publish:
            written = [publish(path) for path in named]
            written += write_documents(committed())
        elif options.documents:
            paths = options.results or committed()
            if not paths:
                raise ValueError("There are no published results in bench/results: see --publish.")
            written = write_documents(paths)
        else:
            written = [page for path in named for page in bench_page.write(result_files.load(path), path)]
        for path in written:
            print(f"wrote {path}")
    except (ValueError, OSError) as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
