"""Features of the processor that kernels are compiled for.

This is the current processor, unless NUMBA_CPU_NAME and NUMBA_CPU_FEATURES name another one, which must not have
instructions that the current processor lacks.
"""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path

from llvmlite import binding

IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
# Levels of the x86-64 ABI, newest first, and the instructions each one requires.
V2 = ("sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "cx16")
V3 = (*V2, "avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave")
V4 = (*V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
LEVELS = {"x86-64-v4": V4, "x86-64-v3": V3}


def features() -> dict[str, bool]:
    """Return each instruction-set feature's name with whether the processor has it."""
    text = os.environ.get("NUMBA_CPU_FEATURES")
    if text is None:
        return dict(binding.get_host_cpu_features())
    return {name[1:]: name[0] == "+" for name in text.split(",") if name}


def level2_bytes(caches: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Return the size of a core's second-level cache, as Linux read it from CPUID; 0 where no system says it."""
    for cache in sorted(caches.glob("index*")):
        with suppress(OSError, ValueError):
            if (cache / "level").read_text().strip() == "2":
                size = (cache / "size").read_text().strip()  # such as 2048K
                return int(size.rstrip("KM")) * {"K": 2**10, "M": 2**20}.get(size[-1:], 1)
    return 0


FEATURES = features()
LEVEL2_BYTES = level2_bytes()


def level() -> str | None:
    """Return the x86-64 level whose vectors are as wide as this processor's, or None."""
    for name, needed in LEVELS.items():
        if all(FEATURES.get(feature) for feature in needed):
            return name
        if FEATURES.get("avx512f"):
            return None
    return None
