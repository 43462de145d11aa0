"""scikit-learn: MLPClassifier or MLPRegressor, `fit` with warm_start, no shuffling, no penalty, no early stopping.

scikit-learn pairs each loss with its output activation, so it has no squared error behind a sigmoid. Its squared error
is half of ours: with SGD the learning rate is doubled, with Adam epsilon halved.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
from suite.flat_params import flatten, layers
from suite.training_case import TrainingCase

from competitors import TrainingImplementation, Unsupported


class Implementation(TrainingImplementation):
    def __init__(self, variant: str = ""):
        self.variant = variant

    def prepare(self, case: TrainingCase, threads: int) -> float:
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        warnings.filterwarnings("ignore")  # of reaching max_iter
        self.case = case
        if case.loss == "squared_error" and case.output_activation != "identity":
            raise Unsupported("no squared error behind a sigmoid output")
        if case.output_activation == "softmax" and case.layer_sizes[-1] == 2:
            raise Unsupported("two classes are one output")
        self.y = case.y.ravel() if case.y.ndim == 2 else case.y
        estimator = MLPRegressor if case.loss == "squared_error" else MLPClassifier
        half = 0.5 if case.loss == "squared_error" else 1.0
        started = time.perf_counter()
        self.estimator = estimator(
            hidden_layer_sizes=case.layer_sizes[1:-1],
            activation={"relu": "relu", "sigmoid": "logistic"}[case.hidden_activation],
            solver=case.optimizer,
            alpha=0.0,
            batch_size=case.batch_size,
            learning_rate_init=case.learning_rate / (half if case.optimizer == "sgd" else 1.0),
            epsilon=1e-8 * half,
            momentum=0.0,
            nesterovs_momentum=False,
            shuffle=False,
            tol=0.0,
            n_iter_no_change=np.inf,
            warm_start=True,
            max_iter=1,
            random_state=0,
        )
        self.estimator.fit(case.X, self.y)
        self.reset()
        return time.perf_counter() - started

    def reset(self) -> None:
        """Set the start: with warm_start, `fit` continues from these attributes, with a new optimiser."""
        net = layers(self.case.start.copy(), self.case.layer_sizes)
        self.estimator.coefs_ = [W for W, _ in net]
        self.estimator.intercepts_ = [b for _, b in net]
        self.estimator.n_iter_ = 0

    def run(self, n_epochs: int) -> None:
        self.estimator.max_iter = n_epochs
        self.estimator.fit(self.case.X, self.y)

    def params(self):
        return flatten(x for pair in zip(self.estimator.coefs_, self.estimator.intercepts_, strict=True) for x in pair)

    def loss(self, X, y) -> float:
        from sklearn.metrics import log_loss

        if self.case.loss == "squared_error":
            return float(np.mean((self.estimator.predict(X).reshape(len(X), -1) - y) ** 2))
        classes = np.arange(max(2, self.case.layer_sizes[-1]))
        return float(log_loss(y.ravel(), self.estimator.predict_proba(X), labels=classes))
