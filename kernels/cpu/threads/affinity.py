"""CPU affinity: pins a thread away from the processor of the thread that wakes it, until it runs.

A scheduler may queue a thread behind the thread that has woken it, although another processor is idle: Linux takes
a virtual processor that its host has put to sleep to be busy. A team's second thread then began 2.3 ms late, on the
first thread's processor (median of fits after 30 ms of rest); with pinning it was 0.4 ms. Nothing is done on systems
other than Linux.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from contextlib import suppress

MASK_BITS = 1024  # processors in a mask


def _of_pthreads(name: str, *kinds: type):
    function = getattr(ctypes.CDLL(None), name, None) if hasattr(os, "sched_setaffinity") else None
    if function is not None:
        function.argtypes = kinds
    return function


_set_mask = _of_pthreads("pthread_setaffinity_np", ctypes.c_ulong, ctypes.c_size_t, ctypes.c_char_p)
_processor = _of_pthreads("sched_getcpu")


def pin_away(threads: Sequence[int]) -> set[int] | None:
    """Pin threads to processors other than the one this thread runs on, until each of them calls unpin.

    threads : identifiers of the threads, as module _thread returns them

    Returns the processors that the calling thread may run on, for unpin; None where nothing was done: the system cannot
    pin threads, there are fewer other processors than threads, or more processors than fit into a mask.
    """
    if _set_mask is None or _processor is None:
        return None
    allowed = os.sched_getaffinity(0)
    others = allowed - {_processor()}
    if len(others) < len(threads) or max(others, default=MASK_BITS) >= MASK_BITS:
        return None
    # With no processor to spare, each thread has one of its own, or the scheduler might queue two on the same one.
    masks = [_mask({one}) for one in others] if len(others) == len(threads) else [_mask(others)] * len(threads)
    for thread, mask in zip(threads, masks, strict=True):
        _set_mask(thread, len(mask), mask)
    return allowed


def unpin(allowed: set[int] | None) -> None:
    """Let this thread run wherever its waker may, now that it has begun on another processor.

    allowed : the result of pin_away
    """
    if allowed is not None:
        with suppress(OSError):  # the process has lost these processors meanwhile
            os.sched_setaffinity(0, allowed)


def _mask(processors: set[int]) -> bytes:
    return sum(1 << one for one in processors).to_bytes(MASK_BITS // 8, "little")
