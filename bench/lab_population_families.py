"""When do nets as lanes beat nets trained one by one? The measurement behind plan.LANES_UP_TO_PARAMS.

    python bench/lab_population_families.py

Prints, per net size and batch size, milliseconds per epoch of 48 nets in lanes and alone, and their ratio.
"""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
from environment import start_clean

SIZES = (
    (8, 16, 1),
    (20, 20, 2),
    (32, 24, 4),
    (64, 16, 10),
    (64, 24, 10),
    (40, 40, 10, 1),
    (64, 32, 16, 10),
    (64, 64, 32, 10),
)
N_NETS, N_SAMPLES = 48, 512


def seconds(sizes, batch_size, most_params) -> float:
    import fastmlp
    from fastmlp import plan

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N_SAMPLES, sizes[0])), rng.normal(size=(N_SAMPLES, sizes[-1]))
    plan.LANES_UP_TO_PARAMS = most_params
    pop = fastmlp.Population(sizes, N_NETS, random_state=0)
    pop.fit(X, y, epochs=2, batch_size=batch_size, verbose=0)
    epochs, times = 4, []
    for _ in range(3):
        started = time.perf_counter()
        pop.fit(X, y, epochs=epochs, batch_size=batch_size, verbose=0)
        times.append((time.perf_counter() - started) / epochs)
    return min(times)


def main():
    start_clean()
    for sizes in SIZES:
        n_params = sum((i + 1) * j for i, j in pairwise(sizes))
        for batch_size in (32, None):
            lanes, alone = seconds(sizes, batch_size, 10**9), seconds(sizes, batch_size, 0)
            print(f"{'-'.join(map(str, sizes)):14} {n_params:6} parameters, batch {batch_size or N_SAMPLES:4}: "
                  f"lanes {1e3 * lanes:8.3f} ms, alone {1e3 * alone:8.3f} ms, ratio {lanes / alone:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
