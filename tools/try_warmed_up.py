"""First fits after `fastmlp warmup`: each in a process of its own, and none waits for kernels for a second.

    NUMBA_CACHE_DIR=FOLDER fastmlp warmup && NUMBA_CACHE_DIR=FOLDER python tools/try_warmed_up.py

It prints the seconds in which each fit compiled or loaded kernels: a net of each kernel family, populations, and
estimators.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np

import fastmlp
from fastmlp import warmup

LIMIT = 1.0  # seconds


def of_net(number: int) -> float:
    sizes, rows, batch = warmup.NETS[number]
    X, y = warmup.samples(sizes[0], sizes[-1], rows)
    loss = "binary_cross_entropy" if sizes[-1] == 1 else "softmax_cross_entropy"
    net = fastmlp.MLP(sizes, loss=loss, device="cpu", random_state=0)
    return net.fit(X, y, epochs=1, batch_size=batch, optimizer="adamw", verbose=0).compile_seconds


def of_population(number: int) -> float:
    sizes, n_nets, activation, loss, optimizer = warmup.POPULATIONS[number]
    X, y = warmup.samples(sizes[0], sizes[-1], 64)
    nets = fastmlp.Population(sizes, n_nets, hidden_activation=activation, loss=loss, device="cpu", random_state=0)
    return nets.fit(X, y, epochs=1, batch_size=16, optimizer=optimizer, verbose=0).compile_seconds


def of_estimator(number: int) -> float:
    X, y = warmup.samples(12, 3, 400)
    kind = (fastmlp.MLPClassifier, fastmlp.TabularMLPClassifier)[number]
    model = kind(max_iter=1, random_state=0).fit(X.astype(np.float64), y)
    history = model.history_ if hasattr(model, "history_") else model.net_.history
    return history.compile_seconds


FITS: dict[str, tuple[Callable[[int], float], int]] = {
    "a net": (of_net, len(warmup.NETS)),
    "a population": (of_population, len(warmup.POPULATIONS)),
    "an estimator": (of_estimator, 2),
}


def main() -> None:
    if len(sys.argv) == 3:
        fit, _ = FITS[sys.argv[1]]
        print(fit(int(sys.argv[2])))
        return
    slow = []
    for name, (_, n) in FITS.items():
        for number in range(n):
            done = subprocess.run(
                [sys.executable, __file__, name, str(number)], capture_output=True, text=True, check=True
            )
            seconds = float(done.stdout.splitlines()[-1])
            print(f"{name}, case {number}: {seconds:.2f} s of compiling and loading", flush=True)
            slow += [f"{name} {number}"] if seconds >= LIMIT else []
    if slow:
        sys.exit(f"First fits that waited for a second or more: {slow}.")


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")  # one epoch is not enough
    main()
