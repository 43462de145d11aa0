"""How long a fit took beside the least time that its matrix products would take on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..execution.dispatch import products

# Run by a Python of its own: the number of BLAS's threads and its environment are read when it is loaded.
PROGRAM = """
import sys, time
import numpy as np
best = 0.0
for side in (192, 256, 384, 512):
    a = np.ones((side, side), sys.argv[1])
    out = a @ a
    began = time.perf_counter()
    while time.perf_counter() - began < 0.06:
        start = time.perf_counter()
        np.matmul(a, a, out=out)
        best = max(best, 2.0 * side**3 / (time.perf_counter() - start))
print(best)
"""
THREADS = ("OPENBLAS", "OMP", "MKL", "BLIS")
SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # set on some machines, and a quarter of the speed there


@lru_cache
def product_rate(dtype: str) -> float:
    """FLOP a second of NumPy's product of two square matrices on one thread, the best of many of 192 to 512 rows.
    Measured once in a process.

    Raises
    ------
    RuntimeError
        If no second Python can be started to measure it.
    """
    environment = {name: value for name, value in os.environ.items() if name not in SLOWING}
    environment |= {f"{name}_NUM_THREADS": "1" for name in THREADS}
    command = [sys.executable, "-c", PROGRAM, dtype]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        return float(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise RuntimeError(f"The rate of a matrix product could not be measured: {error}") from None


@dataclass(frozen=True)
class Speed:
    """A fit's time and its limit.

    seconds : wall time of the fit, everything included but compiling
    steps : training steps
    flop : floating-point operations of the steps' matrix products, a multiplication and an addition being two
    n_threads : that the fit had
    rate : FLOP a second of a large matrix product on one thread, here and now
    """

    seconds: float
    steps: int
    flop: float
    n_threads: int
    rate: float

    @property
    def limit(self) -> float:
        """Seconds that the products alone would take at that rate, on as many threads."""
        return self.flop / (self.rate * self.n_threads)

    @property
    def share(self) -> float:
        """The limit as a share of the time taken."""
        return self.limit / self.seconds


def speed_of(history: Any) -> Speed | None:
    """The speed of a fit; None if its history does not know how it was trained, or is empty.

    Forward and backward products of every sample in every epoch are counted; validation, activations, the optimiser and
    callbacks are not.
    """
    n_samples, size = history.settings.get("n_samples"), history.settings.get("batch_size")
    if not history.epochs or not n_samples or not size or not history.training_seconds > 0:
        return None
    flop = 2.0 * products(history.net.network, n_samples) * history.epochs
    steps = history.epochs * -(-n_samples // size)
    n_threads = history.settings.get("n_threads", 1)
    return Speed(history.training_seconds, steps, flop, n_threads, product_rate(history.net.dtype.name))
