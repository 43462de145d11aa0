"""Writes a page and tables of saved results, or the README's tables.

    python bench/tools/report.py [RESULT.json]            writes RESULT.html and RESULT.md beside it
    python bench/tools/report.py --readme [RESULT.json ...]   writes README.md's tables anew from the committed results

RESULT.json is what `pytest bench --save RESULT.json` wrote; bench/results/latest.json if none is given. With --readme
the results of bench/results/cpu.json, and of cuda.json where there is one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results"
README = ROOT / "README.md"
BEGIN, END = "<!-- benchmarks: written by bench/tools/report.py --readme -->", "<!-- end of benchmarks -->"


def committed() -> list[Path]:
    """The results that the README shows, those of the CPU first."""
    return [path for path in (RESULTS / "cpu.json", RESULTS / "cuda.json") if path.exists()]


def tables(paths: list[Path]) -> str:
    """The tables between the README's two marks."""
    from fastmlp.benchmarks import results as bench_results
    from fastmlp.benchmarks import tables as bench_tables

    parts = []
    for path in paths:
        results = bench_results.load(path)
        parts += ["  \n".join(bench_tables.machine_lines(results))]
        parts += [f"> {text}" for text in bench_tables.warnings_of(results)]
        parts += [bench_tables.headline_markdown(results), bench_tables.markdown(results)]
    return "\n\n".join(parts)


def with_tables(readme: str, text: str) -> str:
    """The README with `text` between its marks.

    Raises
    ------
    ValueError
        If it does not have both marks, in order.
    """
    before, begin, after_begin = readme.partition(BEGIN)
    _, end, after = after_begin.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md needs the two marks {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="*")
    parser.add_argument("--readme", action="store_true", help="write README.md's tables anew")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "src"))  # it also runs without an installed fastmlp
    from fastmlp.benchmarks import html_page as bench_page
    from fastmlp.benchmarks import results as bench_results
    from fastmlp.output_files import write_text

    try:
        if options.readme:
            paths = options.results or committed()
            if not paths:
                raise ValueError(
                    "There are no results in bench/results: run `pytest bench --save bench/results/cpu.json`."
                )
            write_text(README, with_tables(README.read_text(encoding="utf-8"), tables(paths)))
            print(f"wrote the tables of {README}")
            return 0
        for path in options.results or [RESULTS / "latest.json"]:
            for written in bench_page.write(bench_results.load(path), path):
                print(f"wrote {written}")
    except (ValueError, OSError) as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
