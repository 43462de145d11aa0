"""The samples of the suite's cases: real data where it is at hand, otherwise random classes of the same shape.

Digits come with scikit-learn, MNIST and covertype from the folder named by the environment variable FASTMLP_DATA
(mnist/mnist.npz, covertype/covertype.npz). Every function returns (X, y, source).
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

Samples = tuple[np.ndarray, np.ndarray, str]


def random_classes(seed: int, rows: int, features: int, classes: int, source: str = "random") -> Samples:
    """Random classes that can be told apart; X is centred, and about as large as pixels.

    If all inputs were positive, some units would be active for one row only. Rounding to float32 decides whether such a
    unit is active; Adam then moves all of its weights by a full step or not at all, and correct competitors end 4 % of
    the distance travelled apart. With these X it was 0.3 % at most, over four seeds of the three large nets and four
    orders of summation.
    """
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, rows)
    X = rng.standard_normal((classes, features), np.float32)[y]
    X += rng.standard_normal(X.shape, np.float32)
    return 0.2 * X, y, source


def digits(rows: int = 1797) -> Samples:
    """1,797 rows of 64 numbers from 0 to 1, ten classes."""
    package = find_spec("sklearn")
    if package is None:
        return random_classes(4, rows, 64, 10, "random, the shape of digits")
    file = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    if file.exists():  # importing scikit-learn takes seconds, and memory that would count as the competitor's
        table = np.loadtxt(file, np.float32, delimiter=",", max_rows=rows, ndmin=2)
        X, y = table[:, :-1], table[:, -1]
    else:
        from sklearn.datasets import load_digits

        X, y = (array[:rows] for array in load_digits(return_X_y=True))
    return (X / 16).astype(np.float32), y.astype(np.int64), "scikit-learn's digits"


def mnist(rows: int = 60_000) -> Samples:
    """The first of 60,000 rows of 784 numbers from 0 to 1, ten classes."""
    file = _file("mnist/mnist.npz")
    if file is None:
        return random_classes(1, rows, 784, 10, "random, the shape of MNIST")
    with np.load(file) as arrays:
        X, y = arrays["x_train"][:rows].reshape(-1, 784), arrays["y_train"][:rows]
    return X.astype(np.float32) / 255, y.astype(np.int64), "MNIST"


def covertype(rows: int = 581_012) -> Samples:
    """54 numbers, of which the first ten have mean 0 and deviation 1, seven classes."""
    file = _file("covertype/covertype.npz")
    if file is None:
        return random_classes(2, rows, 54, 7, "random, the shape of covertype")
    with np.load(file) as arrays:
        X = np.concatenate([arrays[f"x_{part}"] for part in ("train", "val", "test")]).astype(np.float32)
        y = np.concatenate([arrays[f"y_{part}"] for part in ("train", "val", "test")]).astype(np.int64) - 1
    X[:, :10] = (X[:, :10] - X[:, :10].mean(0)) / X[:, :10].std(0)
    return X[:rows], y[:rows], "covertype"


def data_folder() -> Path:
    """The folder of real data that FASTMLP_DATA names; exits with a sentence if there is none."""
    folder = Path(os.environ.get("FASTMLP_DATA", ""))
    if folder == Path() or not folder.is_dir():
        sys.exit("Real data are needed: set the environment variable FASTMLP_DATA to the folder that holds them.")
    return folder


def _file(path: str) -> Path | None:
    folder = os.environ.get("FASTMLP_DATA")
    file = Path(folder) / path if folder else None
    return file if file and file.is_file() else None
