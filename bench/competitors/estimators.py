"""Competitors for suite/cases/estimators.py: two estimators of one interface, as they come."""

from __future__ import annotations

import importlib
import time
import warnings


class Implementation:
    def __init__(self, variant: str):
        self.name = variant
        self.module = {"fastmlp": "fastmlp", "sklearn": "sklearn.neural_network"}[variant]

    def prepare(self, case, threads: int | None) -> float:
        warnings.filterwarnings("ignore")  # that max_iter was reached is what defaults do
        started = time.perf_counter()
        self.estimator_of = getattr(importlib.import_module(self.module), case.estimator)
        self.X, self.y, self.X_test, self.y_test = case.data
        few = slice(0, 400)
        self.estimator_of(random_state=0, max_iter=1).fit(self.X[few], self.y[few])  # what compiles, compiles
        return time.perf_counter() - started

    def reset(self) -> None:
        """Every fit starts anew."""

    def run(self, n: int) -> None:
        for _ in range(n):
            self.estimator = self.estimator_of(random_state=0).fit(self.X, self.y)

    def answer(self, case) -> float:
        return float(self.estimator.score(self.X_test, self.y_test))

    def notes(self) -> dict[str, float]:
        return {"epochs": int(self.estimator.n_iter_), "score": round(self.answer(None), 4)}
