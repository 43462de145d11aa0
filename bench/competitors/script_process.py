"""Competitors of suite/cases/processes.py: scripts, each timed as a whole in a new interpreter.

The script reports its own peak of memory, because the system's count of a child begins with its parent's. "fastmlp,
wheel" runs the wheel with machine code that `python tools/release.py` has built, unpacked as pip would do; "fastmlp" is
the installed package, or its sources.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from competitors import Unsupported

# By default JAX caches only what took long to compile.
JAX_CACHES_ALL = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
DIST = Path(__file__).resolve().parents[2] / "dist"
PEAK = """
def peak():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0
print(peak())
"""


def newest_wheel() -> Path:
    wheels = sorted(DIST.glob("fastmlp-*manylinux*.whl"), key=os.path.getmtime)
    if not wheels:
        raise Unsupported("dist has no wheel with machine code: build one by `python tools/release.py --quick`")
    return wheels[-1]


class Implementation:
    def __init__(self, variant: str):
        self.name = variant
        self.printed: list[str] = []

    def close(self) -> None:
        self.folder.cleanup()

    def prepare(self, case, threads: int | None) -> float:
        started = time.perf_counter()
        self.source, self.variables = case.script(self.name)
        self.is_cold = case.is_cold
        wheel = newest_wheel() if self.name == "fastmlp, wheel" else None
        self.folder = tempfile.TemporaryDirectory()
        package = importlib.util.find_spec("fastmlp")  # it may run from its sources
        self.path = str(Path(package.origin).parents[1]) if package and package.origin else ""
        if wheel:
            self.path = os.path.join(self.folder.name, "wheel")
            zipfile.ZipFile(wheel).extractall(self.path)
        if wheel or not self.is_cold:
            self.run(1)  # fills the cache of kernels, that of byte code, and the system's file cache
        return time.perf_counter() - started

    def reset(self) -> None:
        """Nothing to do: each run is a new process."""

    def run(self, n: int) -> None:
        for _ in range(n):
            cache = tempfile.mkdtemp(dir=self.folder.name) if self.is_cold else self.folder.name
            environment = {**os.environ, **JAX_CACHES_ALL, **dict.fromkeys(self.variables, cache)}
            # The bytecode of sources is cached, as an installed one's is.
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [self.path, os.environ.get("PYTHONPATH", "")]))
            process = subprocess.run(
                [sys.executable, "-c", self.source + PEAK], env=environment, capture_output=True, text=True
            )
            if process.returncode:
                raise RuntimeError(process.stderr.strip().splitlines()[-1])
            self.printed = process.stdout.split()

    def answer(self, case) -> float | None:
        return float(self.printed[0]) if len(self.printed) > 1 else None

    def peak_memory(self) -> int:
        return int(self.printed[-1])
