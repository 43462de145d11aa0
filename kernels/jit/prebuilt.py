"""Prebuilt kernels: object files that come with a wheel, so that a first training compiles nothing.

There is one set for each x86-64 level (cpu_features.py). tools/ship.py makes them from these sources.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from .cpu_features import level

FOLDER = Path(__file__).parents[1] / "shipped"
HEAD = 16  # bytes of a Python object before its own fields; compiled into the kernels


def path_of(name: str, sources: str, level: str) -> Path:
    """Return the path of the prebuilt object file under this name.

    sources : tag of the sources it was compiled from (object_cache.sources_tag)
    level : x86-64 level of the processor
    """
    return FOLDER / sources / level / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.o"


def path_here(name: str, sources: str) -> Path | None:
    """Return the path of the prebuilt object file for this processor; None if there are none for it."""
    chosen = level() if sys.platform == "linux" and object.__basicsize__ == HEAD and FOLDER.is_dir() else None
    return None if chosen is None else path_of(name, sources, chosen)
