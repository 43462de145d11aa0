"""Plan of a fit of nets with shared weights: what the fit loop asks of a Plan, for all nets at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from ..devices import Device, backend
from ..execution import dispatch
from ..execution.net_description import describe_net
from ..execution.work import products
from ..kernels.structs import (
    METRIC_ARGMAX,
    METRIC_NONE,
    N_SCALARS,
    POWER1,
    POWER2,
    NetSpec,
    Samples,
    TrainConfig,
    TrainState,
    aligned_zeros,
)
from ..network.shared_weights_layout import SharedLayout
from ..network.spec import Network
from .ensemble import losses_of_outputs


@dataclass(frozen=True)
class SharedPlan:
    """Threads and buffers of the training, or of predictions between epochs, of nets with shared weights.

    network : Network of one net
    rows : number of samples in a micro-batch; in a prediction, number that a thread takes at a time
    """

    network: Network
    layout: SharedLayout
    device: Device
    backend: ModuleType
    n_threads: int
    rows: int
    net: NetSpec
    work: Any  # the two workspaces
    scratch: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def for_training(
        cls, layout: SharedLayout, device: Device, dtype: np.dtype, n_samples: int, batch_size: int, shuffle: bool
    ) -> SharedPlan:
        choice = dispatch.choose_shared_training(layout.network, layout.n_nets, batch_size)
        return cls._with_buffers(layout, device, dtype, choice, choice.rows, n_samples, shuffle)

    @classmethod
    def for_evaluation(cls, layout: SharedLayout, device: Device, dtype: np.dtype, n_samples: int) -> SharedPlan:
        choice = dispatch.choose_shared_evaluation(layout.network, layout.n_nets, n_samples)
        return cls._with_buffers(layout, device, dtype, choice, choice.rows * choice.n_threads, 0, False)

    @classmethod
    def _with_buffers(
        cls,
        layout: SharedLayout,
        device: Device,
        dtype: np.dtype,
        choice: dispatch.Choice,
        rows: int,
        n_samples: int,
        shuffle: bool,
    ) -> SharedPlan:
        """rows : that the buffers hold"""
        module = backend(device)
        kernels = module.shared_weights_backend
        net = kernels.spec_of_hidden_layers(describe_net(layout.network), layout.n_padded)
        starts = layout.scales, layout.output_weights, layout.output_biases
        places = kernels.Places(layout.n_nets, layout.first, *starts)
        work = kernels.make_workspaces(net, places, rows, n_samples, choice.n_threads, shuffle, dtype)
        return cls(layout.network, layout, device, module, choice.n_threads, choice.rows, net, work)

    def products(self, rows: int) -> int:
        """Return the multiply-adds of the matrix products of a training step of `rows` samples."""
        return products(self.network, rows * self.layout.n_nets)

    def get_or_make(self, use: str, make: Callable[[], Any]) -> Any:
        """Return the buffer stored under this name, creating it on first use."""
        if use not in self.scratch:
            self.scratch[use] = make()
        return self.scratch[use]

    def make_state(self, params: np.ndarray, state: np.ndarray, n_epochs: int) -> TrainState:
        """Return the state of a fit of up to n_epochs, as Plan.make_state does."""
        scalars = aligned_zeros((self.n_threads, N_SCALARS), np.float64)
        scalars[:, POWER1] = scalars[:, POWER2] = 1.0
        return TrainState(
            params=params,
            grads=np.zeros_like(params),
            state=state.reshape(-1),
            epoch_loss=np.empty(n_epochs),
            epoch_accuracy=np.empty(n_epochs),
            scalars=scalars,
        )

    def draw_order(self, n_samples: int, seed: int, epoch: int) -> None:
        """Draw the order of an epoch's samples: of a fit that begins within an epoch, which is never one of these."""
        raise AssertionError("fits of nets with shared weights begin with an epoch")

    def place(self, data: Samples) -> Samples:
        return self.backend.place(data)

    def release(self) -> None:
        """Do nothing: buffers are those of one fit, whose blocks of rows use them one after another."""

    def train(
        self,
        team: Any,
        n_threads: int,
        data: Samples,
        config: TrainConfig,
        state: TrainState,
        first: int,
        n: int,
        compiles: bool = True,
    ) -> None:
        """Train for n steps, from step number `first` on; the results are in `state`. No code is generated."""
        self.backend.shared_weights_backend.train(team, n_threads, self.net, data, config, state, self.work, first, n)

    def evaluate(self, team: Any, data: Samples, params: np.ndarray, output: np.ndarray) -> tuple[float, float]:
        """Return (mean loss, accuracy) of the mean of the nets' outputs, which are written into `output` if it has
        room.
        """
        found = output if output.size else np.empty(data.n_samples * self.network.n_outputs, params.dtype)
        self.backend.shared_weights_backend.predict(team, self.net, data, params, self.work, self.rows, found)
        outputs, targets = found.reshape(data.n_samples, -1), data.Y.reshape(data.n_samples, -1)
        weights = data.weight.astype(np.float64) if data.has_weights else np.ones(data.n_samples)
        losses = losses_of_outputs(self.network, outputs, targets)
        correct = are_correct(outputs, targets, data.metric, self.net.class_threshold)
        return float(weights @ losses) / data.n_samples, float(weights @ correct) / data.n_samples


def are_correct(outputs: np.ndarray, targets: np.ndarray, metric: int, threshold: float) -> np.ndarray:
    """Return for each sample whether it is correct, or the fraction of its outputs that are, float64 (n_samples,)."""
    if metric == METRIC_NONE:
        return np.zeros(len(outputs))
    if metric == METRIC_ARGMAX:
        return (outputs.argmax(axis=1) == targets.argmax(axis=1)).astype(np.float64)
    return np.mean((outputs > threshold) == (targets > threshold), axis=1)
