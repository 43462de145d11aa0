"""The tests whose result depends on the GPU, each file in one of some processes: `python bench/gpu/run.py --tests`."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from fastmlp.runtime.thread_count import n_threads_available
from gpu.processes import start, wait_or_stop

ROOT = Path(__file__).resolve().parents[2]
# Beside what the benchmarks need, they need pytest and SciPy only.
FILES = sorted(
    path.relative_to(ROOT)
    for path in (*ROOT.glob("tests/unit/kernels/cuda/**/test_*.py"), *ROOT.glob("tests/cuda/test_*.py"))
)
# Warnings are errors in the suite; a card's driver and libraries have some that say nothing of the kernels.
OPTIONS = "-m", "emulator", "--device", "cuda", "--require-device", "cuda", "-p", "no:cacheprovider", "-W", "default"
# Processes for these tests: one per CPU, since most of the time goes into compiling kernels, one thread each; at least
# two, since a process that waits for the GPU leaves a CPU idle; and at most as many as fit into memory.
MIN_TEST_PROCESSES, MAX_TEST_PROCESSES = 2, 8


def n_test_processes(n_files: int, exclusive: bool) -> int:
    """The number of processes that run the tests."""
    return 1 if exclusive else min(max(MIN_TEST_PROCESSES, n_threads_available()), MAX_TEST_PROCESSES, n_files)


def run_tests(seconds: float, exclusive: bool = False, files: list[Path] = FILES) -> str:
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
            command = [sys.executable, "-m", "pytest", "-v", *OPTIONS, *map(str, by_size[i::n])]
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
