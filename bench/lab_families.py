"""Where samples-as-lanes stops paying: time of a training step in both kernel families, over widths and batch sizes.

Run: python bench/lab_families.py      (prints microseconds a step and who wins; plan.py's thresholds come from here)
"""

from __future__ import annotations

import numpy as np

import fastmlp
import fastmlp.plan as plan
from fastmlp.plan import products


def seconds_per_step(family: str, sizes: tuple[int, ...], rows: int) -> float:
    plan.choose_family = lambda network, batch: family
    plan.choose_threads = lambda network, family, batch: 1
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(rows, sizes[0])), rng.normal(size=(rows, sizes[-1]))
    net = fastmlp.MLP(sizes, hidden_activation="tanh", random_state=0)
    net.fit(X, y, epochs=2, verbose=0)
    epochs = max(5, int(5e7 / products(net.network, rows)))
    return min(net.fit(X, y, epochs=epochs, verbose=0).seconds / epochs for _ in range(3))


def main() -> None:
    print(f"{'layers':16} {'rows':>5} {'products':>10} {'lanes us':>10} {'layers us':>10}  lanes / layers")
    for sizes in (
        (2, 4, 1),
        (4, 8, 1),
        (8, 16, 1),
        (8, 8, 8, 1),
        (10, 16, 16, 1),
        (16, 32, 1),
        (32, 32, 4),
        (64, 64, 10),
        (128, 1),
        (20, 20, 1),
        (10, 48, 1),
        (64, 8, 8, 10),
    ):
        for rows in (1, 4, 8, 16, 64, 256, 1024):
            lanes = "per_sample_narrow" if rows <= 4 else "per_sample_wide"
            a, b = (seconds_per_step(family, sizes, rows) for family in (lanes, "per_layer"))
            n = rows * (3 * sum(np.multiply(sizes[:-1], sizes[1:])) - sizes[0] * sizes[1])
            text = "-".join(map(str, sizes))
            print(f"{text:16} {rows:5} {n:10} {a * 1e6:10.2f} {b * 1e6:10.2f}  {a / b:.2f}", flush=True)


if __name__ == "__main__":
    main()
