"""Where this package keeps on disk what one process has found out for the next ones."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def base_folder() -> Path:
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "fastmlp"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastmlp"
