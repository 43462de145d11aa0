"""Hooks that measure a net after each epoch: loss and accuracy of the held-out samples, and `fit(metrics=...)`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...data.arrays import on_host
from ...data.checked_samples import inputs_only, samples_of_net
from ...execution.plan import Plan
from ...kernels.structs import Samples
from ..metric_functions import MetricSamples, metric_samples, takes_logits
from ..one_net import OneNet
from .hook import Fit, Hook


class Validation(Hook):
    """Validation of a net."""

    def __init__(self, fit: Fit):
        plan = fit.validation_plan
        assert plan is not None
        self._net: OneNet = fit.engine
        self._plan, self._data = plan, plan.backend.place(fit.engine.task.held_out)
        self._no_output = np.empty(0, plan.dtype)

    def limit(self, n: int) -> int:
        return min(n, self._net.steps_to(self._net.epochs_done + 1))

    def after(self) -> str:
        net, n = self._net, self._net.epochs_done
        if net.at_epoch_end and net.records.n_validated < n:
            scores = self._plan.evaluate_alone(self._data, net.train_state.params, self._no_output)
            net.records.validation[n - 1], net.records.n_validated = scores, n
        return ""


class OutputFunction:
    """Function that returns a net's outputs (n_samples, n_outputs) for fixed samples, at its current parameters.

    logits : bool     whether it returns the logits, without output activation
    """

    def __init__(self, net: OneNet, data: Samples, logits: bool = False):
        self._net, self._data = net, inputs_only(data.X.reshape(data.n_samples, -1))
        self._logits = logits
        self._plan: Plan | None = None  # made at the first call

    def __call__(self) -> np.ndarray:
        task, data = self._net.task, self._data
        network, on_host_here = task.network, task.device.is_host
        if self._plan is None:
            shown = network.with_logits if self._logits else network
            self._plan = Plan.for_evaluation(shown, task.device, task.dtype, data.n_samples, precision=task.precision)
            self._data = data = self._plan.backend.place(data)
        kind = np.ndarray if on_host_here else type(data.X)
        output = kind((data.n_samples, network.n_outputs), task.dtype)
        self._plan.evaluate_alone(data, self._net.host_params, output.reshape(-1))
        return on_host(output)

    def release(self) -> None:
        """Release the buffers, after the fit."""
        plan, self._plan = self._plan, None
        if plan is not None:
            plan.release()


class Measure(Hook):
    """Metrics of one fit of a net, and their records."""

    def __init__(self, fit: Fit):
        net: OneNet = fit.engine
        task = net.task
        self._net, self._metrics = net, task.metrics
        self._takes_logits = {name: takes_logits(metric, task.network) for name, metric in task.metrics.items()}
        training = samples_of_net(task.rows.data, task.rows.strides, net.number)
        self._subsets: dict[str, tuple[dict[bool, OutputFunction], MetricSamples]] = {}
        for subset, data in (("training", training), ("validation", task.held_out)):
            if data is not None:
                functions = {kind: OutputFunction(net, data, kind) for kind in set(self._takes_logits.values())}
                samples = metric_samples(data, task.network)
                self._subsets[subset] = functions, samples._replace(y_true=self._in_units(samples.y_true))
        self._values = {subset: {name: np.empty(net.n_epochs) for name in task.metrics} for subset in self._subsets}
        self.n_measured = 0
        net.records.metrics = self

    def limit(self, n: int) -> int:
        return min(n, self._net.steps_to(self._net.epochs_done + 1))

    def after(self) -> str:
        if self._net.at_epoch_end and self._net.epochs_done > self.n_measured:
            self._net.copy_to_host()
            self._measure(self._net.epochs_done - 1)
        return ""

    def _measure(self, epoch: int) -> None:
        for subset, (functions, samples) in self._subsets.items():
            outputs = {logits: function() for logits, function in functions.items()}
            for name, metric in self._metrics.items():
                y_pred = self._in_units(outputs[self._takes_logits[name]])
                with np.errstate(all="ignore"):  # the fit handles a loss that is not finite
                    self._values[subset][name][epoch] = metric(samples, y_pred)
        self.n_measured = epoch + 1

    def _in_units(self, Y: np.ndarray) -> np.ndarray:
        units = self._net.task.units
        return Y if units is None else units.of_targets(Y, self._net.number)

    def close(self) -> None:
        """Release the buffers: those last that the next fit asks for first."""
        for functions, _ in reversed(self._subsets.values()):
            for function in reversed(functions.values()):
                function.release()

    def state(self) -> dict[str, Any]:
        n = self.n_measured
        return {name: values[:n].copy() for name, values in self._by_name().items()}

    def go_on_from(self, state: dict[str, Any], n_epochs: int) -> None:
        for name, values in self._by_name().items():
            values[:n_epochs] = state[name]
        self.n_measured = n_epochs

    def _by_name(self) -> dict[str, np.ndarray]:
        """Return all records, as {"metrics.training.NAME" or "metrics.validation.NAME": values}."""
        subsets = self._values.items()
        return {f"metrics.{subset}.{name}": values for subset, records in subsets for name, values in records.items()}

    def records(self, n_epochs: int) -> dict[str, dict[str, Any]]:
        """Return the history's records of the first n_epochs epochs, with NaN for epochs without measurement."""
        for values in self._values.values():
            for value in values.values():
                value[self.n_measured : n_epochs] = np.nan
        records = {
            subset: {name: v[:n_epochs] for name, v in values.items()} for subset, values in self._values.items()
        }
        return {"metrics": records["training"], "validation_metrics": records.get("validation", {})}
