"""Kernel family `small_net`: a small net is trained by the kernels of populations, with a population of one.

One launch runs many steps.
"""

from __future__ import annotations

from functools import cached_property

import cupy
import numpy as np

from ...formulas.update_rules import RULES
from ...structs import (
    CLIP_NORM,
    DIVERGED,
    DIVERGED_NET,
    EPOCH_LOSS,
    EPOCH_N_CORRECT,
    LAST_LOSS,
    MONITOR_NONE,
    NO_UPDATE,
    POWER1,
    POWER2,
    RUNNING,
    STEPS_DONE,
    WEIGHT_DECAY,
    NetSpec,
    Samples,
    TrainConfig,
    TrainState,
)
from ..build.net_constants import Architecture
from ..build.structs import ProgressCounter, ProgressScalar
from ..population.launch import MOST_THREADS, Shape, compile_training, fit_fields, launch, shared_limit
from ..runtime.device_memory import is_on_device
from .layerwise import LayerwiseWorkspace

# Numbers carried from call to call: their positions in TrainState.scalars, and in the kernel's scalars.
CARRIED = {
    POWER1: ProgressScalar.POWER1,
    POWER2: ProgressScalar.POWER2,
    LAST_LOSS: ProgressScalar.LAST_LOSS,
    EPOCH_LOSS: ProgressScalar.LOSS,
    EPOCH_N_CORRECT: ProgressScalar.N_CORRECT,
}


class SmallNetWorkspace:
    """Workspace of one net's fit."""

    def __init__(self, net: NetSpec, rows: int, n_samples: int, shuffle: bool, dtype: np.dtype):
        self.net, self.rows, self.dtype = net, rows, np.dtype(dtype)
        self._zero = cupy.zeros(1, np.int64)
        self._order, self._lists = (cupy.empty(size * n_samples * shuffle, np.int32) for size in (1, 2))
        self._unused = cupy.empty(int(net.n_padded), dtype)
        self._sums_of_threads = cupy.empty(2 * MOST_THREADS, dtype)  # of an epoch that a call begins and another ends

    @cached_property
    def _by_layers(self) -> LayerwiseWorkspace:
        """Workspace for samples that do not fit on the device: it takes batches that are streamed from the host."""
        return LayerwiseWorkspace(self.net, self.rows, self.dtype, "exact")

    def train(self, data: Samples, config: TrainConfig, state: TrainState, first: int, n: int) -> None:
        net = self.net
        if not is_on_device(data.X):
            self._by_layers.net = net
            return self._by_layers.train(data, config, state, first, n)
        architecture, learns = Architecture(net, data.metric, self.dtype), config.rule != NO_UPDATE
        n_state = RULES[config.rule].n_state if learns else 0
        shape = Shape.of_blocks(architecture, n_state, config.batch_size, shared_limit())
        kernel = compile_training(
            architecture,
            shape,
            config.rule,
            SHUFFLES=config.shuffle,
            SCHEDULED=learns,
            PENALISED=net.l2 > 0.0 or bool(config.hyper[WEIGHT_DECAY]),
            CLIPPED=bool(config.hyper[CLIP_NORM]),
            LAYERED=config.layered,
            VALIDATES=False,
        )
        fields = fit_fields(
            net, data, config, np.append(config.hyper, net.l2), net.dropout, np.array([config.seed], np.int64)
        )
        n_batches = fields["n_batches"]
        epochs = np.arange(first // n_batches, (first + n) // n_batches) + 1  # epochs that end in this call
        records = cupy.full((2, max(len(epochs), 1)), np.nan)
        carried, places = list(CARRIED), list(CARRIED.values())
        numbers, integers = np.zeros(len(ProgressScalar)), np.zeros(len(ProgressCounter), np.int64)
        numbers[places] = state.scalars[0, carried]
        integers[ProgressCounter.STEPS], integers[ProgressCounter.STATUS] = first, RUNNING
        scalars, counters = cupy.asarray(numbers), cupy.asarray(integers)
        launch(
            kernel,
            shape,
            (1,),
            self.dtype,
            **fields
            | {
                "params": state.params,
                "state": state.state,
                "grads": state.grads,
                "safe_params": self._unused,
                "best_params": self._unused,  # for a single net the host stores these
                "order": self._order,
                "lists": self._lists,
                "owners": self._zero,
                "active": self._zero,
                "scalars": scalars,
                "counters": counters,
                "record_epochs": cupy.asarray(epochs),
                "records": records[0],
                "accuracy_records": records[1],
                "sums_of_threads": self._sums_of_threads,
                "n_active": 1,
                "n_slots": 1,
                "n_steps": n,
                "n_epochs": -1,
                "first_factor": first,
                "n_records": len(epochs),
                "monitor": MONITOR_NONE,
                "stop_loss": -np.inf,
                "stop_n_correct": np.inf,
            },
        )
        integers, losses = cupy.asnumpy(counters), cupy.asnumpy(records)
        steps_done = int(integers[ProgressCounter.STEPS])
        diverged = int(integers[ProgressCounter.STATUS]) == DIVERGED_NET
        state.scalars[:, carried] = cupy.asnumpy(scalars)[places]
        state.epoch_loss[epochs - 1], state.epoch_accuracy[epochs - 1] = losses[:, : len(epochs)]
        state.scalars[:, STEPS_DONE] = steps_done - diverged
        state.scalars[:, DIVERGED] = float(diverged)
