"""This package as a competitor: MLP.fit as a user calls it, with the threads it chooses by itself.

"first fits": a tiny net as it is trained before its architecture has been trained for so long that its program is
written out.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from suite.cases.training_case import TrainingCase

from competitors import DEVICE, TrainingImplementation


class Implementation(TrainingImplementation):
    def __init__(self, variant: str = ""):
        self.name, self.are_first = variant or "fastmlp", variant == "first fits"

    def prepare(self, case: TrainingCase, threads: int | None) -> float:
        import fastmlp
        from fastmlp.execution import dispatch

        self.w = case
        if self.are_first:
            dispatch.COMPILE_UNROLLED_AFTER = dispatch.LOAD_UNROLLED_AFTER = sys.maxsize
        sgd, adam = fastmlp.SGD, fastmlp.Adam
        self.optimizer = (sgd if case.optimizer == "sgd" else adam)(learning_rate=case.learning_rate)
        started = time.perf_counter()
        self.reset()
        self.run(1)
        n_steps = dispatch.steps_to_unrolled(self.net.network, self.w.batch_size)
        if n_steps and not self.are_first:
            self.run(n_steps // self.w.n_steps + 1)  # compiled when it has been worth it
            self.run(1)
        seconds = time.perf_counter() - started
        self.reset()
        return seconds

    def reset(self) -> None:
        import fastmlp

        self.net = fastmlp.MLP(
            self.w.layer_sizes,
            hidden_activation=self.w.hidden_activation,
            output_activation=self.w.output_activation,
            loss=self.w.loss,
            random_state=0,
            device=DEVICE,
        )
        self.net.params[:] = self.w.start

    def run(self, n_epochs: int) -> None:
        self.net.fit(
            self.w.X,
            self.w.y,
            epochs=n_epochs,
            batch_size=self.w.batch_size,
            optimizer=self.optimizer,
            shuffle=False,
            verbose=0,
        )

    def params(self):
        return np.array(self.net.params, dtype=np.float32).ravel()

    def loss(self, X, y) -> float:
        return float(self.net.evaluate(X, y)["loss"])
