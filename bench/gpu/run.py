"""`python bench/gpu/run.py`: what a GPU is measured for, the most important first.

    python bench/gpu/run.py [--quick] [--output FOLDER]
    python bench/gpu/run.py --tests [--output FOLDER]

The first command takes at most eight minutes. It measures the GPU's limits; the constants by which fastmlp chooses
kernels and devices, in at most two minutes, with lines to paste into the sources; fastmlp's own times; and then each
case again beside its competitors. The second one runs the tests whose result depends on the GPU. They need this
repository, NumPy, Numba and CuPy (the tests pytest and SciPy, too), and use PyTorch and JAX if they are installed. The
first prints tables; both write a table and a JSON file to bench/results/, named after the GPU, after each measurement.

Every competitor is verified before it is timed, against float64 NumPy; for single nets fastmlp's gradient is compared
with the CPU's. Each measurement has a process of its own, which is stopped when its share of the time is over. A
competitor that compiles for too long, or crashes, costs its own figure only. A competitor or case without a figure has
a line with the reason.

Times are medians of interleaved rounds, in microseconds per step (per epoch for populations), synchronised at the end
of each round of many steps. fastmlp is also measured with every step launched kernel by kernel instead of replayed as a
CUDA graph, and with a small net layer by layer, which shows the overhead of launches; notes say whether graphs were
used, and how much of a fit is set-up. The limits: copies for bandwidth; bare cuBLAS products of the same precision,
replayed as graphs, for a step; and for populations the GPU's arithmetic: multiply-adds, and operations counted as such
(an exponential and a division as 16), at the rate of a kernel that does nothing but multiply-adds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
for entry in (ROOT / "src", ROOT / "bench"):
    sys.path.insert(0, str(entry))
# Processes that are started from here, also by the package itself, find it in the same place.
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX would take three quarters of the GPU's memory
ONE_PROCESS = 3  # cudaComputeModeExclusiveProcess: a GPU that refuses a second process while one uses it
START_SECONDS = 60.0  # the limit for finding the GPU
BESIDE = "with competitors: "  # how the name of a case begins when it is measured beside its competitors

import fastmlp  # noqa: E402
from fastmlp.runtime.output_files import write_text  # noqa: E402
from gpu import cases, constants  # noqa: E402
from gpu.device_tests import run_tests  # noqa: E402
from gpu.processes import MINUTES, run_in_process, write  # noqa: E402


def phases() -> list[tuple[list[str], float]]:
    """[(names of measurements, the seconds that they may take together)], in their order."""
    names = list(cases.case_builders(None, True))
    return [
        (["limits"], 30.0),
        (list(constants.PARTS), 120.0),
        (names, 180.0),
        ([BESIDE + name for name in names], inf),  # what is left
    ]


def table(results: dict[str, Any]) -> str:
    lines = [
        "| case | unit | competitor | median | spread | to the limit | ours is faster by | target |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case, row in results["cases"].items():
        if "error" in row:
            lines.append(f"| {case} | {row['error']} | | | | | | |")
            continue
        medians = {name: float(np.median(times)) for name, times in row["times"].items()}
        for name, value in medians.items():
            low, high = min(row["times"][name]), max(row["times"][name])
            lines.append(
                f"| {case} | {row['unit']} | {name} | {value:.4g} | {low:.3g} to {high:.3g} | "
                f"{value / row['limit']:.2f} | {value / medians['fastmlp']:.2f} | {row['target']} |"
            )
        notes = {name: f"left out: {reason}" for name, reason in row["left_out"].items()} | row.get("notes", {})
        lines += [f"| {case} | | {name} | {text.replace('|', '/')} | | | | |" for name, text in notes.items()]
    return "\n".join(lines)


def measure(name: str, quick: bool, known: dict[str, float], save_row: cases.SaveRow) -> dict[str, Any]:
    """Measure one thing: "devices", or one of the measurements of `phases`.

    known : limits and constants, as far as they have been measured
    save_row : called with the row of a case after each addition
    """
    if name == "devices":
        return describe_gpu()
    if name in constants.PARTS:
        return constants.measure(name, known, save_row)
    import cupy

    from gpu import limits

    if name == "limits":
        return limits.limits(cupy, *((2**24, 1024, 1000) if quick else (2**28, 8192, 100_000)))
    rate, is_beside = known.get("multiply-adds/s", float("nan")), name.startswith(BESIDE)
    return cases.case_builders(cupy, quick, rate, is_beside, save_row)[name.removeprefix(BESIDE)]()


def describe_gpu() -> dict[str, Any]:
    """{"gpu": description, "exclusive": whether it takes one process at a time}, or {"error": why there is none}."""
    first = next(row for row in fastmlp.devices() if row.name.startswith("cuda"))
    if not first.available:
        return {"error": first.reason}
    import cupy

    return {"gpu": first.description, "exclusive": cupy.cuda.Device(0).attributes.get("ComputeMode") == ONE_PROCESS}


def paths(results: dict[str, Any], folder: Path) -> tuple[Path, Path]:
    """The JSON file and the table."""
    name = f"gpu-{results['gpu'].partition(',')[0].lower().replace(' ', '-')}"
    return folder / f"{name}.json", folder / f"{name}.md"


def save(results: dict[str, Any], folder: Path) -> None:
    """Save the results after each measurement, so that nothing is lost if a later one fails."""
    folder.mkdir(parents=True, exist_ok=True)
    of_json, of_table = paths(results, folder)
    write_text(of_json, json.dumps(results, indent=1) + "\n")
    as_text = lambda value: value if isinstance(value, str) else f"{value:.4g}"
    limits = ", ".join(f"{name} {as_text(value)}" for name, value in results["limits"].items())
    to_paste = constants.to_paste(constants.values_of(results["constants"]), results["gpu"])
    head = f"{results['gpu']}; tests: {results['tests']}; {limits}\n\n```\n{to_paste}\n```\n"
    write_text(of_table, f"{head}\n{table(results)}\n")


def begin() -> tuple[dict[str, Any], bool]:
    """(results without any, whether the GPU takes one process at a time); ends the program if there is no GPU."""
    # In a process of its own: this one would hold the GPU, which may be exclusive to one process.
    row = run_in_process("devices", True, START_SECONDS, {})
    if "error" in row:
        sys.exit(f"There is no GPU to measure: {row['error']}.")
    versions = {"python": platform.python_version(), "fastmlp": fastmlp.__version__}
    return {"gpu": row["gpu"], **versions, "tests": "not run", "limits": {}, "constants": {}, "cases": {}}, row[
        "exclusive"
    ]


def earlier(results: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What another call has measured on this GPU."""
    path, _ = paths(results, folder)
    return json.loads(path.read_text()) if path.exists() else {}


def run(quick: bool, output: Path) -> None:
    """Measure everything, the most important first, and save and print each result."""
    end = time.monotonic() + 60 * MINUTES
    results, _ = begin()
    results["tests"] = earlier(results, output).get("tests", results["tests"])
    of_json, _ = paths(results, output)
    if of_json.exists():  # this run may be stopped before it has as much
        of_json.replace(of_json.with_suffix(".before.json"))
    for names, most in phases():
        end_of_phase = min(end, time.monotonic() + most)
        for k, name in enumerate(names):
            n_left = len(names) - k
            n_shares = min(3, n_left) if name in constants.PARTS else n_left  # the most useful ones come first
            seconds = (end_of_phase - time.monotonic()) / n_shares
            known = results["limits"] | constants.values_of(results["constants"])
            print(take(results, name, run_in_process(name, quick, seconds, known)), flush=True)
            save(results, output)
    print(table(results))


def take(results: dict[str, Any], name: str, row: dict[str, Any]) -> str:
    """Add a row to the results, and return it as text."""
    if name == "limits":
        results["limits"] = row
        return str(row)
    if name in constants.PARTS:
        results["constants"][name] = row
        to_paste = constants.to_paste(constants.values_of(results["constants"]), results["gpu"])
        return f"{name}: {row}\n{to_paste}"
    case = name.removeprefix(BESIDE)
    results["cases"][case] = cases.joined(results["cases"][case], row) if name != case else row
    return table({"cases": {case: results["cases"][case]}})


def run_only_tests(output: Path) -> None:
    """Run the tests, and save what became of them beside the results of the benchmarks."""
    end = time.monotonic() + 60 * MINUTES
    results, is_exclusive = begin()
    results |= earlier(results, output)
    results["tests"] = run_tests(end - time.monotonic(), is_exclusive)
    print(f"tests: {results['tests']}", flush=True)
    save(results, output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--tests", action="store_true", help="the tests instead")
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / "results")
    for internal in ("--only", "--into", "--known"):  # of the processes that this one starts
        parser.add_argument(internal, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        save_row = lambda row: write(row, Path(options.into))
        save_row(measure(options.only, options.quick, json.loads(options.known), save_row))
    elif options.tests:
        run_only_tests(options.output)
    else:
        run(options.quick, options.output)


if __name__ == "__main__":
    main()
