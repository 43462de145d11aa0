"""Where samples as SIMD lanes beat a product per layer: the study behind dispatch.choose_family.

Times both kernel families over widths and numbers of samples: a training step on one thread, and a forward pass on as
many threads as each family chooses.

Run on an otherwise idle machine: python bench/studies/choose_family.py
Prints microseconds of both and their ratio; BATCH_SIMD_LIMITS in src/fastmlp/execution/thresholds.py comes from it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np

import fastmlp
from fastmlp.execution import dispatch
from fastmlp.execution.work import products

SMALL = ((2, 4, 1), (4, 8, 1), (8, 16, 1), (8, 8, 8, 1), (16, 8, 1), (24, 5, 1), (20, 20, 1), (24, 24, 1))
MEDIUM = ((10, 16, 16, 1), (16, 32, 1), (10, 48, 1), (30, 10, 2), (48, 12, 3), (40, 16, 1), (24, 32, 1), (64, 8, 8, 10))
LARGE = ((32, 32, 4), (64, 64, 10), (100, 6, 1), (100, 10, 1))
FEW_OUTPUTS = ((128, 1), (1000, 1), (500, 2, 1), (64, 4, 1), (200, 4, 1), (300, 3), (784, 4, 4))
PARTIAL_TILES = ((64, 100, 10), (100, 50, 25, 2), (400, 100, 10), (1000, 8), (784, 20, 10))
FULL_TILES = ((64, 64, 32, 10), (64, 128, 10))  # for comparison with PARTIAL_TILES
ROWS = (1, 4, 8, 16, 64, 256, 512, 768, 1024, 2048)  # of a batch; powers of two and others
PASS_ROWS = (1, 1000, 100_000)  # of a forward pass
FAMILIES = ("batch_simd", "layerwise")


def make_net(family: str, sizes: tuple[int, ...], rows: int) -> tuple[fastmlp.MLP, np.ndarray]:
    """A net that uses this family for all steps and passes, and samples."""
    family = family if family == "layerwise" else "batch_simd_4" if rows <= 4 else "batch_simd_16"
    dispatch.choose_family = dispatch.choose_evaluation_family = lambda network, rows: family
    net = fastmlp.MLP(sizes, hidden_activation="tanh", random_state=0, device="cpu")
    return net, np.random.default_rng(0).normal(size=(rows, sizes[0])).astype(np.float32)


def seconds_per_step(family: str, sizes: tuple[int, ...], rows: int) -> float:
    net, X = make_net(family, sizes, rows)
    y = np.random.default_rng(1).normal(size=(rows, sizes[-1]))
    net.fit(X, y, epochs=2, batch_size=None, verbose=0)
    epochs = max(5, int(2e7 / products(net.network, rows)))
    return min(net.fit(X, y, epochs=epochs, batch_size=None, verbose=0).seconds / epochs for _ in range(3))


def seconds_per_pass(family: str, sizes: tuple[int, ...], rows: int) -> float:
    net, X = make_net(family, sizes, rows)
    best, repeats = np.inf, max(1, 20_000 // rows)
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(repeats):
            net.predict(X)
        best = min(best, (time.perf_counter() - began) / repeats)
    return best


def table(seconds, nets, all_rows) -> Iterator[str]:
    yield f"{'layers':16} {'rows':>7} {'weights':>8} {'simd us':>10} {'layer us':>10}  batch_simd / layerwise"
    for sizes in nets:
        weights = max(np.multiply(sizes[:-1], sizes[1:]))
        for rows in all_rows:
            a, b = (seconds(family, sizes, rows) * 1e6 for family in FAMILIES)
            yield f"{'-'.join(map(str, sizes)):16} {rows:7} {weights:8} {a:10.2f} {b:10.2f}  {a / b:.2f}"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    threads, nets = dispatch.choose_threads, (*SMALL, *MEDIUM, *LARGE, *FEW_OUTPUTS, *PARTIAL_TILES, *FULL_TILES)
    dispatch.choose_threads = lambda *_: 1
    for line in table(seconds_per_step, nets, ROWS):
        print(line, flush=True)
    dispatch.choose_threads = threads
    print("\nforward pass")
    for line in table(seconds_per_pass, nets, PASS_ROWS):
        print(line, flush=True)


if __name__ == "__main__":
    main()
