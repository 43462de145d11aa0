"""Competitors for suite/cases/populations.py: many nets of one architecture on XOR, full batch, mean squared error.

A form is Form(layer_sizes, hidden_activation, optimizer, start) with run(n_epochs) -> params (n_nets, n_params), which
begins at `start` in each call. The forms of other libraries are in many_nets_jax.py, many_nets_torch.py and
many_nets_numpy.py. Adam adds epsilon, 1e-8, after the correction, as in its paper; Quickprop is Fahlman's, Rprop is
iRprop+.
"""

from __future__ import annotations

import time
from importlib import import_module

import numpy as np
from suite.cases.populations import RATES, X, Y

from competitors import DEVICE

FEW = 100


class Fastmlp:
    def __init__(self, layer_sizes, hidden_activation, optimizer, start, **fit):
        import fastmlp

        settings = {"hidden_activation": hidden_activation, "output_activation": "sigmoid"}
        self.population = fastmlp.Population(layer_sizes, len(start), random_state=0, device=DEVICE, **settings)
        self.start = start
        rates = fit.pop("rates", RATES[optimizer])
        self.fit = {"optimizer": fastmlp.optimizer_from_name(optimizer, rates), "verbose": 0, **fit}
        if len(start) <= FEW:  # they train one by one, and unrolled code is compiled after this many steps
            from fastmlp.execution.thresholds import COMPILE_UNROLLED_AFTER

            self.run(COMPILE_UNROLLED_AFTER // len(start) + 1)
        else:  # after some seconds of training, which these do not take
            from fastmlp.execution.unrolled_code import unrolled_nets_at_once

            with unrolled_nets_at_once():
                self.run(1)

    def run(self, n_epochs):
        self.population.params = self.start
        self.population.fit(X, Y, epochs=n_epochs, **self.fit)
        return self.population.params


class Stopping(Fastmlp):
    """Each net has a stopping rule of its own, here a loss that none reaches."""

    def __init__(self, *job):
        super().__init__(*job, converged=1e-9)


class Rates(Fastmlp):
    """Each net also has a learning rate of its own, here an array of equal numbers."""

    def __init__(self, layer_sizes, hidden_activation, optimizer, start):
        rates = np.full(len(start), RATES[optimizer])
        super().__init__(layer_sizes, hidden_activation, optimizer, start, converged=1e-9, rates=rates)


FORMS = {"fastmlp": Fastmlp, "own stopping": Stopping, "own rates": Rates}


def form_class(name: str):
    """The class of a form; imported on use, so that each process loads only the library that it measures."""
    if name in FORMS:
        return FORMS[name]
    library, form = name.split()
    return getattr(import_module(f"competitors.many_nets_{library}"), form.capitalize())


class Implementation:
    def __init__(self, variant: str):
        self.name, self.form_class = variant, form_class(variant)

    def prepare(self, case, threads: int | None) -> float:
        if self.name.startswith("torch"):
            import torch

            torch.set_num_threads(threads)
        started = time.perf_counter()
        self.form = self.form_class(case.layer_sizes, case.activation, case.optimizer, case.start)
        self.run(1)
        return time.perf_counter() - started

    def reset(self) -> None:
        """Nothing to do: each run begins at the start."""

    def run(self, n_epochs: int) -> None:
        self.params = self.form.run(n_epochs)

    def answer(self, case) -> np.ndarray:
        return np.asarray(self.params)
