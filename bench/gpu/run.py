"""The CUDA backend on a real GPU: its tests, then fastmlp beside its competitors and the GPU's own limits.

    python bench/gpu/run.py [--quick] [--no-tests] [--output FOLDER]

One command of at most eight minutes. It needs this repository, NumPy, Numba and CuPy, and uses PyTorch and JAX if they
are installed. It prints a table, and writes it and a JSON file to bench/results/, named after the GPU, as it goes.

Every competitor is verified before it is timed, against float64 NumPy; for single nets fastmlp's gradient is compared
with the CPU's. Each case has a process of its own, which is stopped when its share of the time is over. fastmlp and the
limit are timed and saved first, so that a competitor that compiles for too long, or crashes, costs its own figure only.
A competitor or case without a figure has a line with the reason.

Times are medians of interleaved rounds, in microseconds a step (an epoch for populations), synchronised at the end of
each round of many steps. fastmlp is also measured with every step launched kernel by kernel instead of replayed as a
CUDA graph, and a small net layer by layer, which shows the overhead of launches; notes say whether graphs were used,
and how much of a fit its set-up is. The limits: copies for bandwidth, bare cuBLAS products of the same precision for a
step, replayed as graphs, and for populations the GPU's arithmetic: multiply-adds and what takes their place (an
exponential and a division counted as 16 of them), at the rate of a kernel of nothing but multiply-adds.
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
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX would take three quarters of the card's memory
MINUTES, TEST_MINUTES = 8.0, 3.0  # for everything, and for the tests among it
# The tests that a card has a say in. They need pytest and SciPy, and nothing else that this script does not.
DEVICE_TESTS = sorted(
    path.relative_to(ROOT)
    for path in (*ROOT.glob("tests/unit/kernels/cuda/**/test_*.py"), *ROOT.glob("tests/cuda/test_*.py"))
)
TEST_OPTIONS = "-m", "emulator", "--device", "cuda", "--require-device", "cuda", "-p", "no:cacheprovider"
# Processes that run them: as many as processors, since most of their time goes into compiling kernels, one thread each;
# two at least, since one that waits for the card leaves a processor idle; and no more than there is memory for.
FEWEST_AT_ONCE, MOST_AT_ONCE = 2, 8
ONE_PROCESS = 3  # cudaComputeModeExclusiveProcess: a card that refuses a second process while one uses it
# Of the time that is left, what each step may have beside those that come after it; what it leaves is theirs.
SHARES = {"limits": 2, "population 2-2-1, XOR": 1, "thresholds": 4}
SHARE, START_SECONDS = 2, 60.0  # of other cases; for looking at the card at all

import fastmlp  # noqa: E402
from fastmlp.commands import measure_gpu  # noqa: E402
from fastmlp.devices import n_threads_available  # noqa: E402
from fastmlp.files import write_text  # noqa: E402
from gpu import cases  # noqa: E402


def table(results: dict[str, Any]) -> str:
    lines = [
        "| case | unit | competitor | median | spread | to the limit | ours is faster by | target |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case, row in results["workloads"].items():
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
        said = {name: f"left out: {why}" for name, why in row["left_out"].items()} | row.get("notes", {})
        lines += [f"| {case} | | {name} | {text.replace('|', '/')} | | | | |" for name, text in said.items()]
    return "\n".join(lines)


def at_once(n_files: int, exclusive: bool) -> int:
    """How many processes run the tests."""
    return 1 if exclusive else min(max(FEWEST_AT_ONCE, n_threads_available()), MOST_AT_ONCE, n_files)


def run_tests(seconds: float, exclusive: bool = False, files: list[Path] = DEVICE_TESTS) -> str:
    """How many passed, failed and were skipped, and whether they came to their end; prints what failed.

    exclusive : whether the card takes one process at a time
    """
    if missing := next((name for name in ("pytest", "scipy") if importlib.util.find_spec(name) is None), None):
        return f"not run: {missing} is not installed"
    n = at_once(len(files), exclusive)
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
    said = ", ".join(f"{counts[word]} {word}" for word in ("passed", "failed", "error", "skipped"))
    for word, meaning in (("stopped", f"stopped after {seconds:.0f} s"), ("broken", "ended without a result")):
        if counts[word]:
            said += f"; {counts[word]} of {n} processes {meaning}"
    return said


def start(command: list, out: Any, errors: Any, **settings: Any) -> subprocess.Popen:
    """As the head of a group of its own, so that what it starts can be stopped with it: compilers, above all."""
    return subprocess.Popen(command, stdout=out, stderr=errors, start_new_session=True, **settings)


def wait_or_stop(process: subprocess.Popen, seconds: float) -> bool:
    """Whether it ended by itself in this time."""
    try:
        process.wait(max(0.0, seconds))
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
            process.wait()


def child(name: str, quick: bool, seconds: float, known: dict[str, Any], program: str = __file__) -> dict[str, Any]:
    """What `measure(name)` gives in a process of its own, as far as it came, or {"error": why it gives nothing}."""
    if seconds <= 0:
        return {"error": f"not measured: {MINUTES:g} minutes were over"}
    with tempfile.TemporaryDirectory() as folder:
        into, out, errors = (Path(folder, name) for name in ("row.json", "out.txt", "errors.txt"))
        command = [sys.executable, program, "--only", name, "--into", str(into), "--known", json.dumps(known)]
        # Files, not pipes: a pipe that a compiler has inherited would be waited for.
        with out.open("w") as o, errors.open("w") as e:
            process = start([*command, *["--quick"] * quick], o, e)
            ended = wait_or_stop(process, seconds)
        why = ""
        if not ended:
            why = f"stopped after {seconds:.0f} s, its share of {MINUTES:g} minutes"
        elif process.returncode:
            text = errors.read_text(errors="replace")
            print(out.read_text(errors="replace")[-2000:], text[-4000:], flush=True)
            last = (text.strip().splitlines() or [f"ended with {process.returncode}"])[-1]
            why = last.replace("|", "/")[:500]
        return as_far_as_it_came(json.loads(into.read_text()), why) if into.exists() else {"error": why or "no result"}


def as_far_as_it_came(row: dict[str, Any], why: str) -> dict[str, Any]:
    """The row without what was still to come, which is left out. why : the process has not come to its end; or empty"""
    pending = row.pop("pending", None)
    if why and pending is not None:
        row["notes"]["ended early"] = why
        row["left_out"] |= {name: f"{state}: {why}" for name, state in pending.items()}
    return row


def measure(name: str, quick: bool, known: dict[str, Any], keep: cases.Keep) -> dict[str, Any]:
    """known : the card's limits, once they have been measured. keep : is given what there is of a workload's row"""
    if name == "devices":
        return cards()
    import cupy

    from gpu import limits

    if name == "limits":
        return limits.limits(cupy, *((2**24, 1024, 1000) if quick else (2**28, 8192, 100_000)))
    if name == "thresholds":
        rows: list[measure_gpu.Row] = []
        with warnings.catch_warnings(record=True) as said:  # of what could not be measured
            warnings.simplefilter("always")
            text = str(measure_gpu.measure("cuda", rows.append))
        return {"text": text, "rows": rows, "warnings": [str(warning.message) for warning in said]}
    return cases.case_builders(cupy, quick, known.get("multiply-adds/s", float("nan")), keep)[name]()


def cards() -> dict[str, Any]:
    """{"card": description, "exclusive": whether it takes one process at a time}, or {"error": why there is none}."""
    first = next(row for row in fastmlp.devices() if row.name.startswith("cuda"))
    if not first.available:
        return {"error": first.reason}
    import cupy

    return {"card": first.description, "exclusive": cupy.cuda.Device(0).attributes.get("ComputeMode") == ONE_PROCESS}


def write(row: dict[str, Any], path: Path) -> None:
    """Whole or not at all, whenever this process is stopped."""
    write_text(path, json.dumps(row))


def save(results: dict[str, Any], folder: Path) -> None:
    """After each step: what was measured is there whatever happens next."""
    folder.mkdir(parents=True, exist_ok=True)
    card = results["card"].partition(",")[0].lower().replace(" ", "-")
    write_text(folder / f"gpu-{card}.json", json.dumps(results, indent=1) + "\n")
    thresholds = results["thresholds of auto"]
    auto = thresholds.get("text", thresholds.get("error"))
    limits = ", ".join(f"{name} {value:.4g}" if name != "error" else value for name, value in results["limits"].items())
    write_text(
        folder / f"gpu-{card}.md",
        f'{results["card"]}; tests: {results["tests"]}; {limits}; "auto" takes it from {auto} on\n\n{table(results)}\n',
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
        keep = lambda row: write(row, Path(options.into))
        keep(measure(options.only, options.quick, json.loads(options.known), keep))
        return
    run(options.quick, options.no_tests, options.output)


def run(quick: bool, no_tests: bool, output: Path) -> None:
    """Everything, the most important first, saved as it comes."""
    end = time.monotonic() + 60 * MINUTES
    # In a process of its own too: this one would hold the card, which may take one process at a time.
    found = child("devices", quick, START_SECONDS, {})
    if "error" in found:
        sys.exit(f"There is no GPU to measure: {found['error']}.")
    exclusive = found["exclusive"]
    results: dict[str, Any] = {
        "card": found["card"],
        "python": platform.python_version(),
        "fastmlp": fastmlp.__version__,
        "tests": "not run",
        "limits": {},
        "thresholds of auto": {"error": "not measured"},
        "workloads": {},
    }
    if not no_tests:
        results["tests"] = run_tests(60 * TEST_MINUTES, exclusive)
        print(f"tests: {results['tests']}", flush=True)
    names = ["limits", *cases.case_builders(None, quick, 0.0), "thresholds"]
    for k, name in enumerate(names):
        found = child(name, quick, share_of(names[k:], end - time.monotonic()), results["limits"])
        if name in ("limits", "thresholds"):
            results["limits" if name == "limits" else "thresholds of auto"] = found
            print(found, flush=True)
        else:
            results["workloads"][name] = found
            print(table({"workloads": {name: found}}), flush=True)
        save(results, output)
    print(table(results))


def share_of(names: list[str], seconds: float) -> float:
    """What the first of these steps may have of the seconds that are left for all of them."""
    shares = [SHARES.get(name, SHARE) for name in names]
    return seconds * shares[0] / sum(shares)


if __name__ == "__main__":
    main()
