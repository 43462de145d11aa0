"""The tests whose result depends on the GPU, each file in one of some processes: `python bench/gpu/run.py --tests`."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from fastmlp.runtime.thread_count import n_threads_available

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


def start(command: list[str], **settings) -> subprocess.Popen:
    """Start a process as the head of a group of its own, so that its children, such as compilers, stop with it."""
    return subprocess.Popen(command, start_new_session=True, **settings)


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


def run_tests(seconds: float, n_processes: int | None = None, files: list[Path] = FILES) -> str:
    """How many passed, failed and were skipped, and whether they came to their end; prints what failed."""
    if missing := next((name for name in ("pytest", "scipy") if importlib.util.find_spec(name) is None), None):
        return f"not run: {missing} is not installed"
    n = n_processes or min(max(MIN_TEST_PROCESSES, n_threads_available()), MAX_TEST_PROCESSES, len(files))
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
                running.append(start(command, stdout=out, stderr=out, cwd=ROOT, env=environment))
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
