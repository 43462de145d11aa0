"""The single-net workloads: what is trained, on which data, from which parameters, and what it must cost at least.

Every contestant trains exactly this: float32, consecutive batches of `batch_size` rows in the order of the data, rows
that do not fill a batch dropped, from `start`. Real data is used where it is at hand: digits come with scikit-learn,
MNIST and covertype from the folder named by the environment variable FASTMLP_DATA (mnist/mnist.npz,
covertype/covertype.npz); random data of the same shape otherwise. `source` says which.
Run `python bench/workloads.py` to print the table of workloads.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class Workload:
    """One training job.

    loss : "squared_error", the mean over samples and outputs of (a - y)**2, without one half; "binary_cross_entropy",
        the mean over both; "softmax_cross_entropy", the mean over samples
    optimizer : "sgd" or "adam" (beta1 0.9, beta2 0.999, epsilon 1e-8 added to the root of the corrected moment)
    X : (n_samples, n_features) float32
    y : (n_samples, n_outputs) float32, or for softmax_cross_entropy the classes, (n_samples,) int64
    n_epochs : epochs of one timed job; slow contestants run fewer and are reported per step
    verify_steps, verify_epochs : the first batches, and how often they are seen, for comparing contestants
    """

    name: str
    layer_sizes: tuple[int, ...]
    hidden_activation: str
    output_activation: str
    loss: str
    optimizer: str
    learning_rate: float
    X: np.ndarray
    y: np.ndarray
    batch_size: int
    n_epochs: int
    source: str
    verify_steps: int = 3
    verify_epochs: int = 2
    start_seed: int = 0
    start_scale: float = 1.0

    @property
    def n_steps(self) -> int:
        """Optimiser steps in an epoch."""
        return len(self.X) // self.batch_size

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(fan_in, fan_out) per layer."""
        return list(pairwise(self.layer_sizes))

    @property
    def n_params(self) -> int:
        return sum(i * o + o for i, o in self.shapes)

    @cached_property
    def start(self) -> np.ndarray:
        """First parameters, flat: per layer W (fan_in, fan_out) row by row, then b (fan_out,)."""
        rng = np.random.default_rng(self.start_seed)
        scale = np.concatenate([np.full(i * o + o, self.start_scale / np.sqrt(i)) for i, o in self.shapes])
        return (scale * rng.uniform(-1, 1, self.n_params)).astype(np.float32)

    @property
    def y_matrix(self) -> np.ndarray:
        """Targets as (n_samples, n_outputs) float32: one-hot for classes."""
        return self.y if self.y.ndim == 2 else np.eye(self.layer_sizes[-1], dtype=np.float32)[self.y]

    @property
    def flop_per_step(self) -> int:
        """Multiplications and additions of the products: forward, both backward, but no gradient of the inputs."""
        products = [i * o for i, o in self.shapes]
        return 2 * self.batch_size * (3 * sum(products) - products[0])

    @property
    def bytes_per_step(self) -> int:
        """What the update alone must move: gradients and parameters read, parameters written, Adam's m and v both."""
        return 4 * self.n_params * {"sgd": 3, "adam": 7}[self.optimizer]

    def head(self, n_steps: int) -> Workload:
        """The same job on the first batches only."""
        rows = min(n_steps, self.n_steps) * self.batch_size
        return replace(self, X=self.X[:rows], y=self.y[:rows])

    @property
    def verification(self) -> Workload:
        return self.head(self.verify_steps)


def layers(flat: np.ndarray, layer_sizes: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Views (W, b) per layer into a flat parameter vector."""
    views, at = [], 0
    for i, o in pairwise(layer_sizes):
        views.append((flat[at : at + i * o].reshape(i, o), flat[at + i * o : at + i * o + o]))
        at += i * o + o
    return views


def flatten(arrays) -> np.ndarray:
    """The flat float32 vector of W, b, W, b, ..."""
    return np.concatenate([np.asarray(a, dtype=np.float32).ravel() for a in arrays])


def _xor(name: str, loss: str) -> Workload:
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    y = np.array([[0], [1], [1], [0]], np.float32)
    # A start from which 5000 epochs do learn XOR; most smaller ones stay at 0.5.
    return Workload(name, (2, 2, 2, 1), "sigmoid", "sigmoid", loss, "sgd", 0.15, X, y, 4, 5000, "the four rows",
                    verify_steps=1, verify_epochs=200, start_seed=6, start_scale=3.0)  # fmt: skip


def _softmax(name, layer_sizes, X, y, batch_size, n_epochs, source, **verification) -> Workload:
    rows = len(X) // batch_size * batch_size
    X, y = np.ascontiguousarray(X[:rows], np.float32), np.ascontiguousarray(y[:rows], np.int64)
    return Workload(name, layer_sizes, "relu", "softmax", "softmax_cross_entropy", "adam", 1e-3, X, y, batch_size,
                    n_epochs, source, **verification)  # fmt: skip


def _digits(batch_size: int, n_epochs: int) -> Workload:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return _softmax(f"digits{batch_size}", (64, 64, 32, 10), X / 16, y, batch_size, n_epochs, "scikit-learn's digits")


def _data_file(path: str) -> Path | None:
    folder = os.environ.get("FASTMLP_DATA")
    file = Path(folder) / path if folder else None
    return file if file and file.is_file() else None


def _mnist(batch_size: int) -> Workload:
    file = _data_file("mnist/mnist.npz")
    if file:
        with np.load(file) as data:
            X, y, source = data["x_train"].reshape(-1, 784).astype(np.float32) / 255, data["y_train"], "MNIST"
    else:
        rng = np.random.default_rng(1)
        X, y = rng.random((60000, 784), np.float32), rng.integers(0, 10, 60000)
        source = "random, the shape of MNIST"
    return _softmax(f"mnist{batch_size}", (784, 512, 512, 10), X, y, batch_size, 1, source)


def _table4096() -> Workload:
    file = _data_file("covertype/covertype.npz")
    if file:
        with np.load(file) as data:
            X = np.concatenate([data[f"x_{part}"] for part in ("train", "val", "test")]).astype(np.float32)
            y = np.concatenate([data[f"y_{part}"] for part in ("train", "val", "test")]).astype(np.int64) - 1
        X[:, :10] = (X[:, :10] - X[:, :10].mean(0)) / X[:, :10].std(0)
        source = "covertype"
    else:
        rng = np.random.default_rng(2)
        X, y = rng.standard_normal((20480, 54), np.float32), rng.integers(0, 7, 20480)
        source = "random, the shape of covertype"
    return _softmax("table4096", (54, 1024, 1024, 7), X[:20480], y[:20480], 4096, 1, source, verify_steps=2)


def _regression256() -> Workload:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((20480, 100), np.float32)
    y = np.sin(X[:, :1]) + 0.5 * X[:, 1:2] * X[:, 2:3] + 0.1 * rng.standard_normal((20480, 1), np.float32)
    return Workload("regression256", (100, 256, 256, 1), "relu", "identity", "squared_error", "adam", 1e-3, X,
                    np.ascontiguousarray(y, np.float32), 256, 4, "random")  # fmt: skip


WORKLOADS = {
    "xor": lambda: _xor("xor", "squared_error"),
    "xor_bce": lambda: _xor("xor_bce", "binary_cross_entropy"),
    "digits32": lambda: _digits(32, 100),
    "digits200": lambda: _digits(200, 200),
    "mnist128": lambda: _mnist(128),
    "mnist1024": lambda: _mnist(1024),
    "table4096": _table4096,
    "regression256": _regression256,
}


def main():
    for build in WORKLOADS.values():
        w = build()
        sizes = "-".join(map(str, w.layer_sizes))
        print(f"{w.name:14} {sizes:16} {w.loss:22} {w.optimizer:5} batch {w.batch_size:4} x {w.n_steps:3} steps  "
              f"{w.n_params:8} parameters  {w.flop_per_step / 1e6:9.3f} MFLOP  {w.bytes_per_step / 1e6:7.3f} MB  "
              f"{w.source}")  # fmt: skip


if __name__ == "__main__":
    main()
