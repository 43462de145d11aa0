"""On which processor a thread wakes.

A scheduler may put a thread behind the one that has woken it, although another processor is idle: Linux takes a virtual
processor that its host has put to sleep for a busy one, and a team's second rank then began 2.3 ms late and on the
first one's processor (median of fits after 30 ms of rest; 0.4 ms by what is done here). There is nothing to be done
here for other systems.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from contextlib import suppress

MOST = 1024  # processors in a mask


def _of_pthreads(name: str, *kinds: type):
    function = getattr(ctypes.CDLL(None), name, None) if hasattr(os, "sched_setaffinity") else None
    if function is not None:
        function.argtypes = kinds
    return function


_set_mask = _of_pthreads("pthread_setaffinity_np", ctypes.c_ulong, ctypes.c_size_t, ctypes.c_char_p)
_processor = _of_pthreads("sched_getcpu")


def pin_away(threads: Sequence[int]) -> set[int] | None:
    """Have these threads, by _thread's numbers, run on other processors than this thread is on, until each of them
    calls set_free with what this returns; None, where nothing is done, as where they are too many for that.
    """
    if _set_mask is None or _processor is None:
        return None
    allowed = os.sched_getaffinity(0)
    others = allowed - {_processor()}
    if len(others) < len(threads) or max(others, default=MOST) >= MOST:
        return None
    # One processor each, if that takes all of them: two of them on one would not be better.
    masks = [_mask({one}) for one in others] if len(others) == len(threads) else [_mask(others)] * len(threads)
    for thread, mask in zip(threads, masks, strict=True):
        _set_mask(thread, len(mask), mask)
    return allowed


def unpin(allowed: set[int] | None) -> None:
    """This thread may run wherever the process may: it has begun where it should."""
    if allowed is not None:
        with suppress(OSError):  # the process has lost these processors meanwhile
            os.sched_setaffinity(0, allowed)


def _mask(processors: set[int]) -> bytes:
    return sum(1 << one for one in processors).to_bytes(MOST // 8, "little")
