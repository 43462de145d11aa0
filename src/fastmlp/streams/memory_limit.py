"""Memory limit of a fit: the bytes that its data may take in this process."""

from __future__ import annotations

import ctypes
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.memory_check import ADDRESSES, free_in_container, memory_bytes

SHARE = 0.4  # of the memory that is available, by default
UNITS = {"": 1, "b": 1} | {unit: 1000**k for k, prefix in enumerate("kmgt", 1) for unit in (prefix, f"{prefix}b")}
UNITS |= {f"{prefix}ib": 1024**k for k, prefix in enumerate("kmgt", 1)}
UNKNOWN = 4 * 10**9  # bytes, where the system does not say how much memory it has
LEAST = 1_000_000  # bytes: with less, most of the time would go into reading
READING = 64_000_000  # bytes of a limit that are left to reading: the pages and pieces that it holds, and buffers


def available_bytes() -> int:
    """Return the bytes that a process can allocate without swapping, as far as the system says so."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found = next(line for line in lines if line.startswith("MemAvailable:"))
        return min(int(found.split()[1]) * 1024, memory_bytes(), free_in_container())
    known = memory_bytes()
    return known // 2 if known < ADDRESSES else UNKNOWN


def return_freed_memory() -> None:
    """Give memory that pieces of data had back to the system: allocators keep it, and blocks take theirs elsewhere."""
    if (pyarrow := sys.modules.get("pyarrow")) is not None:
        pyarrow.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError, TypeError):  # only the C library of most Linux systems has it
        ctypes.CDLL(None).malloc_trim(0)


def checked_memory_limit(value: Any) -> int:
    """Return a memory limit in bytes.

    value : int     number of bytes
        str     number with a unit, such as "300MB" or "2 GiB", or of bytes
        None    a share of the memory that is available now, rounded down to a power of two

    Raises
    ------
    ValueError
        If it is neither, or less than a megabyte.

    Examples
    --------
    >>> checked_memory_limit("300MB"), checked_memory_limit("2 GiB"), checked_memory_limit(5_000_000)
    (300000000, 2147483648, 5000000)
    """
    if value is None:
        return max(1 << int(SHARE * available_bytes()).bit_length() >> 1, LEAST)
    n_bytes = 0
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", value)
        if match and match[2].lower() in UNITS:
            n_bytes = int(float(match[1]) * UNITS[match[2].lower()])
    elif isinstance(value, (int, float, np.integer)) and not isinstance(value, bool) and value % 1 == 0:
        n_bytes = int(value)
    if n_bytes < LEAST:
        raise ValueError(
            f"memory_limit must be a number of bytes, at least {LEAST:,}, or text such as '300MB' or '2GiB', but it is "
            f"{value!r}."
        )
    return n_bytes


def bytes_for_rows(memory_limit: int) -> int:
    """Return how many bytes of a memory limit rows may take: all but those for reading, and at least half.

    >>> bytes_for_rows(600_000_000), bytes_for_rows(2_000_000)
    (536000000, 1000000)
    """
    return max(memory_limit - READING, memory_limit // 2)


def limit_for_rows(n_bytes: int) -> int:
    """Return the least memory limit of which rows may take n_bytes."""
    return min(n_bytes + READING, 2 * n_bytes)
