"""What all benchmarks have in common: a clean environment, and what the figures were measured on.

Imports nothing heavy, so that cold_start.py can use it too.
"""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

# The first two slow OpenBLAS down by choosing kernels for another processor; the others limit threads, which the
# benchmarks set themselves, alike for all.
CLEARED = (
    "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS", "XLA_FLAGS", "NPROC", "PJRT_NPROC",
)  # fmt: skip
LIBRARIES = ("numpy", "scipy", "numba", "llvmlite", "scikit-learn", "torch", "jax", "keras")
BUSY = 0.3  # load average per CPU above which figures are doubtful


def start_clean() -> None:
    """Execute this script again without the variables above, if any is set: libraries read them when they load."""
    if any(name in os.environ for name in CLEARED):
        kept = {name: value for name, value in os.environ.items() if name not in CLEARED}
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], kept)


def cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(tuple(part.strip() for part in line.split(":", 1)) for line in lines if ":" in line)
    flags = fields.get("flags", "").split()
    widest = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "")
    return " ".join(filter(None, (fields.get("model name", platform.machine()), widest)))


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in (*LIBRARIES, "fastmlp"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            spec = find_spec(name) if name == "fastmlp" else None  # it also runs from its sources
            found[name] = f"from {spec.origin}" if spec else "not installed"
    return found


def machine() -> dict:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {
        "processor": processor(),
        "cpus": cpus(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": round(load, 2),
        "busy": load > BUSY * cpus(),
        "versions": versions(),
    }


def print_machine(facts: dict) -> None:
    print(f"{facts['processor']}, {facts['cpus']} CPUs, {facts['system']}, load average {facts['load_average']}")
    print(", ".join(f"{name} {version}" for name, version in facts["versions"].items()))
    if facts["busy"]:
        print(f"WARNING: load average above {BUSY} per CPU. Something else is running: do not quote these figures.")
