"""Nets whose steps are too long or too short, for validating the diagnosis; some by the scale of their data.

Such steps leave dead or saturated units, or a net that is still as at the start. The verdict should name the cause.
"""

from __future__ import annotations

import numpy as np
import toy_data as data
from stuck_nets import RELU, Case, Trained, coded, of

from fastmlp import SGD, Adam, RMSprop


def clouds(seed):
    """Ten classes of 16 numbers from 0 to 1, such as coordinates of handwriting."""
    X, y = data.blobs(seed, n=600, n_features=16, n_classes=10)
    return (X - X.min()) / np.ptp(X), y


def percentages(seed):
    X, y = clouds(seed)
    return 100.0 * X, y


def columns(seed):
    """Regression on columns in their own units, such as incomes, counts of people, and degrees."""
    X, y = data.friedman(seed)
    return X * [2.0, 12.0, 1000.0, 5.0, 2.0] + [4.0, 28.0, 1400.0, 35.0, -119.0], y + 2.0


def numbers(seed):
    """The same regression on standardised columns."""
    X, y = data.friedman(seed)
    return X, y + 2.0


def with_indicators(seed):
    """Regression with indicators of rare categories, and one of a category that is hardly ever missing."""
    X, y = data.friedman(seed)
    categories = np.random.default_rng(seed).integers(0, 60, len(X))
    indicators = (categories[:, None] == np.arange(60)).astype(float)
    return np.hstack([X, indicators, 1.0 - indicators[:, :1] * (indicators[:, :1].cumsum(axis=0) < 2)]), y


def of_table(**settings):
    """Return a maker of estimators of tables, with bins and a category that hold few rows."""

    def make(seed):
        import pandas as pd

        from fastmlp import TabularMLPRegressor

        X, y = data.friedman(seed, n=600)
        X[:, 2] = np.round(np.exp(2.0 * X[:, 2]))
        table = pd.DataFrame(X, columns=list("abcde")).assign(kind=np.where(y > np.quantile(y, 0.998), "rare", "usual"))
        options = {"n_nets": 1, "max_iter": 10, "random_state": seed, "validation_fraction": 0.0, "batch_size": 8}
        return Trained(TabularMLPRegressor((32,), **options | settings).fit(table, y), table, y)

    return make


PLAIN = {"epochs": 30, "batch_size": 16, "hidden": (32,)}
CURED = of(clouds, optimizer=Adam(0.01), **PLAIN, **RELU)

STEP_CASES = [
    Case("unscaled_data", "percentages, relu, descent", of(percentages, optimizer=SGD(0.1), **PLAIN, **RELU),
         cure=of(clouds, optimizer=SGD(0.1), **PLAIN, **RELU)),
    Case("unscaled_data", "columns in their own units, relu, descent",
         of(columns, optimizer=SGD(0.01), **PLAIN, **RELU), cure=of(numbers, optimizer=SGD(0.01), **PLAIN, **RELU)),
    Case("unscaled_data", "millions, diverging descent",
         of(coded(lambda y: 1e6 * y, data.friedman), optimizer=SGD(0.01), **PLAIN, **RELU),
         cure=of(data.friedman, optimizer=SGD(0.01), **PLAIN, **RELU)),
    Case("learning_rate_too_high", "Adam at 10, relu", of(clouds, optimizer=Adam(10.0), **PLAIN, **RELU), cure=CURED),
    Case("learning_rate_too_high", "Adam at 0.5, relu", of(clouds, optimizer=Adam(0.5), **PLAIN, **RELU), cure=CURED),
    Case("learning_rate_too_high", "Adam at 1, tanh", of(clouds, optimizer=Adam(1.0), **PLAIN), cure=CURED),
    Case("learning_rate_too_high", "RMSprop at 0.3, relu", of(clouds, optimizer=RMSprop(0.3), **PLAIN, **RELU),
         cure=of(clouds, optimizer=RMSprop(0.003), **PLAIN, **RELU)),
    Case("learning_rate_too_high", "descent at 10, relu", of(clouds, optimizer=SGD(10.0), **PLAIN, **RELU),
         cure=of(clouds, optimizer=SGD(0.2), **PLAIN, **RELU)),
    Case("learning_rate_too_high", "no finite epoch", of(numbers, optimizer=SGD(3.0), **PLAIN, **RELU),
         cure=of(numbers, optimizer=SGD(0.05), **PLAIN, **RELU)),
    Case("learning_rate_too_high", "a table, Adam at 1", of_table(learning_rate_init=1.0), cure=of_table()),
    Case("learning_rate_too_low", "Adam at 1e-6, relu", of(clouds, optimizer=Adam(1e-6), **PLAIN, **RELU), cure=CURED),
    Case("learning_rate_too_low", "Adam at 1e-6, tanh", of(clouds, optimizer=Adam(1e-6), **PLAIN), cure=CURED),
    Case("learning_rate_too_low", "Adam at 1e-7, cosine schedule",
         of(clouds, optimizer=Adam(1e-7), schedule="cosine", **PLAIN, **RELU), cure=CURED),
    Case("learning_rate_too_low", "descent at 1e-5, mini-batches", of(clouds, optimizer=SGD(1e-5), **PLAIN, **RELU),
         cure=of(clouds, optimizer=SGD(0.3), **PLAIN, **RELU)),
    Case("learning_rate_too_low", "a table, Adam at 1e-6", of_table(learning_rate_init=1e-6), cure=of_table()),
    Case("still_learning", "rings, a low rate, fast enough",
         of(data.rings, epochs=60, batch_size=16, optimizer=SGD(0.1), hidden=(32,))),
    Case("still_learning", "indicators of rare categories, 12 epochs",
         of(with_indicators, epochs=12, optimizer=Adam(3e-3), **RELU)),
    Case("converged", "a table", of_table(max_iter=30)),
]  # fmt: skip
