"""Suspension of nets in lanes: out of their lanes with everything that training needs, and into those of another fit.

A net is independent of the lanes beside it, so that it may go on in another lane, of a block with another number of
lanes, on another number of threads. Nothing here is compiled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...formulas.update_rules import MOST_STATE
from ...structs import BETA1, BETA2, NET_HYPER, PopulationState, SuspendedNets
from ..workspace import EPOCH, LaneBlock


def suspended_nets(blocks: Sequence[LaneBlock], n_state: int, watches: bool) -> SuspendedNets:
    """Return copies of the nets in all lanes.

    n_state : number of state vectors of the update rule
    watches : whether the nets have parameters of a best epoch
    """
    return SuspendedNets.joined([_nets_of_block(block, n_state, watches) for block in blocks])


def _nets_of_block(block: LaneBlock, n_state: int, watches: bool) -> SuspendedNets:
    used = np.flatnonzero(block.net_index >= 0)
    of_lanes = lambda array: array.reshape(-1, block.lanes)[:, used].T.copy()  # (n_used, numbers of a net)
    numbers = block.last_loss, block.best_value, block.loss, block.n_correct
    return SuspendedNets(
        net_index=block.net_index[used],
        epochs=block.clock[EPOCH] - block.start_epoch[used],
        best_epochs=block.best_epoch[used],
        clock=np.full(len(used), block.clock[EPOCH]),
        params=of_lanes(block.p),
        state=of_lanes(block.state.reshape(MOST_STATE, -1)[:n_state]),
        safe_params=of_lanes(block.safe_params),
        best_params=of_lanes(block.best_params if watches else block.best_params[:0]),
        powers=of_lanes(block.powers),
        numbers=np.stack([array[used].astype(np.float64) for array in numbers], axis=1),
    )


def resume_in_lanes(blocks: Sequence[LaneBlock], nets: PopulationState, suspended: SuspendedNets) -> None:
    """Write nets to the lanes of empty blocks. There are at least as many lanes.

    nets : PopulationState     its members are the suspended nets, in their order
    """
    first = 0
    for block in blocks:
        part = suspended.part(first, first + block.n_lanes)
        first += block.n_lanes
        if len(part.net_index):
            _fill_block(block, nets, part)


def _fill_block(block: LaneBlock, nets: PopulationState, part: SuspendedNets) -> None:
    n, lanes, n_state = len(part.net_index), block.lanes, nets.n_state
    clock = int(part.clock.max())  # it decides when parameters are kept for nets that diverge
    write = lambda array, rows: array.reshape(-1, lanes)[: rows.shape[1], :n].__setitem__(slice(None), rows.T)
    block.clock[EPOCH] = clock
    block.net_index[:n], block.start_epoch[:n], block.best_epoch[:n] = (
        part.net_index,
        clock - part.epochs,
        part.best_epochs,
    )
    block.next_record[:n] = np.searchsorted(nets.record_epochs[: nets.n_records], part.epochs, side="right")
    assert part.state.shape[1] == n_state * nets.n_params
    write(block.p, part.params)
    write(block.state, part.state)
    write(block.safe_params, part.safe_params)
    write(block.best_params, part.best_params)
    write(block.powers, part.powers)
    for array, values in zip(
        (block.last_loss, block.best_value, block.loss, block.n_correct), part.numbers.T, strict=True
    ):
        array[:n] = values
    rows = part.net_index * nets.hyper_stride
    hyper = nets.hyper[rows[:, None] + np.arange(len(NET_HYPER))]
    write(block.hyper, hyper)
    write(block.betas, hyper[:, [BETA1, BETA2]])
    n_layers = block.dropout.size // lanes
    rows = part.net_index * nets.dropout_stride
    write(block.dropout, nets.dropout[rows[:, None] + np.arange(n_layers)])
