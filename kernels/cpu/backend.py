"""CPU backend: the functions of the device contract, which every backend has with these signatures.

ThreadTeam                   the threads of one fit
make_work                    the workspace of a kernel family, for batches of up to `rows` samples
train, evaluate              run the kernels of one net on what execution/plan.py has built
repeat_prediction                host only: prepares `evaluate` for repeated calls that take microseconds
steps_to_unrolled            host only: number of steps after which a tiny net is trained by generated code
PopulationRun                the buffers of a population's fit or evaluation, and the state of its nets in training
train_nets, evaluate_nets    run the kernels of a population
on                           context in which one of several devices of a kind is the current one
to_device, to_host, place    copy arrays between host and device
synchronize                  wait until kernels are done
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any

import numpy as np

from ..formulas.counter_rng import BLOCK
from ..formulas.update_rules import CODES as RULE_CODES
from ..formulas.update_rules import MOST_STATE, Rule
from ..structs import (
    DATA_PARALLEL_PARAMS,
    DIVERGED_NET,
    EVALUATION_CHUNK_ROWS,
    HYPER,
    MAX_RECORDS,
    NET_HYPER,
    RUNNING,
    NetSpec,
    Samples,
    TrainConfig,
    TrainState,
    Unfinished,
    aligned_zeros,
    n_shards,
)
from .threads.thread_team import ThreadTeam as ThreadTeam
from .unrolled import single_net_lookup
from .unrolled.population_lookup import has_unrolled_code, unrolled_address
from .workspace import (
    ALIASING_STRIDE,
    FALSE_SHARING_GAP,
    FILLED,
    GROUP_COLUMNS,
    INTERLEAVED_SAMPLES,
    LANES,
    LANES_LARGE,
    LANES_SMALL,
    LARGE_NET_PARAMS,
    LINE_OF_COUNTS,
    LOSS,
    PARTIAL_COLUMNS,
    REPLICAS,
    RIGHT,
    ROWS,
    SUMS,
    THREAD_ARRAYS,
    WEIGHT_CHUNK_ROWS,
    BatchWorkspace,
    LaneBlock,
    LayerwiseWorkspace,
    NetQueue,
    chunk_rows,
    packed_delta_starts,
    packed_starts,
    panel_starts,
    scratch_size,
    weight_chunks,
)
from .workspace import VECTOR_BYTES as VECTOR_BYTES

TILE_BYTES = 24_000  # activations and deltas of a tile, for a block of nets: most of a first-level cache
UNROLLED_TILE_ROWS = 64  # samples of a tile with unrolled code, at most
ALIGNMENT = 16  # elements: layers start on whole vectors


def _padded(size: int, to: int = ALIGNMENT) -> int:
    return -(-size // to) * to


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


def synchronize() -> None:
    """Do nothing: CPU kernels return when they are done."""


def make_work(
    family: str, net: NetSpec, rows: int, n_samples: int, n_threads: int, shuffle: bool, dtype: np.dtype, precision: str
) -> Any:
    """Return the workspace of a kernel family, with every buffer it needs.

    family : one of FAMILIES
    rows : largest number of samples in a batch, or in a micro-batch of larger batches
    n_samples : number of samples in the data
    n_threads : number of threads that may train the net
    shuffle : whether samples are shuffled
    precision : a permission to round, which CPU kernels do not use
    """
    sizes = [int(size) for size in net.sizes]
    by_layers = family in ("layerwise", "layerwise_data_parallel", "layerwise_batch1")
    parts = {"layerwise_data_parallel": REPLICAS, "batch_simd_data_parallel": n_shards(rows)}.get(family, 1)
    ranks = n_threads if by_layers or parts > 1 else 1
    # One thread trains such a net, or two, each with a shard of the batch and all weights: no chunks to share.
    whole = family == "layerwise_data_parallel" and net.n_padded <= DATA_PARALLEL_PARAMS and ranks <= REPLICAS
    sharing = 0 if whole else ranks
    piece = chunk_rows(rows, net.n_padded, sharing)
    sums = (-(-rows // ROWS), GROUP_COLUMNS) if by_layers else (max(ranks, parts), PARTIAL_COLUMNS)
    walk = {
        "partial": aligned_zeros(sums, np.dtype(np.float64)),
        "order": np.zeros(n_samples if shuffle else 0, np.int64),
        "words": np.zeros(BLOCK, np.uint64),
    }
    panels = panel_starts(sizes, dtype.itemsize)
    n_given = parts * (net.n_padded + FALSE_SHARING_GAP) if parts > 1 else 0
    exchange = {
        "parts_own": aligned_zeros(n_given, dtype),
        "parts_given": aligned_zeros(2 * n_given if ranks > 1 else 0, dtype),
        "replica": aligned_zeros(0, dtype),
    }
    others = ranks - 1 if 1 < parts >= ranks else 0
    if by_layers:
        n_scratch = _padded(scratch_size(max(sizes[1:]), dtype.itemsize))

        starts = np.cumsum([0] + [_padded(rows * size) for size in sizes])
        # Inputs need room only where a shuffled batch is gathered.
        starts[1:] -= 0 if shuffle else starts[1]
        total = int(starts[-1]) + ALIGNMENT
        packs, n_packed = packed_starts(sizes, rows // ranks, ranks, dtype.itemsize)
        copies = 2 if ranks == 2 and net.n_padded <= LARGE_NET_PARAMS else 1  # larger copies come from memory anyway
        delta_packs, n_delta = packed_delta_starts(sizes, rows, dtype.itemsize)
        drops, keeps = bool((net.dropout > 0).any()), bool(net.keep_z.any())
        work = LayerwiseWorkspace(
            rows=rows,
            piece=piece,
            weight_chunks=weight_chunks(sizes, sharing),
            taken=aligned_zeros((2, ranks, LINE_OF_COUNTS), np.dtype(np.int64)),
            blocks=starts[:-1].astype(np.int64),
            a=aligned_zeros(total, dtype),
            z=aligned_zeros(total if drops or keeps else 0, dtype),
            delta=aligned_zeros(total, dtype),
            packed_delta=aligned_zeros(n_delta, dtype),
            delta_packs=delta_packs,
            mask=aligned_zeros(total if drops else 0, dtype),
            y=aligned_zeros(rows * sizes[-1] if shuffle else 0, dtype),
            weight=aligned_zeros(rows if shuffle else 0, dtype),
            squares=np.zeros(2 * sum(-(-size // WEIGHT_CHUNK_ROWS) for size in sizes)),
            halves=parts > 1,
            copies=copies,
            n_packed=n_packed + FALSE_SHARING_GAP,
            packed=aligned_zeros(copies * (n_packed + FALSE_SHARING_GAP), dtype),
            packs=packs,
            n_transposed=int(panels[-1]) + FALSE_SHARING_GAP,
            transposed=aligned_zeros(copies * (int(panels[-1]) + FALSE_SHARING_GAP), dtype),
            panels=panels,
            n_scratch=n_scratch,
            scratch=aligned_zeros((ranks, n_scratch), dtype),
            **exchange,
            **walk,
        )
        return _with_replicas(work, net.n_padded, others)
    columns = _padded(-(-rows // parts), LANES_SMALL if family == "batch_simd_4" else LANES_LARGE)
    if columns * dtype.itemsize % ALIASING_STRIDE == 0:
        columns += LANES_LARGE
    pieces = lambda n: aligned_zeros(parts * (n * columns + (FALSE_SHARING_GAP if parts > 1 else 0)), dtype)
    work = BatchWorkspace(
        units=np.cumsum([0] + sizes).astype(np.int64),
        rows=rows,
        parts=parts,
        columns=columns,
        colliding=ALIASING_STRIDE // dtype.itemsize,
        filled=np.full(FILLED * parts, -1, np.int64),
        a=pieces(sum(sizes)),
        z=pieces(sum(sizes)),
        delta=pieces(max(sum(sizes), LANES_LARGE)),
        y=pieces(sizes[-1]),
        weight=pieces(1),
        **exchange,
        **walk,
    )
    return _with_replicas(work, net.n_padded, others)


def _own_sizes(work: Any, n_padded: int) -> list[int]:
    """Return the sizes of params, grads and state of a thread in work.replica, and of the arrays named by _own."""
    return [n_padded, n_padded, MOST_STATE * n_padded, *(_padded(getattr(work, name).size) for name in _own(work))]


def _own(work: Any) -> tuple[str, ...]:
    return THREAD_ARRAYS if isinstance(work, LayerwiseWorkspace) else ()


def _with_replicas(work: Any, n_padded: int, n: int) -> Any:
    """Return `work` with room for what each of n threads has for itself, FALSE_SHARING_GAP away from all else."""
    size = FALSE_SHARING_GAP + sum(_own_sizes(work, n_padded))
    return work._replace(replica=aligned_zeros(n * size + FALSE_SHARING_GAP if n else 0, work.a.dtype))


# Kernels by name: their modules are imported only if their machine code is not on disk.
TRAIN = {
    "batch_simd_4": "cpu.single_net.batch_simd.train_4",
    "batch_simd_16": "cpu.single_net.batch_simd.train_16",
    "batch_simd_data_parallel": "cpu.single_net.batch_simd_data_parallel.train",
    "layerwise": "cpu.single_net.layerwise.train",
    "layerwise_data_parallel": "cpu.single_net.layerwise.train",  # same bits, where copies of the net are no faster
    "layerwise_batch1": "cpu.single_net.layerwise_batch1.train",
}
EVALUATE = {
    family: TRAIN[family].replace("train", "evaluate") for family in ("batch_simd_4", "batch_simd_16", "layerwise")
}
FAMILIES = tuple(TRAIN)
DATA_PARALLEL_KERNELS = "cpu.single_net.layerwise_data_parallel.train", "cpu.single_net.batch_simd_data_parallel.train"


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
    """Train a net for n steps, from step number `first` on, on n_ranks threads of the team.

    The results are in `memory` and `work`.
    """
    dtype = memory.params.dtype
    if family == "batch_simd_4" and (address := single_net_lookup.address_for(net, data, course, dtype, n)):
        tiles = single_net_lookup.make_tiles(net, data, course, dtype)
        team.run(single_net_lookup.TRAIN, dtype, net, data, course, memory, work, address, tiles, first, n, n_ranks=1)
        return
    kernel = TRAIN[family]
    if n_ranks == 2 and family != "layerwise_batch1" and isinstance(work, LayerwiseWorkspace) and work.copies == 2:
        apart = net.n_padded <= DATA_PARALLEL_PARAMS or team.share_no_cache()
        if apart and family == "layerwise_data_parallel":
            kernel = "cpu.single_net.layerwise_data_parallel.train"
        elif not apart:
            work = work._replace(copies=1)
    if kernel in DATA_PARALLEL_KERNELS and n_ranks > 1:
        owned = [(memory, work), *(_replica(memory, work, rank) for rank in range(1, n_ranks))]
        team.run_each(kernel, dtype, [(net, data, course, *own, first, n) for own in owned])
        return
    team.run(kernel, dtype, net, data, course, memory, work, first, n, n_ranks=n_ranks)


def steps_to_unrolled(n_params: int, batch_size: int) -> int:
    """Return the number of steps of an architecture after which its generated code is compiled; 0 for nets that are not
    tiny.
    """
    return single_net_lookup.MAKE_AFTER if single_net_lookup.is_tiny(n_params, batch_size) else 0


def _replica(memory: TrainState, work: Any, rank: int) -> tuple[TrainState, Any]:
    """Return a thread's own training state and workspace, made equal to those of thread 0 before a call."""
    sizes = _own_sizes(work, memory.params.size)
    ends = np.cumsum([(rank - 1) * (FALSE_SHARING_GAP + sum(sizes)) + FALSE_SHARING_GAP, *sizes]).tolist()
    params, grads, state, *others = (work.replica[first:end] for first, end in pairwise(ends))
    state = state[: memory.state.size]
    params[:], state[:] = memory.params, memory.state
    own = dict(zip(_own(work), others, strict=True))
    if isinstance(work, LayerwiseWorkspace):
        packed, transposed = work.packed[work.n_packed :], work.transposed[work.n_transposed :]
        own |= {"squares": np.empty_like(work.squares), "copies": 1, "packed": packed, "transposed": transposed}
    return memory._replace(params=params, grads=grads, state=state), work._replace(**own)


def evaluate(
    family: str, team: ThreadTeam, net: NetSpec, data: Samples, params: np.ndarray, work, rows: int, output: np.ndarray
):
    """Return (sum of losses, number of correct samples) over data; both are 0 if data has no targets.

    rows : number of samples that a thread takes at a time; `work` was made for rows * number of threads
    output : (n_samples * n_outputs,), written; or empty
    """
    sums = work.partial[:1]
    if data.has_targets and isinstance(work, LayerwiseWorkspace):
        n_groups = -(-data.n_samples // EVALUATION_CHUNK_ROWS)
        if work.partial.size < n_groups * SUMS:
            work = work._replace(partial=np.empty((n_groups, SUMS)))
        sums = work.partial.reshape(-1)[: n_groups * SUMS].reshape(n_groups, SUMS)
    team.run(EVALUATE[family], params.dtype, net, data, params, work, rows, output)
    if not data.has_targets:
        return 0.0, 0.0
    return float(sums[:, LOSS].sum()), float(sums[:, RIGHT].sum())


def repeat_prediction(
    family: str, team: ThreadTeam, net: NetSpec, data: Samples, params: np.ndarray, work, rows: int, output: np.ndarray
):
    """Return a function (X, output) that does what `evaluate` does on one thread, for arrays like data.X and output."""
    return team.prepare_repeat(
        EVALUATE[family], params.dtype, (net, data, params, work, rows, output), (data.X, output)
    )


class PopulationRun:
    """Buffers of a population's fit or evaluation: a block of lanes for each thread, and the queue of nets."""

    def __init__(
        self,
        family: str,
        net: NetSpec,
        n_params: int,
        rows: int,
        n_samples: int,
        n_ranks: int,
        shuffle: bool,
        rule: Rule | None,
        loss: tuple[int, int],
        dtype: np.dtype,
        lanes: int,
        precision: str,
    ):
        """Make the blocks of n_ranks threads.

        family : the plan's kernel family, always "population_simd" here
        n_params : number of parameters of a net
        rows : number of samples in a batch
        n_samples : number of samples in the data
        n_ranks : number of threads
        rule : row of the update rule, None to evaluate
        loss : codes of the loss and of the metric
        lanes : number of nets in a block if unrolled code does all of the training; otherwise it is LANES
        precision : a permission to round, which CPU kernels do not use
        """
        sizes, codes = [int(size) for size in net.sizes], [int(code) for code in net.activations]
        drops, straight = bool((net.dropout > 0).any()), 0
        if rule is not None and has_unrolled_code(sizes, drops):
            straight = unrolled_address(sizes, codes, loss[0], RULE_CODES[rule.name], lanes, rows, dtype)
        else:
            lanes = LANES
        self._made = net, n_params, rows, n_samples, shuffle, drops, straight, lanes, dtype
        self._blocks: list[LaneBlock] = []
        initial = [HYPER.index(x) + 1 if isinstance(x, str) else 0 for x in (rule.initial if rule is not None else ())]
        self.queue = NetQueue(np.zeros(1, np.int64), np.array(initial, np.int64))
        self.begin(n_ranks)

    def begin(self, n_ranks: int) -> None:
        """Reset the buffers for another fit on n_ranks threads: empty blocks, and a queue with all nets."""
        self._blocks += [_make_block(*self._made) for _ in range(n_ranks - len(self._blocks))]
        self.blocks, self.n_members = self._blocks[:n_ranks], 0
        self.queue.taken[0] = 0
        for block in self.blocks:
            block.net[:], block.filled[:], block.clock[:], block.taken[:] = -1, -1, 0, 0
            # Columns past the samples have weight 0, and 0 times an infinity left there is NaN.
            block.a[:], block.y[:] = 0, 0

    @property
    def n_bytes(self) -> int:
        """Approximate size of the buffers in bytes."""
        return sum(x.nbytes for x in self._blocks[0] if isinstance(x, np.ndarray)) * len(self._blocks)

    @property
    def n_finished(self) -> int:
        """Number of nets whose training has ended."""
        begun = min(int(self.queue.taken[0]), self.n_members)
        for block in self.blocks:
            first, end = np.minimum(block.taken, self.n_members)
            begun -= int(end - first) + int(np.count_nonzero(block.net >= 0))
        return begun

    def collect(self) -> None:
        """Do nothing: CPU kernels write the results of finished nets to their places."""

    def unfinished(self, watches: bool):
        """Yield an Unfinished for each net in training, with its best parameters if early stopping `watches`."""
        for block in self.blocks:
            present, best, safe = (x.reshape(-1, block.lanes) for x in (block.p, block.best, block.safe))
            for lane in np.flatnonzero(block.net >= 0):
                epochs, best_epoch = int(block.clock[0] - block.start[lane]), int(block.best_epoch[lane]) * watches
                params, status, loss = present[:, lane], RUNNING, block.loss[lane]
                if not np.isfinite(params).all():  # the next check would have found that the net has diverged
                    params, status, loss = safe[:, lane], DIVERGED_NET, np.nan
                if best_epoch:
                    params = best[:, lane]
                yield Unfinished(
                    int(block.net[lane]),
                    status,
                    epochs,
                    params,
                    loss,
                    block.right[lane],
                    best_epoch,
                    float(block.best_value[lane]),
                )


def _make_block(
    net: NetSpec,
    n_params: int,
    rows: int,
    n_samples: int,
    shuffle: bool,
    drops: bool,
    straight_line: int,
    lanes: int,
    dtype: np.dtype,
):
    sizes = [int(size) for size in net.sizes]
    n_units, keeps = sum(sizes), bool(net.keep_z.any())
    if straight_line:
        tile = _padded(min(rows, UNROLLED_TILE_ROWS), INTERLEAVED_SAMPLES)
    else:
        fitting = TILE_BYTES // (n_units * lanes * dtype.itemsize * 2) // 4 * 4
        tile = min(rows, max(fitting, 4))
    rows_of = {
        "a": n_units * tile,
        "z": n_units * tile if keeps or drops else 0,
        "delta": n_units * tile,
        "mask": n_units * tile if drops else 0,
        "y": sizes[-1] * tile,
        "weight": tile,
        "p": n_params,
        "g": n_params,
        "state": MOST_STATE * n_params,
        "safe": n_params,
        "best": n_params,
        "hyper": len(NET_HYPER),
        "factor": 1,
        "loss": 1,
        "right": 1,
        "right_at_end": 1,
        "last_loss": 1,
        "watched": 1,
        "best_value": 1,
        "flags": 1,
        "records": MAX_RECORDS,
    }
    numbers = _in_one_piece({name: n * lanes for name, n in rows_of.items()}, dtype)
    reals = _in_one_piece({"betas": 2 * lanes, "powers": 2 * lanes, "dropout": (len(sizes) - 1) * lanes}, np.float64)
    whole = _in_one_piece(
        {
            "clock": 2,
            "taken": 2,
            "kept": 1,
            "filled": 2,
            "net": lanes,
            "start": lanes,
            "record": lanes,
            "best_epoch": lanes,
            "order": lanes * n_samples if shuffle else 0,
        },
        np.int64,
    )
    return LaneBlock(
        units=np.cumsum([0] + sizes).astype(np.int64),
        rows=tile,
        lanes=lanes,
        n_lanes=lanes,
        words=aligned_zeros(BLOCK, np.uint64),
        straight_line=straight_line,
        train_rows=rows,
        **numbers,
        **reals,
        **whole,
    )


def _in_one_piece(sizes: dict[str, int], dtype: np.dtype | type) -> dict[str, np.ndarray]:
    """Return arrays of zeros in one allocation: an allocation for each would take a third of a short fit.

    They are FALSE_SHARING_GAP elements away from what other threads write.
    """
    room, end, found = aligned_zeros(sum(sizes.values()) + 2 * FALSE_SHARING_GAP, dtype), FALSE_SHARING_GAP, {}
    for name, n in sizes.items():
        found[name], end = room[end : end + n], end + n
    return found


def train_nets(
    team: ThreadTeam,
    net: NetSpec,
    data: Samples,
    course: TrainConfig,
    goal,
    nets,
    held_out: Samples,
    work: PopulationRun,
    n: int,
) -> None:
    """Train the blocks of `work` for n more epochs, or until no net of nets.members is left."""
    work.n_members = nets.n_members
    team.run_each(
        "cpu.population.train.train" if work.blocks[0].lanes == LANES else "cpu.population.train.train_unrolled",
        nets.params.dtype,
        [(net, data, course, goal, nets, held_out, block, work.queue, n) for block in work.blocks],
    )


def evaluate_nets(team: ThreadTeam, net: NetSpec, data: Samples, nets, work: PopulationRun, output: np.ndarray) -> None:
    """Evaluate nets.members: outputs and, if data has targets, each net's loss and share of correct samples in `nets`.

    output : flat (n_members * n_samples * n_outputs,), written; or empty
    """
    for block in work.blocks:
        block.filled[:] = -1
    team.run_each(
        "cpu.population.evaluate.evaluate",
        nets.params.dtype,
        [(net, data, nets, block, output) for block in work.blocks],
    )
