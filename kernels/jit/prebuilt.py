"""Prebuilt kernels: object files that come with a wheel, so that a first training compiles nothing.

There is one set for each x86-64 level (cpu_features.py). tools/ship.py makes them from these sources.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from .cpu_features import level

FOLDER = Path(__file__).parents[1] / "shipped"
OBJECT_HEAD = 16  # bytes of a Python object before its own fields; compiled into the kernels


def path_of(name: str, sources_tag: str, cpu_level: str) -> Path:
    """Return the path of the prebuilt object file under this name.

    sources_tag : of the sources it was compiled from (object_cache.sources_tag)
    cpu_level : x86-64 level for which it was compiled
    """
    return FOLDER / sources_tag / cpu_level / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.o"


def path_here(name: str, sources_tag: str) -> Path | None:
    """Return where the prebuilt object file for this processor would be; the file need not exist.

    None if this processor, system or Python can use none.
    """
    chosen = level() if sys.platform == "linux" and object.__basicsize__ == OBJECT_HEAD and FOLDER.is_dir() else None
    return None if chosen is None else path_of(name, sources_tag, chosen)
