"""From how many nets on lanes pay: the study behind dispatch.choose_nets_family.

    python bench/studies/lanes_vs_one_by_one.py [--epochs 200]

A block of lanes takes the same time for one net as for a full block; nets one by one take time in proportion. Prints,
per architecture, number of samples and batch size, the CPU time of an epoch of a full block and of one net alone, as
parts of a whole fit, and the number of nets from which the block takes less. One thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from suite.clean_env import start_clean

SIZES = (
    (2, 2, 1),
    (2, 4, 4, 1),
    (4, 8, 3),
    (8, 16, 1),
    (13, 10, 3),
    (4, 100, 3),
    (20, 20, 2),
    (32, 24, 4),
    (64, 16, 10),
    (13, 100, 3),
    (30, 100, 1),
    (64, 32, 16, 10),
    (64, 64, 32, 10),
)
BATCHES = ((4, None), (120, 8), (120, 32), (120, None), (500, 32), (500, 200))
N_ONE_BY_ONE = 8


def make_fit(sizes, n_nets, n_samples, batch_size, optimizer):
    import fastmlp

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n_samples, sizes[0])), rng.normal(size=(n_samples, sizes[-1]))
    pop = fastmlp.Population(sizes, n_nets, random_state=0)
    return lambda epochs: pop.fit(X, y, epochs=epochs, batch_size=batch_size, optimizer=optimizer, verbose=0)


def seconds(fit, epochs, in_lanes) -> float:
    from fastmlp.population_training import task_and_outcome

    task_and_outcome.choose_nets_family = lambda *_: "population_simd" if in_lanes else "one_by_one"
    fit(2)
    times = []
    for _ in range(3):
        started = time.process_time()
        fit(epochs)
        times.append(time.process_time() - started)
    return min(times) / epochs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--optimizer", default="adam")
    options = parser.parse_args()
    os.environ["FASTMLP_NUM_THREADS"] = "1"
    start_clean()
    from fastmlp.kernels.structs import LANES

    for sizes in SIZES:
        n_params = sum((i + 1) * j for i, j in pairwise(sizes))
        for n_samples, batch_size in BATCHES:
            params_per_epoch = n_samples * n_params
            epochs = max(4, min(options.epochs, int(4e7 / params_per_epoch)))
            args = (n_samples, batch_size, options.optimizer)
            block = seconds(make_fit(sizes, LANES, *args), epochs, True)
            one_net = seconds(make_fit(sizes, N_ONE_BY_ONE, *args), epochs, False) / N_ONE_BY_ONE
            print(
                f"{'-'.join(map(str, sizes)):14} {n_params:5} parameters, {n_samples:4} samples in batches of "
                f"{batch_size or n_samples:4}: a block {1e6 * block:8.1f} us, one net {1e6 * one_net:8.2f}, equal "
                f"at {block / one_net:5.1f} nets",
                flush=True,
            )


if __name__ == "__main__":
    main()
