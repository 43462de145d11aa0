"""Memory of this machine: checks of arrays before they are allocated, and the limit of a fit for its data."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from contextlib import suppress
from functools import cache
from math import prod
from numbers import Integral
from pathlib import Path
from typing import Any

from ..errors import MOST_COUNTED

ADDRESSES = 2**47  # bytes of address space of a process, the limit if the system does not report its memory
CGROUP = Path("/sys/fs/cgroup")  # of a container on Linux
CONTAINERS = (  # files of limit, usage and statistics there, and the key of reclaimable pages in the last one
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
SHOWN_LAYERS = 8  # layers that a message names
LARGE = 2**26  # multiply-adds of a prediction below which its outputs are not checked
# Arguments of check_array for predictions: noun and advice.
OUTPUTS = "Outputs", "Ask for fewer samples at a time."
SHARE = 0.4  # of the memory that is available, by default
UNITS = {"": 1, "b": 1} | {unit: 1000**k for k, prefix in enumerate("kmgt", 1) for unit in (prefix, f"{prefix}b")}
UNITS |= {f"{prefix}ib": 1024**k for k, prefix in enumerate("kmgt", 1)}
UNKNOWN = 4 * 10**9  # bytes, where the system does not say how much memory it has
LEAST = 1_000_000  # bytes: with less, most of the time would go into reading
READING = 64_000_000  # bytes of a limit that are left to reading: the pages and pieces that it holds, and buffers


def free_in_container() -> int:
    """Return the bytes that the container of the process has left; ADDRESSES if there is no limit on them."""
    for limit, usage, statistics, cached in CONTAINERS:
        with suppress(OSError, ValueError, KeyError):  # "max" is no limit
            n_bytes, n_used = int((CGROUP / limit).read_text()), int((CGROUP / usage).read_text())
            lines = dict(line.split() for line in (CGROUP / statistics).read_text().splitlines())
            return max(0, n_bytes - n_used + int(lines[cached]))  # pages of files that the system gives back
    return ADDRESSES


@cache
def memory_bytes() -> int:
    """Return the memory of this machine in bytes, or the limit of the container that the process runs in."""
    limits = [ADDRESSES]
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for limit, *_ in CONTAINERS:
        with suppress(OSError, ValueError):  # "max" is no limit
            limits.append(int((CGROUP / limit).read_text()))
    return min(n for n in limits if n > 0)


def format_bytes(n_bytes: int) -> str:
    """Return a number of bytes as text in decimal units.

    >>> format_bytes(999), format_bytes(2_345_000_000)
    ('999 bytes', '2.35 GB')
    """
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n_bytes >= size:
            return f"{n_bytes / size:,.0f} {unit}" if n_bytes >= 1000 * size else f"{n_bytes / size:.3g} {unit}"
    return f"{n_bytes} bytes"


def check_memory(n_bytes: int, noun: str, advice: str) -> None:
    """Check that n_bytes fit into memory.

    noun : str     plural noun for the message, the data that take n_bytes
    advice : str     sentence for the message, a way to need less memory

    Raises
    ------
    ValueError
        If the machine has less memory.
    """
    if n_bytes > memory_bytes():
        raise ValueError(
            f"{noun} would take {format_bytes(n_bytes)}, but this machine has {format_bytes(memory_bytes())} of "
            f"memory. {advice}"
        )


def check_array(shape: tuple[int, ...], itemsize: int, noun: str, advice: str) -> None:
    """Check that an array of this shape, with itemsize bytes per element, fits into memory, as check_memory does."""
    check_memory(prod(shape) * itemsize, f"{noun} of shape {shape}", advice)


def check_params(layer_sizes: tuple[int, ...], n_params: int, itemsize: int, n_nets: int = 1) -> None:
    """Check that the parameters of n_nets nets fit into memory, as check_memory does.

    n_params : int     number of parameters of one net
    itemsize : int     bytes per parameter
    """
    n_bytes = n_nets * n_params * itemsize
    if n_bytes <= memory_bytes():
        return
    noun = f"The {format_count(n_nets * n_params)} parameters of "
    if n_nets > 1:
        noun += f"{format_count(n_nets)} nets with "
    shown_sizes = list(map(format_count, layer_sizes[:SHOWN_LAYERS]))
    noun += f"layers ({', '.join([*shown_sizes, '...'] if len(layer_sizes) > SHOWN_LAYERS else shown_sizes)})"
    check_memory(n_bytes, noun, "Make layers smaller." if n_nets == 1 else "Make fewer nets.")


def format_count(n: int) -> str:
    """Return a count as text, rounded if it is huge.

    >>> format_count(12345), format_count(10**30)
    ('12,345', '1e+30')
    """
    return f"{n:,}" if n <= MOST_COUNTED else f"{n:.3g}" if n < 2**1000 else f"2**{n.bit_length() - 1} and more"


def check_epochs(epochs: int, n_batches: int, n_records: int) -> None:
    """Check that the records of all epochs fit into memory, and the number of steps into 64 bits.

    epochs : int     number of epochs of the fit
    n_batches : int     number of steps per epoch
    n_records : int     number of float64 records that are kept for each epoch

    Raises
    ------
    ValueError
        If there are too many epochs.
    """
    max_epochs = MOST_COUNTED // n_batches
    if n_records:
        max_epochs = min(max_epochs, memory_bytes() // (8 * n_records))
    if epochs > max_epochs:
        reason = f"{n_records} figures of each epoch are kept" if n_records else "more steps cannot be counted"
        raise ValueError(
            f"epochs must be a whole number of at most {max_epochs:,} here, since {reason}, but it is "
            f"{format_count(epochs)}. Train in several fits."
        )


# ---- memory limit of a fit


def available_bytes() -> int:
    """Return the bytes that a process can allocate without swapping, as far as the system says so."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        return min(int(line.split()[1]) * 1024, memory_bytes(), free_in_container())
    n_bytes = memory_bytes()
    return n_bytes // 2 if n_bytes < ADDRESSES else UNKNOWN


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
    elif isinstance(value, (float, Integral)) and not isinstance(value, bool) and value % 1 == 0:
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
