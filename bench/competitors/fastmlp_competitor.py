"""fastmlp as a competitor: MLP.fit as a user calls it, with the number of threads that it chooses.

"first fits": a tiny net as it is trained at first, before its architecture has been trained for long enough that
unrolled code is compiled for it. "one thread" and "AVX2": environment variables of the process limit fastmlp; a
processor without AVX-512 has no row "AVX2", since all of its rows are of AVX2.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from suite.training_case import TrainingCase

from competitors import DEVICE, TrainingImplementation, Unsupported


def check_avx512() -> None:
    """Raise Unsupported on a processor without AVX-512."""
    from llvmlite import binding

    if not binding.get_host_cpu_features().get("avx512f"):
        raise Unsupported("this processor has no AVX-512")


class Implementation(TrainingImplementation):
    def __init__(self, variant: str = ""):
        self.name, self.is_first_fits = variant or "fastmlp", variant == "first fits"

    def prepare(self, case: TrainingCase, threads: int | None) -> float:
        import fastmlp
        from fastmlp.execution import thresholds, unrolled_code

        self.case = case
        if self.name == "AVX2":
            check_avx512()
        if self.is_first_fits:
            thresholds.COMPILE_UNROLLED_AFTER = thresholds.LOAD_UNROLLED_AFTER = sys.maxsize
        sgd, adam = fastmlp.SGD, fastmlp.Adam
        self.optimizer = (sgd if case.optimizer == "sgd" else adam)(learning_rate=case.learning_rate)
        started = time.perf_counter()
        self.reset()
        self.run(1)
        n_steps = unrolled_code.steps_to_unrolled(self.net.network, self.case.batch_size)
        if n_steps and not self.is_first_fits:
            # So many steps make it compile unrolled code.
            self.run(n_steps // self.case.n_steps + 1)
            self.run(1)
        seconds = time.perf_counter() - started
        self.reset()
        return seconds

    def reset(self) -> None:
        import fastmlp

        self.net = fastmlp.MLP(
            self.case.layer_sizes,
            hidden_activation=self.case.hidden_activation,
            output_activation=self.case.output_activation,
            loss=self.case.loss,
            random_state=0,
            device=DEVICE,
        )
        self.net.params[:] = self.case.start

    def run(self, n_epochs: int) -> None:
        self.net.fit(
            self.case.X,
            self.case.y,
            epochs=n_epochs,
            batch_size=self.case.batch_size,
            optimizer=self.optimizer,
            shuffle=False,
            verbose=0,
        )

    def params(self):
        return np.array(self.net.params, dtype=np.float32).ravel()

    def loss(self, X, y) -> float:
        return float(self.net.evaluate(X, y)["loss"])
