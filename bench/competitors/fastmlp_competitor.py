"""fastmlp as a competitor: `fit` of a net, or of many, as a user calls it, with the number of threads that it chooses.

"first fits": a tiny net as it is trained at first, before its architecture has been trained for long enough that
unrolled code is compiled for it. "one thread", "AVX2" and "no graphs": environment variables of the process limit
fastmlp; a processor without AVX-512 has no row "AVX2", since all of its rows are of AVX2. "own stopping": each of many
nets has a stopping rule of its own, here a loss that none reaches; "own rates too": and a learning rate of its own,
here an array of equal numbers.
"""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext

import numpy as np
from suite.training_case import TrainingCase

from competitors import DEVICE, TrainingImplementation, Unsupported

FEW = 100  # nets that are trained one by one


def check_avx512() -> None:
    """Raise Unsupported on a processor without AVX-512."""
    from llvmlite import binding

    if not binding.get_host_cpu_features().get("avx512f"):
        raise Unsupported("this processor has no AVX-512")


class Implementation(TrainingImplementation):
    def __init__(self, variant: str = ""):
        self.variant = variant

    def prepare(self, case: TrainingCase, threads: int | None) -> float:
        import fastmlp
        from fastmlp.execution import thresholds, unrolled_code

        if self.variant == "AVX2":
            check_avx512()
        if self.variant == "first fits":
            thresholds.COMPILE_UNROLLED_AFTER = thresholds.LOAD_UNROLLED_AFTER = sys.maxsize
        self.case, rate = case, case.learning_rate
        rates = np.full(case.n_nets, rate) if self.variant == "own rates too" else rate
        self.fit = {"batch_size": case.batch_size, "optimizer": fastmlp.optimizer_from_name(case.optimizer, rates)}
        if self.variant.startswith("own"):
            self.fit["converged"] = 1e-9
        started = time.perf_counter()
        self.reset()
        # Unrolled code is compiled after some seconds of training, which a case does not take.
        compiles = DEVICE == "cpu" and (case.n_nets > FEW or self.variant != "first fits")
        with unrolled_code.unrolled_at_once() if compiles else nullcontext():
            self.run(1)
        seconds = time.perf_counter() - started
        self.reset()
        return seconds

    def reset(self) -> None:
        import fastmlp

        case = self.case
        settings = {
            "hidden_activation": case.hidden_activation,
            "output_activation": case.output_activation,
            "loss": case.loss,
            "random_state": 0,
            "device": DEVICE,
            "precision": case.precision,
        }
        make = fastmlp.Population if case.n_nets else fastmlp.MLP
        self.net = make(case.layer_sizes, *[case.n_nets] * bool(case.n_nets), **settings)
        if not case.n_nets:
            self.net.params[:] = case.start

    def run(self, n_epochs: int) -> None:
        """Train the net further, or many nets from their start: nets that have learned would train in denormals."""
        if self.case.n_nets:
            self.net.params = self.case.start
        self.net.fit(self.case.X, self.case.y, epochs=n_epochs, shuffle=False, verbose=0, **self.fit)

    def params(self):
        return np.array(self.net.params, dtype=np.float32)

    def loss(self, X, y) -> float:
        return float(self.net.evaluate(X, y)["loss"])

    def notes(self) -> dict[str, str]:
        """On a GPU, why steps were launched one by one where graphs could not be recorded."""
        if DEVICE == "cpu":
            return {}
        from fastmlp.kernels.cuda.runtime import cuda_graphs

        return {"graphs failed": cuda_graphs.failures[-1]} if cuda_graphs.failures else {}
