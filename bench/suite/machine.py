"""Description of the machine that benchmarks run on, and the load that other programs put on it."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastmlp.runtime.found_devices import microarchitecture

# Environment variables that make OpenBLAS choose kernels of another CPU. Some machines set them; products take four
# times as long there.
SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
LIBRARIES = ("numpy", "scipy", "numba", "llvmlite", "scikit-learn", "torch", "jax", "keras")


def cpus() -> int:
    """Return the number of logical CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Return the model name of the processor and its widest vectors, such as "AMD EPYC avx512f"."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", "").split()
    widest = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "")
    return " ".join(filter(None, (fields.get("model name", platform.machine()), widest)))


def _ticks() -> tuple[int, int] | None:
    """Return (all, idle) ticks of all CPUs since the system's start; None if the system is not Linux."""
    try:
        fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    return sum(fields), fields[3] + fields[4]


def others_busy(seconds: float = 0.15) -> float:
    """Return the fraction of CPU time that others use while this process waits, from 0 to 1.

    Time stolen by a hypervisor is included. The load average is of no use here: it still contains the benchmarks of the
    last minute.
    """
    before = _ticks()
    time.sleep(seconds)
    after = _ticks()
    if before is None or after is None or after[0] == before[0]:
        return 0.0
    return 1 - (after[1] - before[1]) / (after[0] - before[0])


def come_to_rest(max_seconds: float = 0.2, step: float = 0.02) -> None:
    """Wait until all CPUs are idle.

    The threads of a library may spin after its last call, those of OpenBLAS for a tenth of a second. The next program
    then shares a CPU with them, and took up to 1.3 times as long (bench/log/method.md#spinning-blas).

    max_seconds : longest wait in seconds
    step : seconds between two checks
    """
    end, before = time.perf_counter() + max_seconds, _ticks()
    while time.perf_counter() < end:
        time.sleep(step)
        after = _ticks()
        if before is not None and after is not None and after[0] - before[0] <= after[1] - before[1]:
            return
        before = after


def memory() -> int:
    """Return the physical memory of this machine in bytes; 0 if the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def versions() -> dict[str, str]:
    version_by_name = {"python": platform.python_version()}
    for name in (*LIBRARIES, "fastmlp"):
        try:
            version_by_name[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            spec = find_spec(name) if name == "fastmlp" else None  # fastmlp can also run from its source tree
            version_by_name[name] = "from its sources" if spec else "not installed"
    return version_by_name


def machine(cleared: list[str]) -> dict[str, Any]:
    """Return the description of this machine that a results file stores.

    cleared : environment variables that were set, and were removed for all measured programs
    """
    return {
        "processor": processor(),
        "microarchitecture": microarchitecture(),
        "cpus": cpus(),
        "memory": memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
        "cleared": cleared,
        "slowed_by": [name for name in SLOWING if name in os.environ],
    }
