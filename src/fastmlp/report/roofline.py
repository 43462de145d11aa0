"""Roofline of a fit: its wall time beside the least time of its matrix products on this machine."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import lru_cache

from ..execution.blas_environment import SLOWING
from ..execution.work import products
from ..runtime.python_process import python_command
from .reported_fit import ReportedFit

# Run in a new Python process, since BLAS reads its environment and number of threads when it is loaded.
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


@lru_cache
def product_rate(dtype: str) -> float:
    """Return the FLOP/s of NumPy's product of two square matrices on one thread.

    It is the best of many products of matrices with 192 to 512 rows, measured once in a process.

    dtype : "float32" or "float64"

    Raises
    ------
    RuntimeError
        If the Python process that measures it cannot be started or fails.
    """
    environment = {name: value for name, value in os.environ.items() if name not in SLOWING}
    environment |= {f"{name}_NUM_THREADS": "1" for name in THREADS}
    command = python_command(PROGRAM, dtype)
    try:
        process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        return float(process.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise RuntimeError(f"The rate of a matrix product could not be measured: {error}") from None


@dataclass(frozen=True)
class Speed:
    """Wall time of a fit and its roofline.

    seconds : wall time of the fit without compiling
    steps : number of training steps
    flop : floating-point operations of the matrix products of all steps; a multiply-add counts as two
    n_threads : number of threads that the fit had
    rate : FLOP/s of a large matrix product on one thread of this machine, measured now
    """

    seconds: float
    steps: int
    flop: float
    n_threads: int
    rate: float

    @property
    def limit(self) -> float:
        """Roofline: seconds that the matrix products alone would take at `rate` on each of the threads."""
        return self.flop / (self.rate * self.n_threads)

    @property
    def share(self) -> float:
        """Roofline as a fraction of the wall time."""
        return self.limit / self.seconds


def measure_speed(history: ReportedFit) -> Speed | None:
    """Return the speed of a fit; None if its history is empty or lacks the settings of the fit, or if it was on a GPU.

    The forward and backward products of every sample in every epoch are counted, of a resumed fit since it went on.
    Validation, activations, the optimiser and callbacks are not.
    """
    n_samples, size = history.settings.get("n_samples"), history.settings.get("batch_size")
    n_epochs = history.epochs - history.epochs_before
    if not n_epochs or not n_samples or not size or not history.training_seconds > 0:
        return None
    if not history.net.device.is_host:  # whose time has no limit by the CPU's products
        return None
    flop = 2.0 * products(history.net.network, n_samples) * n_epochs
    steps = n_epochs * -(-n_samples // size)
    n_threads = history.settings.get("n_threads", 1)
    return Speed(history.training_seconds, steps, flop, n_threads, product_rate(history.net.dtype.name))
