"""Compile the prebuilt kernels of a wheel, for each CPU level that this CPU supports.

    python tools/ship.py && python -m build --wheel      (five minutes on two cores; Linux on x86-64)
    python tools/ship.py --quick                         (two minutes: for this CPU's own level, float32 only)

The kernels are those that new installations need first. One process per level, dtype and kind trains and uses nets of
every kind, and as many processes run at a time as there are logical CPUs. Their kernels are saved to kernels/shipped
instead of the user's object cache. A level that this CPU does not support is left out, with a message.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from fastmlp.kernels.jit import cpu_features, object_cache
from fastmlp.warmup import JOBS, compile_kernels

LEVELS = cpu_features.LEVELS
TASK = "FASTMLP_SHIPPED"  # environment variable: the level and the jobs of a child process


def main() -> None:
    if task := os.environ.get(TASK):
        level, jobs = task.split(maxsplit=1)
        return compile_for(level, JOBS[jobs])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="this processor's own level and float32 only")
    quick = parser.parse_args().quick
    shutil.rmtree(object_cache.PREBUILT, ignore_errors=True)
    tasks = [(level, jobs) for level in levels_here() for jobs in JOBS]
    if quick:
        tasks = [(level, jobs) for level, jobs in tasks if level == cpu_features.level() and jobs.endswith("float32")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        failed = [task for task, code in zip(tasks, pool.map(start, tasks), strict=True) if code]
    for level in dict(tasks):
        files = list(object_cache.PREBUILT.rglob(f"{level}/*.o"))
        print(f"{level}: {len(files)} kernels, {sum(file.stat().st_size for file in files) / 1e6:.1f} MB")
    if not tasks:
        print("Nothing to compile: this processor is of no level, and a wheel brings it no machine code.")
    if failed:
        sys.exit(f"Not compiled: {failed}.")


def missing_features(level: str) -> list[str]:
    """Return the features of a level that this CPU lacks."""
    return [name for name in LEVELS[level] if not cpu_features.FEATURES.get(name)]


def levels_here() -> list[str]:
    """Return the levels whose features this CPU has, and print the missing features of the other levels."""
    levels = []
    for level in LEVELS:
        if missing := missing_features(level):
            print(f"{level}: left out, since this processor has no {', '.join(missing)}")
        else:
            levels.append(level)
    return levels


def start(task: tuple[str, str]) -> int:
    """Do jobs for a level in a child process, and return its exit status.

    "-prefer-256-bit" makes LLVM use the full vector width of the level: for the sake of older CPUs, it would split
    512-bit vectors.
    """
    level, _ = task
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    features = ",".join([*(f"+{name}" for name in LEVELS[level]), "-prefer-256-bit"])
    environment = {"NUMBA_CPU_NAME": level, "NUMBA_CPU_FEATURES": features, TASK: " ".join(task)}
    return subprocess.run([sys.executable, __file__], env=inherited | environment, check=False).returncode


def compile_for(level: str, jobs: list[Callable[[], None]]) -> None:
    """Run the jobs, with all kernels they need compiled and saved as prebuilt kernels of this level, for every
    activation, loss and update rule.
    """
    path_of = lambda name: object_cache.prebuilt_file(name, level)
    object_cache._path, object_cache._prebuilt_path = path_of, lambda name: None
    compile_kernels(jobs)


if __name__ == "__main__":
    main()
