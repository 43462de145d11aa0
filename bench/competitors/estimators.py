"""Competitors for suite/cases/estimators.py: the estimators of both libraries, with their defaults."""

from __future__ import annotations

import importlib
import time
import warnings


class Implementation:
    def __init__(self, variant: str):
        self.name = variant
        self.module = {"fastmlp": "fastmlp", "sklearn": "sklearn.neural_network"}[variant]

    def prepare(self, case, threads: int | None) -> float:
        warnings.filterwarnings("ignore")  # of reaching max_iter, as fits with defaults do
        started = time.perf_counter()
        self.estimator_class = getattr(importlib.import_module(self.module), case.estimator)
        self.X, self.y, self.X_test, self.y_test = case.data
        # A short fit compiles what needs compiling.
        self.estimator_class(random_state=0, max_iter=1).fit(self.X[:400], self.y[:400])
        return time.perf_counter() - started

    def reset(self) -> None:
        """Nothing to do: each fit starts anew."""

    def run(self, n: int) -> None:
        for _ in range(n):
            self.estimator = self.estimator_class(random_state=0).fit(self.X, self.y)

    def answer(self, case) -> float:
        return float(self.estimator.score(self.X_test, self.y_test))

    def notes(self) -> dict[str, float]:
        return {"epochs": int(self.estimator.n_iter_), "score": round(self.answer(None), 4)}
