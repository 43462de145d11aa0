"""Machine code that comes with a wheel, so that the first training in a new installation compiles nothing: for every
processor of a level (cpu_features.py), by tools/ship.py from these very sources.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from .cpu_features import level

FOLDER = Path(__file__).parents[1] / "shipped"
HEAD = 16  # bytes of an object of Python's before its own fields, which kernels know


def path_of(name: str, sources: str, level: str) -> Path:
    """Of the object file under this name. sources : the tag of those it was compiled from"""
    return FOLDER / sources / level / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.o"


def path_here(name: str, sources: str) -> Path | None:
    """The same for this processor; None where nothing is shipped."""
    chosen = level() if sys.platform == "linux" and object.__basicsize__ == HEAD and FOLDER.is_dir() else None
    return None if chosen is None else path_of(name, sources, chosen)
