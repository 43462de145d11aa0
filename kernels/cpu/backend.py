"""CPU backend: the functions of the device contract, which every backend has with these signatures.

ThreadTeam                   the threads of one fit
has_room_for_samples         whether the current device has room for samples of so many bytes
make_workspace               the workspace of the kernel family that is chosen
train, evaluate              run the kernels of one net on what execution/plan.py has built
repeat_prediction            host only: prepares `evaluate` for repeated calls that take microseconds
PopulationRun                the buffers of a population's fit or evaluation, and the state of its nets in training
train_nets, evaluate_nets    run the kernels of a population
on                           context in which one of several devices of a kind is the current one
to_device, to_host, place    copy arrays between host and device
synchronize                  wait until kernels are done
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from ..formulas.update_rules import LBFGS, LEVENBERG_MARQUARDT, MOST_STATE
from ..jit.call import call
from ..structs import (
    DIVERGED,
    EVALUATION_CHUNK_ROWS,
    LANES,
    NO_UPDATE,
    UNROLLED_ALWAYS,
    UNROLLED_NEVER,
    Choice,
    NetSpec,
    PopulationState,
    Samples,
    StopCriteria,
    TrainConfig,
    TrainState,
)
from . import allocation
from .allocation import Workspace
from .allocation import make_workspace as make_workspace
from .population.run import PopulationRun as PopulationRun
from .single_net import lbfgs, levenberg_marquardt
from .threads.thread_team import ThreadTeam as ThreadTeam
from .unrolled import compiled as unrolled_code
from .workspace import LOSS_COLUMN, N_CORRECT_COLUMN, SUMS, LayerwiseWorkspace
from .workspace import VECTOR_BYTES as VECTOR_BYTES


def to_device(array: np.ndarray) -> np.ndarray:
    return array


def to_host(array: np.ndarray) -> np.ndarray:
    return array


def place(data: Samples) -> Samples:
    """Return the samples with arrays in the host's memory."""
    host = lambda array: array if isinstance(array, np.ndarray) else array.get()
    if isinstance(data.X, np.ndarray):
        return data
    return data._replace(X=host(data.X), Y=host(data.Y), weight=host(data.weight))


def on(index: int) -> AbstractContextManager:
    """Return a context that does nothing: there is one host only."""
    return nullcontext()


def has_room_for_samples(n_bytes: int) -> bool:
    """Whether the current device has room for samples of so many bytes: the host has, they are there."""
    return True


def synchronize() -> None:
    """Do nothing: CPU kernels return when they are done."""


# Kernels by name: their modules are imported only if their machine code is not on disk.
TRAIN = {
    "batch_simd_4": "cpu.single_net.batch_simd.train_4",
    "batch_simd_16": "cpu.single_net.batch_simd.train_16",
    "batch_simd_data_parallel": "cpu.single_net.batch_simd_data_parallel.train",
    "layerwise": "cpu.single_net.layerwise.train",
    "layerwise_data_parallel": "cpu.single_net.layerwise.train",  # unless threads have copies of the net
    "layerwise_batch1": "cpu.single_net.layerwise_batch1.train",
}
TRAIN_COPIES = {  # kernels whose threads have a copy of the net each
    "batch_simd_data_parallel": "cpu.single_net.batch_simd_data_parallel.train",
    "layerwise_data_parallel": "cpu.single_net.layerwise_data_parallel.train",
}
EVALUATE = {
    family: TRAIN[family].replace("train", "evaluate") for family in ("batch_simd_4", "batch_simd_16", "layerwise")
}
FAMILIES = tuple(TRAIN)
TRAIN_NETS = {  # by whether the rule is of second order, and whether blocks have LANES nets
    (False, True): "cpu.population.train.train",
    (False, False): "cpu.population.train.train_unrolled",
    (True, True): "cpu.population.train.train_second_order",
}


def train(
    choice: Choice,
    team: ThreadTeam,
    net: NetSpec,
    data: Samples,
    config: TrainConfig,
    state: TrainState,
    workspace: Workspace,
    first: int,
    n: int,
) -> None:
    """Train a net for n steps, from step number `first` on.

    choice : of the workspace, with the threads and the variant of this call

    The results are in `state` and `workspace`.
    """
    (family, n_threads, *_, variant), dtype = choice, state.params.dtype
    if config.rule == LEVENBERG_MARQUARDT:

        def draw_order(epoch: int) -> np.ndarray:
            call(
                "formulas.counter_rng.draw_order",
                None,
                data.n_samples,
                config.seed,
                epoch,
                workspace.words,
                workspace.order,
            )
            return workspace.order

        return levenberg_marquardt.train(net, data, config, state, draw_order, first, n)
    if config.rule == LBFGS:
        scratch = TrainState(
            params=np.empty_like(state.params),
            grads=state.grads,
            state=state.state[: MOST_STATE * state.params.size],
            epoch_loss=np.empty(1),
            epoch_accuracy=np.empty(1),
            scalars=np.zeros_like(state.scalars),
        )
        without_step = config._replace(rule=NO_UPDATE, factors=np.ones(1), layered=False)

        def evaluate_at(params: np.ndarray) -> tuple[float, float, np.ndarray]:
            scratch.params[:], scratch.scalars[:] = params, 0.0
            train(choice, team, net, data, without_step, scratch, workspace, 0, 1)
            loss = np.inf if scratch.scalars[0, DIVERGED] else float(scratch.epoch_loss[0])
            return loss, float(scratch.epoch_accuracy[0]), scratch.grads

        return lbfgs.train(net, config, state, evaluate_at, first, n)
    if variant.unrolled != UNROLLED_NEVER and (
        address := unrolled_code.address_of_net(net, config, dtype, variant.unrolled == UNROLLED_ALWAYS)
    ):
        tiles = unrolled_code.make_tiles(net, data, config, dtype)
        unrolled = net, data, config, state, workspace, address, tiles, first, n
        team.run(unrolled_code.TRAIN, dtype, *unrolled, n_threads=1)
        return
    if n_threads > 1 and variant.own_copies and family in TRAIN_COPIES:
        calls = [(net, data, config, state, workspace, first, n)]
        for thread in range(1, n_threads):
            calls.append((net, data, config, *allocation.thread_copy(state, workspace, thread), first, n))
        team.run_each(TRAIN_COPIES[family], dtype, calls)
        return
    if choice.weight_copies == n_threads == 2 and not variant.own_copies and isinstance(workspace, LayerwiseWorkspace):
        workspace = workspace._replace(copies=1)  # of the two, both threads read the first: they share a cache
    team.run(TRAIN[family], dtype, net, data, config, state, workspace, first, n, n_threads=n_threads)


def evaluate(
    choice: Choice,
    team: ThreadTeam,
    net: NetSpec,
    data: Samples,
    params: np.ndarray,
    workspace: Workspace,
    output: np.ndarray,
) -> tuple[float, float]:
    """Return (sum of losses, number of correct samples) over data; both are 0 if data has no targets.

    output : (n_samples * n_outputs,), written; or empty
    """
    sums = workspace.partial[:1]
    if data.has_targets and isinstance(workspace, LayerwiseWorkspace):
        n_groups = -(-data.n_samples // EVALUATION_CHUNK_ROWS)
        if workspace.partial.size < n_groups * SUMS:
            workspace = workspace._replace(partial=np.empty((n_groups, SUMS)))
        sums = workspace.partial.reshape(-1)[: n_groups * SUMS].reshape(n_groups, SUMS)
    team.run(EVALUATE[choice.family], params.dtype, net, data, params, workspace, choice.rows_of_thread, output)
    if not data.has_targets:
        return 0.0, 0.0
    return float(sums[:, LOSS_COLUMN].sum()), float(sums[:, N_CORRECT_COLUMN].sum())


def repeat_prediction(
    choice: Choice,
    team: ThreadTeam,
    net: NetSpec,
    data: Samples,
    params: np.ndarray,
    workspace: Workspace,
    output: np.ndarray,
) -> Callable[..., None]:
    """Return a function (X, output) that does what `evaluate` does on one thread, for arrays like data.X and output."""
    arguments = net, data, params, workspace, choice.rows_of_thread, output
    return team.prepare_repeat(EVALUATE[choice.family], params.dtype, arguments, (data.X, output))


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
    """Train the blocks of `run` for n more epochs, or until no net of nets.members is left."""
    run.n_members = nets.n_members
    team.run_each(
        TRAIN_NETS[config.rule in (LEVENBERG_MARQUARDT, LBFGS), run.blocks[0].lanes == LANES],
        nets.params.dtype,
        [(net, data, config, criteria, nets, held_out, block, run.queue, n) for block in run.blocks],
    )


def evaluate_nets(
    team: ThreadTeam, net: NetSpec, data: Samples, nets: PopulationState, run: PopulationRun, output: np.ndarray
) -> None:
    """Evaluate nets.members: outputs and, if data has targets, each net's loss and accuracy in `nets`.

    output : flat (n_members * n_samples * n_outputs,), written; or empty
    """
    for block in run.blocks:
        block.filled[:] = -1
    team.run_each(
        "cpu.population.evaluate.evaluate",
        nets.params.dtype,
        [(net, data, nets, block, output) for block in run.blocks],
    )
