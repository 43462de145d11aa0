"""The CUDA backend on a real GPU: its tests, then fastmlp beside its competitors and the GPU's own limits.

    python bench/gpu/run.py [--quick] [--no-tests] [--output FOLDER]

One command of at most eight minutes. It needs this repository, NumPy, Numba and CuPy, and uses PyTorch and JAX if they
are installed. It prints a table, and writes it and a JSON file to bench/results/, named after the GPU, as it goes.

Every competitor is verified before it is timed, against float64 NumPy; for single nets fastmlp's gradient is compared
with the CPU's. Each case has a process of its own, which is stopped when its share of the time is over. fastmlp and the
limit are timed and saved first, so that a competitor that compiles for too long, or crashes, costs its own figure only.
A competitor or case without a figure has a line with the reason.

Times are medians of interleaved rounds, in microseconds per step (per epoch for populations), synchronised at the end
of each round of many steps. fastmlp is also measured with every step launched kernel by kernel instead of replayed as a
CUDA graph, and with a small net layer by layer, which shows the overhead of launches; notes say whether graphs were
used, and how much of a fit is set-up. The limits: copies for bandwidth; bare cuBLAS products of the same precision,
replayed as graphs, for a step; and for populations the GPU's arithmetic: multiply-adds, and operations counted as such
(an exponential and a division as 16), at the rate of a kernel that does nothing but multiply-adds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
for entry in (ROOT / "src", ROOT / "bench"):
    sys.path.insert(0, str(entry))
# Processes that are started from here, also by the package itself, find it in the same place.
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX would take three quarters of the GPU's memory
MINUTES, TEST_MINUTES = 8.0, 3.0  # for everything, and for the tests among it
# The tests whose result depends on the GPU. Beside what this script needs, they need pytest and SciPy only.
DEVICE_TESTS = sorted(
    path.relative_to(ROOT)
    for path in (*ROOT.glob("tests/unit/kernels/cuda/**/test_*.py"), *ROOT.glob("tests/cuda/test_*.py"))
)
TEST_OPTIONS = "-m", "emulator", "--device", "cuda", "--require-device", "cuda", "-p", "no:cacheprovider"
# Processes for these tests: one per CPU, since most of the time goes into compiling kernels, one thread each; at least
# two, since a process that waits for the GPU leaves a CPU idle; and at most as many as fit into memory.
MIN_TEST_PROCESSES, MAX_TEST_PROCESSES = 2, 8
ONE_PROCESS = 3  # cudaComputeModeExclusiveProcess: a GPU that refuses a second process while one uses it
# The weight of each measurement when the remaining time is divided; the time that one leaves goes to those after it.
TIME_SHARES = {"limits": 2, "population 2-2-1, XOR": 1, "thresholds": 4}
TIME_SHARE, START_SECONDS = 2, 60.0  # the weight of other cases; the limit for finding the GPU

import fastmlp  # noqa: E402
from fastmlp.commands import measure_costs, measure_gpu  # noqa: E402
from fastmlp.output_files import write_text  # noqa: E402
from fastmlp.thread_count import n_threads_available  # noqa: E402
from gpu import cases  # noqa: E402


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


def n_test_processes(n_files: int, exclusive: bool) -> int:
    """The number of processes that run the tests."""
    return 1 if exclusive else min(max(MIN_TEST_PROCESSES, n_threads_available()), MAX_TEST_PROCESSES, n_files)


def run_tests(seconds: float, exclusive: bool = False, files: list[Path] = DEVICE_TESTS) -> str:
    """How many passed, failed and were skipped, and whether they came to their end; prints what failed.

    exclusive : whether the GPU takes one process at a time
    """
    if missing := next((name for name in ("pytest", "scipy") if importlib.util.find_spec(name) is None), None):
        return f"not run: {missing} is not installed"
    n = n_test_processes(len(files), exclusive)
    by_size = sorted(files, key=lambda path: -(ROOT / path).stat().st_size)
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}  # the log of a stopped process is complete
    end = time.monotonic() + seconds
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder, f"{i}.txt") for i in range(n)]
        running = []
        for i, log in enumerate(logs):
            command = [sys.executable, "-m", "pytest", "-v", *TEST_OPTIONS, *map(str, by_size[i::n])]
            with log.open("w") as out:
                running.append(start(command, out, out, cwd=ROOT, env=environment))
        try:
            for process in running:
                wait_or_stop(process, end - time.monotonic())
        finally:  # also if this program is interrupted
            for process in running:
                wait_or_stop(process, 0.0)
        for process, log in zip(running, logs, strict=True):
            text = log.read_text(errors="replace")
            counts.update(
                word.lower() for word in re.findall(r" (PASSED|FAILED|ERROR|SKIPPED)\b +.*\[ *\d+%\]$", text, re.M)
            )
            # pytest: 0 all passed, 1 some failed, 5 no test was chosen; below 0 the signal that has ended it
            if process.returncode not in (0, 1, 5):
                counts["stopped" if process.returncode == -signal.SIGKILL else "broken"] += 1
            if process.returncode not in (0, 5):
                print(text[-4000:], flush=True)
    summary = ", ".join(f"{counts[word]} {word}" for word in ("passed", "failed", "error", "skipped"))
    for word, meaning in (("stopped", f"stopped after {seconds:.0f} s"), ("broken", "ended without a result")):
        if counts[word]:
            summary += f"; {counts[word]} of {n} processes {meaning}"
    return summary


def start(command: list, out: Any, errors: Any, **settings: Any) -> subprocess.Popen:
    """Start a process as the head of a group of its own, so that its children, such as compilers, stop with it."""
    return subprocess.Popen(command, stdout=out, stderr=errors, start_new_session=True, **settings)


def wait_or_stop(process: subprocess.Popen, seconds: float) -> bool:
    """Wait so many seconds, then stop the process; returns whether it ended by itself."""
    try:
        process.wait(max(0.0, seconds))
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
            process.wait()


def run_in_process(
    name: str, quick: bool, seconds: float, known_limits: dict[str, Any], program: str = __file__
) -> dict[str, Any]:
    """The result of `measure(name)` in a process of its own, perhaps partial, or {"error": reason}."""
    if seconds <= 0:
        return {"error": f"not measured: {MINUTES:g} minutes were over"}
    with tempfile.TemporaryDirectory() as folder:
        into, out, errors = (Path(folder, name) for name in ("row.json", "out.txt", "errors.txt"))
        command = [sys.executable, program, "--only", name, "--into", str(into), "--known", json.dumps(known_limits)]
        # Files, not pipes: reading a pipe would wait for a compiler that has inherited it.
        with out.open("w") as o, errors.open("w") as e:
            process = start([*command, *["--quick"] * quick], o, e)
            ended = wait_or_stop(process, seconds)
        reason = ""
        if not ended:
            reason = f"stopped after {seconds:.0f} s, its share of {MINUTES:g} minutes"
        elif process.returncode:
            text = errors.read_text(errors="replace")
            print(out.read_text(errors="replace")[-2000:], text[-4000:], flush=True)
            last = (text.strip().splitlines() or [f"ended with {process.returncode}"])[-1]
            reason = last.replace("|", "/")[:500]
        return finish_row(json.loads(into.read_text()), reason) if into.exists() else {"error": reason or "no result"}


def finish_row(row: dict[str, Any], reason: str) -> dict[str, Any]:
    """The row, with competitors that were not reached moved to "left_out".

    reason : why the process ended early, or ""
    """
    pending = row.pop("pending", None)
    if reason and pending is not None:
        row["notes"]["ended early"] = reason
        row["left_out"] |= {name: f"{state}: {reason}" for name, state in pending.items()}
    return row


def measure(name: str, quick: bool, known_limits: dict[str, Any], save_row: cases.SaveRow) -> dict[str, Any]:
    """Measure one thing: "devices", "limits", "thresholds" or a case.

    known_limits : the GPU's limits, once they have been measured
    save_row : called with the row of a case after each addition
    """
    if name == "devices":
        return describe_gpu()
    import cupy

    from gpu import limits

    if name == "limits":
        return limits.limits(cupy, *((2**24, 1024, 1000) if quick else (2**28, 8192, 100_000)))
    if name == "thresholds":
        rows: list[measure_gpu.Row] = []
        with warnings.catch_warnings(record=True) as caught:  # of what could not be measured
            warnings.simplefilter("always")
            text = str(measure_gpu.measure("cuda", rows.append))
            text += f"; ESTIMATES of execution/gpu_costs.py: {measure_costs.measure_costs('cuda')!r}"
        return {"text": text, "rows": rows, "warnings": [str(warning.message) for warning in caught]}
    return cases.case_builders(cupy, quick, known_limits.get("multiply-adds/s", float("nan")), save_row)[name]()


def describe_gpu() -> dict[str, Any]:
    """{"gpu": description, "exclusive": whether it takes one process at a time}, or {"error": why there is none}."""
    first = next(row for row in fastmlp.devices() if row.name.startswith("cuda"))
    if not first.available:
        return {"error": first.reason}
    import cupy

    return {"gpu": first.description, "exclusive": cupy.cuda.Device(0).attributes.get("ComputeMode") == ONE_PROCESS}


def write(row: dict[str, Any], path: Path) -> None:
    """Write the row whole or not at all, whenever this process is stopped."""
    write_text(path, json.dumps(row))


def save(results: dict[str, Any], folder: Path) -> None:
    """Save the results after each measurement, so that nothing is lost if a later one fails."""
    folder.mkdir(parents=True, exist_ok=True)
    gpu_name = results["gpu"].partition(",")[0].lower().replace(" ", "-")
    write_text(folder / f"gpu-{gpu_name}.json", json.dumps(results, indent=1) + "\n")
    thresholds = results["thresholds of auto"]
    auto = thresholds.get("text", thresholds.get("error"))
    limits = ", ".join(f"{name} {value:.4g}" if name != "error" else value for name, value in results["limits"].items())
    write_text(
        folder / f"gpu-{gpu_name}.md",
        f'{results["gpu"]}; tests: {results["tests"]}; {limits}; "auto" takes it from {auto} on\n\n{table(results)}\n',
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--no-tests", action="store_true")
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / "results")
    for internal in ("--only", "--into", "--known"):  # of the processes that this one starts
        parser.add_argument(internal, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        save_row = lambda row: write(row, Path(options.into))
        save_row(measure(options.only, options.quick, json.loads(options.known), save_row))
        return
    run(options.quick, options.no_tests, options.output)


def run(quick: bool, no_tests: bool, output: Path) -> None:
    """Measure everything, the most important first, and save each result."""
    end = time.monotonic() + 60 * MINUTES
    # In a process of its own: this one would hold the GPU, which may be exclusive to one process.
    row = run_in_process("devices", quick, START_SECONDS, {})
    if "error" in row:
        sys.exit(f"There is no GPU to measure: {row['error']}.")
    exclusive = row["exclusive"]
    results: dict[str, Any] = {
        "gpu": row["gpu"],
        "python": platform.python_version(),
        "fastmlp": fastmlp.__version__,
        "tests": "not run",
        "limits": {},
        "thresholds of auto": {"error": "not measured"},
        "cases": {},
    }
    if not no_tests:
        results["tests"] = run_tests(60 * TEST_MINUTES, exclusive)
        print(f"tests: {results['tests']}", flush=True)
    names = ["limits", *cases.case_builders(None, quick, 0.0), "thresholds"]
    for k, name in enumerate(names):
        row = run_in_process(name, quick, time_share(names[k:], end - time.monotonic()), results["limits"])
        if name in ("limits", "thresholds"):
            results["limits" if name == "limits" else "thresholds of auto"] = row
            print(row, flush=True)
        else:
            results["cases"][name] = row
            print(table({"cases": {name: row}}), flush=True)
        save(results, output)
    print(table(results))


def time_share(names: list[str], seconds: float) -> float:
    """The part of the remaining seconds that the first of these measurements may take."""
    shares = [TIME_SHARES.get(name, TIME_SHARE) for name in names]
    return seconds * shares[0] / sum(shares)


if __name__ == "__main__":
    main()
