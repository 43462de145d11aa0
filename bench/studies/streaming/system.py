"""Memory of this process, bytes that it has read from the disk, and the page cache, as Linux tells them."""

from __future__ import annotations

import os
from pathlib import Path


def empty_page_cache() -> bool:
    """Empty the page cache, if this process may; return whether it did."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("1")
    except OSError:
        return False
    return True


def largest_resident_bytes() -> int:
    """Return VmHWM of this process."""
    return _number(Path("/proc/self/status"), "VmHWM") * 1024


def bytes_from_disk() -> int:
    """Return the bytes that the disk has read for this process, without those that were in the page cache."""
    return _number(Path("/proc/self/io"), "read_bytes")


def _number(path: Path, name: str) -> int:
    line = next(line for line in path.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
