"""What the CUDA backend does on a real card: its tests, then ours against the peers and against the card's own limits.

    python bench/gpu.py [--quick] [--no-tests] [--output FOLDER]

One command of at most eight minutes that needs this repository, NumPy, Numba and CuPy, and takes PyTorch and JAX where
they are there; nothing has to be installed. Prints a table, and writes it and a JSON file under bench/results/, named
after the card, as it goes.

What is timed is verified first, ours and the peers: against float64 NumPy, and of single nets our gradient against the
CPU's. Each workload has a process of its own, which is stopped when the time is over: one that breaks, or for which no
time is left, has a row that says so, and so has a peer that breaks or is not there.
Times are medians of interleaved rounds, in microseconds a step (an epoch for populations), synchronised at the
end of each round of many steps. Ours is measured as it is and with every step launched kernel by kernel instead of
replayed as a graph, a small net also layer by layer, so that the overhead of launches shows. The limits: copies for
bandwidth, bare cuBLAS products of the same precision for a step, and for populations the card's arithmetic:
multiply-adds and what takes their place (an exponential and a division counted as 16 of them), at the rate of a kernel
of nothing but multiply-adds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
for entry in (ROOT / "src", ROOT / "bench"):
    sys.path.insert(0, str(entry))
# Processes that are started from here, also by the package itself, find it in the same place.
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX would take three quarters of the card's memory
MINUTES, TEST_MINUTES = 8.0, 3.0  # for everything, and for the tests among it
# The tests that a card has a say in. They need pytest and SciPy, and nothing else that this script does not.
DEVICE_TESTS = sorted(path.relative_to(ROOT) for path in (*ROOT.glob("tests/kernels/cuda/test_*.py"),
                                                          *ROOT.glob("tests/test_cuda*.py")))  # fmt: skip
TEST_OPTIONS = "-m", "emulator", "--device", "cuda", "--require-device", "cuda", "-p", "no:cacheprovider"
MOST_AT_ONCE = 8  # processes that run them: most of their time goes into compiling kernels

import gpu_works  # noqa: E402

import fastmlp  # noqa: E402
from fastmlp import crossover  # noqa: E402


def table(results: dict[str, Any]) -> str:
    lines = ["| work | unit | contestant | median | spread | to the limit | ours is faster by | target |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for work, row in results["workloads"].items():
        if "error" in row:
            lines.append(f"| {work} | {row['error']} | | | | | | |")
            continue
        medians = {name: float(np.median(times)) for name, times in row["times"].items()}
        for name, value in medians.items():
            low, high = min(row["times"][name]), max(row["times"][name])
            lines.append(
                f"| {work} | {row['unit']} | {name} | {value:.4g} | {low:.3g} to {high:.3g} | "
                f"{value / row['limit']:.2f} | {value / medians['fastmlp']:.2f} | {row['target']} |"
            )
        lines += [f"| {work} | | {name} | left out: {why} | | | | |" for name, why in row["left_out"].items()]
    return "\n".join(lines)


def run_tests(seconds: float, files: list[Path] = DEVICE_TESTS) -> str:
    """How many passed, failed and were skipped, and whether they came to their end; prints what failed."""
    n = max(1, min(MOST_AT_ONCE, (os.cpu_count() or 1) // 2, len(files)))
    by_size = sorted(files, key=lambda path: -(ROOT / path).stat().st_size)
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}  # what is stopped has said how far it came
    end = time.monotonic() + seconds
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder, f"{i}.txt") for i in range(n)]
        running = []
        for i, log in enumerate(logs):
            command = [sys.executable, "-m", "pytest", "-v", *TEST_OPTIONS, *map(str, by_size[i::n])]
            with log.open("w") as out:
                running.append(subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT, env=environment))
        for process in running:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
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
    said = ", ".join(f"{counts[word]} {word}" for word in ("passed", "failed", "error", "skipped"))
    for word, meaning in (("stopped", f"stopped after {seconds:.0f} s"), ("broken", "ended without a result")):
        if counts[word]:
            said += f"; {counts[word]} of {n} processes {meaning}"
    return said


def child(name: str, quick: bool, seconds: float, known: dict[str, Any], program: str = __file__) -> dict[str, Any]:
    """What `measure(name)` gives in a process of its own, or {"error": why it gives nothing}."""
    if seconds <= 0:
        return {"error": f"not measured: {MINUTES:g} minutes were over"}
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder, "row.json")
        command = [sys.executable, program, "--only", name, "--into", str(into), "--known", json.dumps(known)]
        try:
            done = subprocess.run(
                [*command, *["--quick"] * quick], capture_output=True, text=True, check=False, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return {"error": f"stopped after {seconds:.0f} s: {MINUTES:g} minutes were over"}
        if into.exists():
            return json.loads(into.read_text())
        print(done.stdout[-2000:], done.stderr[-4000:], flush=True)
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        return {"error": last.replace("|", "/")[:500]}


def measure(name: str, quick: bool, known: dict[str, Any]) -> dict[str, Any]:
    """known : the card's limits, once they have been measured"""
    import cupy
    import gpu_limits

    if name == "limits":
        return gpu_limits.limits(cupy, *((2**24, 1024, 1000) if quick else (2**28, 8192, 100_000)))
    if name == "thresholds":
        return {"text": str(crossover.measure("cuda"))}
    return gpu_works.workloads(cupy, quick, known.get("multiply-adds/s", float("nan")))[name]()


def save(results: dict[str, Any], folder: Path) -> None:
    """After each step: what was measured is there whatever happens next."""
    folder.mkdir(parents=True, exist_ok=True)
    card = results["card"].partition(",")[0].lower().replace(" ", "-")
    (folder / f"gpu-{card}.json").write_text(json.dumps(results, indent=1) + "\n")
    thresholds = results["thresholds of auto"]
    auto = thresholds.get("text", thresholds.get("error"))
    limits = ", ".join(f"{name} {value:.4g}" if name != "error" else value for name, value in results["limits"].items())
    (folder / f"gpu-{card}.md").write_text(
        f'{results["card"]}; tests: {results["tests"]}; {limits}; "auto" takes it from {auto} on\n\n{table(results)}\n'
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
        row = measure(options.only, options.quick, json.loads(options.known))
        Path(options.into).write_text(json.dumps(row))
        return
    rows = [row for row in fastmlp.devices() if row.name.startswith("cuda")]
    if not rows[0].available:
        sys.exit(f"There is no GPU to measure: {rows[0].reason}.")
    run(rows[0].description, options.quick, options.no_tests, options.output)


def run(card: str, quick: bool, no_tests: bool, output: Path) -> None:
    """Everything, the most important first, saved as it comes."""
    end = time.monotonic() + 60 * MINUTES
    results: dict[str, Any] = {
        "card": card, "python": platform.python_version(), "fastmlp": fastmlp.__version__, "tests": "not run",
        "limits": {}, "thresholds of auto": {"error": "not measured"}, "workloads": {},
    }  # fmt: skip
    if not no_tests:
        results["tests"] = run_tests(60 * TEST_MINUTES)
        print(f"tests: {results['tests']}", flush=True)
    ask = lambda name: child(name, quick, end - time.monotonic(), results["limits"])
    results["limits"] = ask("limits")
    print(results["limits"], flush=True)
    save(results, output)
    for name in gpu_works.workloads(None, quick, 0.0):
        results["workloads"][name] = row = ask(name)
        save(results, output)
        print(table({"workloads": {name: row}}), flush=True)
    results["thresholds of auto"] = ask("thresholds")
    save(results, output)
    print(table(results))


if __name__ == "__main__":
    main()
