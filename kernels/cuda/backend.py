"""Device contract on CUDA: the functions that cpu/backend.py has, with the same signatures.

Of the modules that use CuPy, a plan of execution/ calls this one alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cupy
import numpy as np

from ..structs import Choice, NetSpec, PopulationState, Samples, StopCriteria, TrainConfig, TrainState
from .population import batched
from .population.train import PopulationRun as PopulationRun
from .runtime.device_memory import checked_allocation, device_data
from .runtime.device_memory import has_room_for_samples as has_room_for_samples
from .runtime.device_memory import to_device as to_device
from .runtime.device_memory import to_host as to_host
from .single_net.layerwise import LayerwiseWorkspace
from .single_net.small_net import SmallNetWorkspace

FAMILIES = ("small_net", "layerwise")
place = device_data  # samples that do not fit on the device stay on the host: they are streamed
REMEDY = "Lower batch_size, take fewer samples or nets at a time, or use dtype='float32'."


class ThreadTeam:
    """A team of one host thread: the GPU's own threads are managed by the kernels."""

    def __init__(self, n_threads: int):
        self.n_threads = 1

    def end(self) -> None:
        """Do nothing: there are no worker threads to stop."""

    def forget(self) -> None:
        """Do nothing: no arguments of earlier calls are stored."""

    def forget_data(self) -> None:
        """Do nothing: no data of earlier calls are stored."""


@contextmanager
def on(index: int) -> Iterator[None]:
    """Make this the current device of a `with` block. If an array does not fit there, a MemoryError says what to do."""
    with cupy.cuda.Device(index), checked_allocation("an array", None, REMEDY):
        yield


def synchronize() -> None:
    """Wait until the current stream has finished."""
    cupy.cuda.get_current_stream().synchronize()


def make_workspace(choice: Choice, net: NetSpec, n_samples: int, shuffle: bool, dtype: np.dtype, precision: str) -> Any:
    """Return all buffers that a kernel family needs.

    n_samples : number of samples in the data
    """
    if choice.family == "small_net":
        return SmallNetWorkspace(net, choice.rows, n_samples, shuffle, dtype)
    return LayerwiseWorkspace(net, choice.rows, dtype, precision)


def train(
    choice: Choice,
    team: ThreadTeam,
    net: NetSpec,
    data: Samples,
    config: TrainConfig,
    state: TrainState,
    workspace: Any,
    first: int,
    n: int,
) -> None:
    """Train for n steps from step `first` on; the result is in `state`, whose vectors are on the device."""
    assert workspace.rows == choice.rows, "the workspace was made for another choice"
    workspace.net = net  # its convergence rule may have a margin that the NetSpec of make_workspace has not
    workspace.train(data, config, state, first, n)


def evaluate(
    choice: Choice, team: ThreadTeam, net: NetSpec, data: Samples, params: Any, workspace: Any, output: Any
) -> tuple[float, float]:
    """Return (sum of losses, number of correct samples) over the data.

    output : (n_samples * n_outputs,), receives the outputs; not written if empty
    """
    assert workspace.rows == choice.rows, "the workspace was made for another choice"
    return workspace.evaluate(data, params, output)


def train_nets(
    team: ThreadTeam,
    net: NetSpec,
    data: Samples,
    config: TrainConfig,
    criteria: StopCriteria,
    nets: PopulationState,
    held_out: Samples,
    run: PopulationRun,
    n: int,
) -> None:
    """Train the nets in nets.members, those of the current window, for n more epochs, or until none is left."""
    run.train(data, config, criteria, nets, held_out, n)


def evaluate_nets(
    team: ThreadTeam, net: NetSpec, data: Samples, nets: PopulationState, run: PopulationRun, output: Any
) -> None:
    """Write the loss and the accuracy of nets.members to `nets`, if the data has targets.

    output : flat (n_members, n_samples, n_outputs), receives the outputs; not written if empty
    """
    batched.evaluate(net, data, nets, run, output)
