"""A table for fits to sources: numbers, missing cells, categories and dates, with classes and numbers to predict."""

import numpy as np

N, LIMIT = 40_000, "2MB"  # rows, and a limit that holds neither them nor their features
INPUTS = ["a", "b", "c", "colour", "day"]
SETTINGS = {"n_nets": 1, "max_iter": 3, "hidden_layer_sizes": (16,), "random_state": 0, "device": "cpu"}


def make_table(n=N, seed=0):
    import pandas as pd

    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"a": rng.normal(size=n), "b": rng.exponential(size=n), "c": rng.integers(0, 5, n)})
    table["colour"] = rng.choice(["red", "blue", "green"], n)
    table["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 1000, n), unit="D")
    table.loc[rng.random(n) < 0.01, "b"] = np.nan
    value = 2.0 * table.a * (table.colour == "red") + table.c
    table["kind"] = np.where(value > 2.0, "yes", "no")
    table["value"] = value + 0.1 * rng.normal(size=n)
    return table


class Pieces:
    """A source of pairs (X, y) that can be read as often as needed."""

    def __init__(self, X, y, size=7_000):
        self.pieces = [(X[i : i + size], y[i : i + size]) for i in range(0, len(X), size)]

    def __iter__(self):
        return iter(self.pieces)


def classifier(**settings):
    from fastmlp import TabularMLPClassifier

    return TabularMLPClassifier(**{**SETTINGS, **settings})
