"""From how many multiply-adds a second thread pays: the study behind dispatch.choose_threads.

Times a training step with one and with all threads, in the family that the net has, and a prediction layer by layer.

Run on an otherwise idle machine: python bench/studies/choose_threads.py
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import fastmlp
from fastmlp.execution import dispatch
from fastmlp.execution.work import products
from fastmlp.runtime.thread_count import n_threads_available

NETS = (
    (2, 8, 1),
    (2, 16, 16, 1),
    (16, 24, 24, 1),
    (64, 8, 8, 10),
    (30, 40, 40, 2),
    (64, 64, 32, 10),
    (64, 100, 10),
    (30, 64, 64, 2),
    (100, 256, 256, 1),
    (784, 512, 512, 10),
)
MAX_MULTIPLY_ADDS = 1e9  # of a step
PASSES = ((64, 64, 32, 10), (20, 100, 100, 2), (100, 256, 256, 1), (784, 512, 512, 10))
PAUSES = 0.0, 3e-4  # seconds before every other prediction


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    steps(n_threads_available())
    predictions(n_threads_available())


def predictions(n_threads: int) -> None:
    print(f"{'layers':16} {'rows':>5} {'products':>10} {'1 thread us':>12} {n_threads} threads  speed-up")
    rng = np.random.default_rng(0)
    for sizes in PASSES:
        for rows in (16, 32, 64, 128, 256, 512, 1024, 2048):
            X, n_products = (
                rng.normal(size=(rows, sizes[0])).astype("float32"),
                rows * sum(map(int.__mul__, sizes, sizes[1:])),
            )
            medians = []
            for threads in (1, n_threads):
                dispatch.choose_evaluation_threads = lambda *_, n=threads: n
                net = fastmlp.MLP(sizes, random_state=0, device="cpu")  # another one, whose prediction is planned anew
                net.predict(X)
                seconds = []
                for k in range(200):
                    time.sleep(PAUSES[k % 2])
                    began = time.perf_counter()
                    net.predict(X)
                    seconds.append(time.perf_counter() - began)
                medians.append(1e6 * float(np.median(seconds)))
            one, several = medians
            text = "-".join(map(str, sizes))
            print(f"{text:16} {rows:5} {n_products:10} {one:12.1f} {several:12.1f}  {one / several:.2f}", flush=True)


def steps(n_threads: int) -> None:
    print(
        f"{'layers':16} {'rows':>5} {'family':>20} {'products':>10} {'1 thread us':>12} {n_threads} threads  speed-up"
    )
    rng = np.random.default_rng(0)
    for sizes in NETS:
        for rows in (64, 128, 200, 256, 512, 1024, 4096):
            if products(fastmlp.MLP(sizes).network, rows) > MAX_MULTIPLY_ADDS:
                continue
            X, y = rng.normal(size=(rows * 8, sizes[0])), rng.normal(size=(rows * 8, sizes[-1]))
            seconds = []
            for threads in (1, n_threads):
                dispatch.choose_threads = lambda *_, n=threads: n
                net = fastmlp.MLP(sizes, random_state=0)
                net.fit(X, y, epochs=1, batch_size=rows, verbose=0)
                epochs = max(1, int(3e9 / products(net.network, rows) / 8))
                options = {"epochs": epochs, "batch_size": rows, "verbose": 0}
                seconds.append(min(net.fit(X, y, **options).seconds / epochs / 8 for _ in range(5)))
            n_products, text = products(net.network, rows), "-".join(map(str, sizes))
            one, several = (s * 1e6 for s in seconds)
            family = dispatch.choose_family(net.network, rows)
            print(
                f"{text:16} {rows:5} {family:>20} {n_products:10} {one:12.1f} {several:12.1f}  {one / several:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
