"""Tables like those that people train on: columns of numbers, and columns of categories."""

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

CATEGORIES = {
    "workclass": 8, "education": 16, "marital": 7, "occupation": 14, "relationship": 6, "race": 5, "sex": 2,
    "country": 41,
}  # fmt: skip


def numbers(n, seed):
    """Return a table of eight columns of numbers, as California housing has, and targets that leap."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(np.exp(rng.normal(size=(n, 8))), columns=[f"number {k}" for k in range(8)])
    return X, np.floor(3 * np.log(X["number 0"])).to_numpy() + np.sin(4 * X["number 6"]).to_numpy()


def categories(n, seed):
    """Return a table of six columns of numbers and eight of categories, as adult has, and two classes."""
    rng = np.random.default_rng(seed)
    columns = {
        "age": rng.integers(17, 90, n),
        "weight": rng.integers(10_000, 1_000_000, n),
        "years": rng.integers(1, 17, n),
        "gain": np.where(rng.random(n) < 0.1, rng.integers(1, 99_999, n), 0),
        "loss": np.where(rng.random(n) < 0.05, rng.integers(1, 4_000, n), 0),
        "hours": rng.integers(1, 99, n),
    }
    for name, size in CATEGORIES.items():
        columns[name] = np.array([f"{name} {k}" for k in range(size)], object)[rng.integers(0, size, n)]
    is_rich = columns["age"] + 5 * columns["years"] + rng.normal(0, 20, n) > 90
    return pd.DataFrame(columns), np.where(is_rich, ">50K", "<=50K")
