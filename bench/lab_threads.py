"""From which work a second thread pays: time of a training step with one and with all threads.

Run on an otherwise idle machine: python bench/lab_threads.py
"""

from __future__ import annotations

import numpy as np

import fastmlp
import fastmlp.plan as plan
from fastmlp.devices import n_threads_available
from fastmlp.plan import products


def main() -> None:
    n_threads = n_threads_available()
    print(f"{'layers':20} {'rows':>5} {'products':>12} {'1 thread us':>12} {n_threads} threads us  speed-up")
    rng = np.random.default_rng(0)
    for sizes in ((64, 64, 32, 10), (64, 100, 10), (30, 64, 64, 2), (100, 256, 256, 1), (784, 512, 512, 10)):
        for rows in (64, 128, 200, 256, 512):
            X, y = rng.normal(size=(rows * 8, sizes[0])), rng.normal(size=(rows * 8, sizes[-1]))
            seconds = []
            for threads in (1, n_threads):
                plan.choose_threads = lambda *_, n=threads: n
                net = fastmlp.MLP(sizes, random_state=0)
                net.fit(X, y, epochs=1, batch_size=rows, verbose=0)
                epochs = max(1, int(3e9 / products(net.network, rows) / 8))
                options = {"epochs": epochs, "batch_size": rows, "verbose": 0}
                seconds.append(min(net.fit(X, y, **options).seconds / epochs / 8 for _ in range(5)))
            work, text = products(net.network, rows), "-".join(map(str, sizes))
            one, more = (s * 1e6 for s in seconds)
            print(f"{text:20} {rows:5} {work:12} {one:12.1f} {more:12.1f}  {one / more:.2f}", flush=True)


if __name__ == "__main__":
    main()
