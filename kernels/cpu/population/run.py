"""Buffers of a population's fit or evaluation: a block of lanes for each thread, and the queue of nets.

Nothing here is compiled, so a new process can make them without importing Numba.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ... import structs
from ...formulas.counter_rng import BLOCK
from ...formulas.update_rules import CODES as RULE_CODES
from ...formulas.update_rules import MOST_STATE, N_PAIRS, Rule, n_state_rows
from ...structs import BETA1, BETA2, HYPER, LANES, NET_HYPER, Choice, NetSpec, PopulationState, SuspendedNets
from ..unrolled.compiled import address_of_nets
from ..workspace import EPOCH, FALSE_SHARING_GAP, INTERLEAVED_SAMPLES, LaneBlock, NetQueue, round_up

TILE_BYTES = 24_000  # activations and deltas of a tile, for a block of nets: most of a first-level cache
UNROLLED_TILE_ROWS = 64  # samples of a tile with unrolled code, at most


class PopulationRun:
    """Buffers of a population's fit or evaluation: a block of lanes for each thread, and the queue of nets."""

    def __init__(
        self,
        choice: Choice,
        net: NetSpec,
        n_params: int,
        n_samples: int,
        shuffle: bool,
        rule: Rule | None,
        loss: tuple[int, int],
        dtype: np.dtype,
        precision: str,
    ):
        """Make the blocks of the threads.

        choice : its variant says how many nets a block has, which is LANES unless unrolled code does all of the
            training, and whether unrolled code is compiled if needed. Blocks have LANES nets where it is only to be
            used if it is on disk, and is not
        n_params : number of parameters of a net
        n_samples : number of samples in the data
        rule : row of the update rule, None to evaluate
        loss : codes of the loss and of the metric
        precision : a permission to round, which CPU kernels do not use
        """
        rows, variant = choice.rows, choice.variant
        lanes, address = variant.lanes, 0
        if rule is not None and variant.unrolled != structs.UNROLLED_NEVER:
            compiles = variant.unrolled == structs.UNROLLED_ALWAYS
            address = address_of_nets(net, RULE_CODES[rule.name], lanes, rows, dtype, compiles)
            if not address:  # the loops have another number of nets in a block
                lanes = LANES
        shapes = n_params, rows, n_samples if shuffle else 0, address, lanes, dtype, rule
        self._new_block = partial(_new_block, net, *shapes)
        self._blocks: list[LaneBlock] = []
        initial = [HYPER.index(x) + 1 if isinstance(x, str) else 0 for x in (rule.initial if rule is not None else ())]
        self.queue = NetQueue(np.zeros(1, np.int64), np.array(initial, np.int64))
        self.begin(choice.n_threads)

    def begin(self, n_threads: int) -> None:
        """Reset the buffers for another fit on n_threads threads: empty blocks, and a queue with all nets."""
        if n_threads > len(self._blocks):
            self._blocks += [self._new_block() for _ in range(n_threads - len(self._blocks))]
            block_bytes = sum(x.nbytes for x in self._blocks[0] if isinstance(x, np.ndarray))
            self.n_bytes = len(self._blocks) * block_bytes  # about
        self.blocks, self.n_members = self._blocks[:n_threads], 0
        self.queue.taken[0] = 0
        for block in self.blocks:
            block.net_index[:], block.filled[:], block.clock[:], block.reserved[:] = -1, -1, 0, 0
            # Columns past the samples have weight 0, and 0 times an infinity left there is NaN.
            block.a[:], block.y[:] = 0, 0

    @property
    def n_finished(self) -> int:
        """Number of nets whose training has ended."""
        begun = min(int(self.queue.taken[0]), self.n_members)
        for block in self.blocks:
            first, end = np.minimum(block.reserved, self.n_members)
            begun -= int(end - first) + int(np.count_nonzero(block.net_index >= 0))
        return begun

    def collect(self) -> None:
        """Do nothing: CPU kernels write the results of finished nets to their places."""

    @property
    def most_resumed(self) -> int:
        """Largest number of nets that `resume` can take."""
        return sum(block.n_lanes for block in self.blocks)

    def suspended(self, nets: PopulationState, watches: bool) -> SuspendedNets:
        """Return copies of the nets in training; the results of finished nets are in their places.

        watches : whether the nets have parameters of a best epoch
        """
        return SuspendedNets.joined([_nets_of_block(block, nets.n_state, watches) for block in self.blocks])

    def resume(self, nets: PopulationState, suspended: SuspendedNets) -> None:
        """Go on with nets in a run that has just begun: in any lanes of its empty blocks, of any number of nets.

        nets : its members are these nets, in the same order; there are at least as many lanes
        """
        first = 0
        for block in self.blocks:
            part = suspended.part(first, first + block.n_lanes)
            first += block.n_lanes
            if len(part.net_index):
                _fill_block(block, nets, part)
        self.n_members = self.queue.taken[0] = len(suspended.net_index)


def _new_block(
    net: NetSpec,
    n_params: int,
    rows: int,
    n_shuffled: int,
    address: int,
    lanes: int,
    dtype: np.dtype,
    rule: Rule | None,
) -> LaneBlock:
    """Return an empty block of so many lanes.

    n_params : of a net
    rows : number of samples in a batch
    n_shuffled : number of samples in the data, 0 if they are not shuffled
    address : of the unrolled code of this architecture, 0 if there is none
    rule : row of the update rule, None to evaluate
    """
    needs_curvature = rule is not None and rule.needs_curvature
    sizes, drops = net.sizes.tolist(), bool((net.dropout > 0).any())
    n_units = sum(sizes)
    if address:
        tile = round_up(min(rows, UNROLLED_TILE_ROWS), INTERLEAVED_SAMPLES)
    else:
        tile = min(rows, max(TILE_BYTES // (n_units * lanes * dtype.itemsize * 2) // 4 * 4, 4))
    vectors = {  # arrays with a vector of one number per lane for each ...
        "a": n_units * tile,
        "z": n_units * tile if drops or net.keep_z.any() else 0,
        "delta": n_units * tile,
        "mask": n_units * tile if drops else 0,
        "y": sizes[-1] * tile,
        "weight": tile,
        **dict.fromkeys(("p", "g", "safe_params", "best_params"), n_params),
        "state": (MOST_STATE if rule is None else n_state_rows(rule)) * n_params,
        "hyper": len(NET_HYPER),
        "records": structs.MAX_RECORDS,
        "jacobian": n_params * tile * needs_curvature,
        "matrix": n_params * (n_params + 1) // 2 * needs_curvature,
        "trial": n_params * needs_curvature,
        "expected": N_PAIRS + 1,
        **dict.fromkeys(("factor", "loss", "n_correct", "n_correct_at_end", "last_loss"), 1),
        **dict.fromkeys(("monitored_value", "best_value", "flags"), 1),
    }
    integers = {
        **dict.fromkeys(("clock", "reserved", "filled"), 2),
        "records_end": 1,
        **dict.fromkeys(("net_index", "start_epoch", "next_record", "best_epoch"), lanes),
        "order": lanes * n_shuffled,
    }
    reals = {"betas": 2 * lanes, "powers": 2 * lanes, "dropout": net.dropout.size * lanes}
    return LaneBlock(
        units=np.cumsum([0] + sizes).astype(np.int64),
        tile_rows=tile,
        lanes=lanes,
        n_lanes=lanes,
        words=structs.aligned_zeros(BLOCK, np.uint64),
        unrolled_address=address,
        batch_size=rows,
        **_allocate_together({name: n * lanes for name, n in vectors.items()}, dtype),
        **_allocate_together(reals, np.float64),
        **_allocate_together(integers, np.int64),
    )


def _allocate_together(sizes: dict[str, int], dtype: np.dtype | type) -> dict[str, np.ndarray]:
    """Return arrays of zeros in one allocation: an allocation for each would take a third of a short fit.

    They are FALSE_SHARING_GAP elements away from what other threads write.
    """
    buffer, end = structs.aligned_zeros(sum(sizes.values()) + 2 * FALSE_SHARING_GAP, dtype), FALSE_SHARING_GAP
    arrays = {}
    for name, n in sizes.items():
        arrays[name], end = buffer[end : end + n], end + n
    return arrays


def _nets_of_block(block: LaneBlock, n_state: int, watches: bool) -> SuspendedNets:
    used = np.flatnonzero(block.net_index >= 0)
    take = lambda array: array.reshape(-1, block.lanes)[:, used].T.copy()  # (n_used, numbers of a net)
    numbers = block.last_loss, block.best_value, block.loss, block.n_correct
    return SuspendedNets(
        net_index=block.net_index[used],
        epochs=block.clock[EPOCH] - block.start_epoch[used],
        best_epochs=block.best_epoch[used],
        clock=np.full(len(used), block.clock[EPOCH]),
        params=take(block.p),
        state=take(block.state[: n_state * block.p.size]),
        safe_params=take(block.safe_params),
        best_params=take(block.best_params if watches else block.best_params[:0]),
        powers=take(block.powers),
        numbers=np.stack([array[used].astype(np.float64) for array in numbers], axis=1),
    )


def _fill_block(block: LaneBlock, nets: PopulationState, part: SuspendedNets) -> None:
    n, lanes, n_state = len(part.net_index), block.lanes, nets.n_state
    clock = int(part.clock.max())  # it decides when parameters are kept for nets that diverge
    write = lambda array, rows: array.reshape(-1, lanes)[: rows.shape[1], :n].__setitem__(slice(None), rows.T)
    block.clock[EPOCH] = clock
    block.net_index[:n], block.start_epoch[:n] = part.net_index, clock - part.epochs
    block.best_epoch[:n] = part.best_epochs
    block.next_record[:n] = np.searchsorted(nets.record_epochs[: nets.n_records], part.epochs, side="right")
    assert part.state.shape[1] == n_state * nets.n_params
    write(block.p, part.params)
    write(block.state, part.state)
    write(block.safe_params, part.safe_params)
    write(block.best_params, part.best_params)
    write(block.powers, part.powers)
    numbers = block.last_loss, block.best_value, block.loss, block.n_correct
    for array, values in zip(numbers, part.numbers.T, strict=True):
        array[:n] = values
    rows = part.net_index * nets.hyper_stride
    hyper = nets.hyper[rows[:, None] + np.arange(len(NET_HYPER))]
    write(block.hyper, hyper)
    write(block.betas, hyper[:, [BETA1, BETA2]])
    n_layers = block.dropout.size // lanes
    rows = part.net_index * nets.dropout_stride
    write(block.dropout, nets.dropout[rows[:, None] + np.arange(n_layers)])
