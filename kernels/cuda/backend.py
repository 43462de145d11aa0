"""The device contract on CUDA; cpu/backend.py has the same functions. The only module besides devices.py that a plan
reaches CuPy through.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cupy
import numpy as np

from ..structs import NetSpec, PopulationState, Samples, StopCriteria, TrainConfig, TrainState
from .population.train import PopulationRun as PopulationRun
from .population.train import evaluate_nets as _evaluate_nets
from .runtime.device_memory import checked_allocation, device_data
from .runtime.device_memory import to_device as to_device
from .runtime.device_memory import to_host as to_host
from .single_net.layerwise import LayersWork
from .single_net.small_net import SingleWork

FAMILIES = ("small_net", "layerwise", "fused_tensor_core")
REMEDY = "Lower batch_size, take fewer samples or nets at a time, or use dtype='float32'."


class ThreadTeam:
    """One rank: the device's own threads are the kernels' affair."""

    def __init__(self, n_ranks: int):
        self.n_ranks = 1

    def __enter__(self) -> ThreadTeam:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def run(self, function: Any, *arguments: Any) -> None:
        function(*arguments)

    def end(self) -> None:
        """There is nobody to let go."""

    def forget(self) -> None:
        """Nothing of an earlier call is kept."""


@contextmanager
def on(index: int) -> Iterator[None]:
    """Inside of it, work runs on this device; that it has no room for an array is said in a sentence."""
    with cupy.cuda.Device(index), checked_allocation("an array", None, REMEDY):
        yield


def synchronize() -> None:
    """Wait until the current stream is done."""
    cupy.cuda.get_current_stream().synchronize()


def place(data: Samples) -> Samples:
    """The samples on the device; those for which there is no room stay on the host and stream."""
    return device_data(data)


def make_work(
    family: str, net: NetSpec, rows: int, n_samples: int, n_threads: int, shuffle: bool, dtype: np.dtype, precision: str
) -> Any:
    """Every buffer a family needs for batches of up to `rows` samples, from data of n_samples."""
    if family == "small_net":
        return SingleWork(net, rows, n_samples, shuffle, dtype)
    if family == "fused_tensor_core":
        from .single_net.fused_tensor_core import NarrowWork, check_card, has_room

        check_card(precision)
        if has_room(net):
            return NarrowWork(net, rows, dtype, precision)
    return LayersWork(net, rows, dtype, precision)


def train(
    family: str,
    team: ThreadTeam,
    n_ranks: int,
    net: NetSpec,
    data: Samples,
    course: TrainConfig,
    memory: TrainState,
    work: Any,
    first: int,
    n: int,
) -> None:
    """n steps of training from step `first` on; memory, whose vectors are on the device, holds the outcome."""
    work.net = net  # which may know more than the one the buffers were made for: a convergence rule's margin
    work.train(data, course, memory, first, n)


def evaluate(
    family: str, team: ThreadTeam, net: NetSpec, data: Samples, params: Any, work: Any, rows: int, output: Any
):
    """(sum of losses, number right) over data; outputs (n_samples * n_outputs,) written unless `output` is empty."""
    return work.evaluate(data, params, output)


def train_nets(
    team: ThreadTeam,
    net: NetSpec,
    data: Samples,
    course: TrainConfig,
    goal: StopCriteria,
    nets: PopulationState,
    held_out: Samples,
    work: PopulationRun,
    n: int,
) -> None:
    """n more epochs of the nets in training, or until no net of nets.members is left."""
    work.train(data, course, goal, nets, held_out, n)


def evaluate_nets(
    team: ThreadTeam, net: NetSpec, data: Samples, nets: PopulationState, work: PopulationRun, output: Any
) -> None:
    """Loss and share right of nets.members into nets, if data has targets; outputs (n_members, n_samples, n_outputs),
    flat, if `output` has room."""
    _evaluate_nets(net, data, nets, work, output)
