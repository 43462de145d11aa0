"""bench/gpu.py where no GPU is, on sizes that say nothing about speed: its processes run this program instead."""

import sys
from functools import partial, wraps
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent / folder) for folder in ("src", "bench", "tests")]

import cuda_emulator  # noqa: E402
import gpu  # noqa: E402
import gpu_limits  # noqa: E402
import gpu_works  # noqa: E402

from fastmlp import crossover, thresholds  # noqa: E402


def smaller(function, sizes, **settings):
    """sizes : (arguments as bench/gpu.py gives them) -> smaller ones"""
    return wraps(function)(lambda *arguments: function(*sizes(*arguments), **settings))


gpu_limits.limits = smaller(gpu_limits.limits, lambda cupy, *_: (cupy, 1000, 32, 2))
gpu_works.population = smaller(gpu_works.population, lambda cupy, n, epochs, rounds, rate: (cupy, 130, 3, 2, rate))
gpu_works.single = smaller(
    gpu_works.single,
    lambda cupy, sizes, *rest: (cupy, tuple(min(size, 40) for size in sizes), 32, 3, 2, *rest[3:]),
    epochs=2,
)
gpu_works.nets_in_steps = smaller(gpu_works.nets_in_steps, lambda cupy, sizes, *_: (cupy, sizes, 3, 8, 3, 2), epochs=1)
crossover.WIDTHS, crossover.BATCHES, crossover.SECONDS = (8, 16), 2, 0.0
crossover.seconds_to_start = {"cpu": 0.25, "cuda": 0.5}.get  # of processes that would not find the emulator
crossover.remember = lambda gpu, processor, *found: thresholds.Thresholds(*found, "measured, but not kept")
gpu.child = partial(gpu.child, program=__file__)

if __name__ == "__main__":
    with cuda_emulator.installed():
        gpu.main()
