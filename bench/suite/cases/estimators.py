"""Cases for estimators with their defaults: `Estimator(random_state=0).fit(X, y)`.

The two libraries stop after different numbers of epochs, so their losses are not compared. Both must reach the score
that scikit-learn's estimator reached when this was written, less a margin for the seed. The arithmetic limit is that of
the epochs that fastmlp's estimator trains.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from competitors import ARITHMETIC, ESTIMATORS, Competitor

from suite.case import CaseEntry, Wrong
from suite.op_counts import multiply_adds_of_step

BATCH_SIZE = 200  # largest batch of batch_size="auto", the default of both libraries
ACTIVATION_NAMES = {"logistic": "sigmoid"}  # scikit-learn's name -> op_counts.py's


@dataclass(frozen=True, eq=False)
class EstimatorCase:
    """A fit of an estimator with its defaults.

    estimator : "MLPClassifier" or "MLPRegressor"
    lowest_score : accuracy or R2 of the test rows that an estimator must reach
    """

    name: str
    title: str
    estimator: str
    source: str
    data: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # X, y, X_test, y_test
    lowest_score: float
    group: str = "estimators"
    unit: str = "fit"
    n_units: int = 1
    most_runs: int = 1
    fewest_runs: int = 1
    done_once: bool = True
    verify_runs: int = 1
    curve: None = None

    @cached_property
    def multiply_adds(self) -> int:
        """Multiply-adds of the epochs that fastmlp's estimator trains before it stops."""
        import fastmlp

        X, y = self.data[:2]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of reaching max_iter, as fits with defaults do
            net = getattr(fastmlp, self.estimator)(random_state=0).fit(X, y)
        activations = [*["relu"] * (net.n_layers_ - 2), ACTIVATION_NAMES.get(net.out_activation_, net.out_activation_)]
        multiply_adds = partial(multiply_adds_of_step, [W.shape for W in net.coefs_], activations, optimizer=net.solver)
        n_full, remainder = divmod(len(X), min(BATCH_SIZE, len(X)))
        return net.n_iter_ * (
            n_full * multiply_adds(rows=BATCH_SIZE) + (multiply_adds(rows=remainder) if remainder else 0)
        )

    def costs(self) -> dict[str, float]:
        return {"multiply-adds": self.multiply_adds}

    def thread_settings(self, cpus: int) -> tuple[int, ...]:
        return (1,) if cpus == 1 else (1, cpus)

    def quick(self) -> EstimatorCase:
        return self

    @property
    def verification(self) -> EstimatorCase:
        return self

    def check(self, competitor: Competitor, answer: float) -> dict[str, float]:
        """answer : the score of the test rows"""
        if not answer >= self.lowest_score:
            raise Wrong(f"a score of {answer:.3f} on the test rows, at least {self.lowest_score} expected")
        return {"score below the expected": max(0.0, self.lowest_score - answer)}


def split(X, y) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(X, y, X_test, y_test): a fifth of the rows is for testing; inputs are standardised by the training rows.

    In float32: scikit-learn's nets then compute in float32, too.
    """
    order = np.random.RandomState(0).permutation(len(X))
    k = round(0.2 * len(X))
    test, train = order[:k], order[k:]
    mean, std = X[train].mean(0), X[train].std(0)
    X = ((X - mean) / np.where(std > 0, std, 1.0)).astype(np.float32)
    y = y.astype(np.float32) if y.dtype.kind == "f" else y
    return X[train], y[train], X[test], y[test]


def _digits(name) -> EstimatorCase:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return EstimatorCase(
        name, "digits, 1,438 x 64, ten classes", "MLPClassifier", "scikit-learn's digits", split(X, y), 0.955
    )


def _breast_cancer(name) -> EstimatorCase:
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    title, source = "breast cancer, 455 x 30, two classes", "scikit-learn's breast cancer"
    return EstimatorCase(name, title, "MLPClassifier", source, split(X, y), 0.95)


def _friedman(name) -> EstimatorCase:
    """Friedman 1991, the first of his three: a number of ten features, five of which matter."""
    rng = np.random.default_rng(0)
    X = rng.random((5000, 10))
    y = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3] + 5 * X[:, 4]
    y += rng.normal(size=len(y))
    title = "Friedman 1, 4,000 x 10, a number"
    return EstimatorCase(name, title, "MLPRegressor", "drawn from its formula", split(X, y), 0.94)


COMPETITORS = (*ARITHMETIC, *ESTIMATORS)
ENTRIES = (
    CaseEntry("estimator_digits", "estimators", COMPETITORS, partial(_digits, "estimator_digits"), in_quick=True),
    CaseEntry("estimator_breast_cancer", "estimators", COMPETITORS, partial(_breast_cancer, "estimator_breast_cancer")),
    CaseEntry("estimator_friedman", "estimators", COMPETITORS, partial(_friedman, "estimator_friedman")),
)
