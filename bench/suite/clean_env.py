"""A clean environment: removes variables that would change the threads or kernels of a library."""

from __future__ import annotations

import os
import sys

# The first two slow OpenBLAS down by choosing kernels for another processor; the others limit threads, which the
# benchmarks set themselves, alike for all.
CLEARED = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "XLA_FLAGS",
    "NPROC",
    "PJRT_NPROC",
)


def clear() -> list[str]:
    """Remove the variables above, for processes that start from now on; returns those that were set."""
    was_set = [name for name in CLEARED if name in os.environ]
    for name in was_set:
        del os.environ[name]
    return was_set


def start_clean() -> None:
    """Execute this script again without the variables above, if any is set: libraries read them when they load."""
    if any(name in os.environ for name in CLEARED):
        environment = {name: value for name, value in os.environ.items() if name not in CLEARED}
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
