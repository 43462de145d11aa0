"""Table of the kernel families: what each trains, what its SIMD lanes hold, and when dispatch chooses it.

docs/architecture.md prints it. Its numbers are the thresholds by which dispatch chooses.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from .cpu_families import n_shards
from .thresholds import (
    BATCH_SIMD_LIMITS,
    BLOCK_UP_TO_BYTES,
    BLOCK_UP_TO_PARAMS,
    CACHED_BATCH_PARAMS,
    DATA_PARALLEL_PARAMS,
    HALF_FILLED_UP_TO_WEIGHTS,
    LANES_FROM,
    NARROW_NET_PARAMS,
    SHARDS_FROM_STEP,
)


class KernelFamily(NamedTuple):
    name: str
    device: str
    trains: str
    lanes: str  # what one SIMD lane, or one GPU thread, holds
    layout: str  # of activations in memory, the outermost index first
    threads: str
    chosen: str


def _most_weights(rows: float) -> str:
    """Return the number of weights up to which layers have samples as lanes, in batches of `rows` samples."""
    return f"{next(limit.max_weights for limit in BATCH_SIMD_LIMITS if rows <= limit.max_rows):,}"


def _most_outputs(rows: float) -> int:
    """Return the number of outputs up to which a layer does not count, in batches of `rows` samples."""
    return next(limit.max_outputs for limit in BATCH_SIMD_LIMITS if rows <= limit.max_rows)


def _millions(number: float) -> str:
    return f"{number / 1e6:g} million"


# Numbers of nets from which a population trains in lanes.
_n_nets = [n_nets for row in LANES_FROM for n_nets in row[1:] if n_nets < inf]

FAMILIES = (
    KernelFamily(
        "batch_simd_4", "cpu", "one small net, batches of up to 4 samples", "a sample", "unit, sample", "1",
        f"each layer has up to {_most_weights(4)} weights or, in batches of 2 to 4 samples, up to {_most_outputs(4)} "
        "outputs; no dropout",
    ),
    KernelFamily(
        "batch_simd_16", "cpu", "one small net", "a sample", "unit, sample", "1",
        f"no layer has more than {_most_weights(5)} to {_most_weights(inf)} weights, by the number of samples in a "
        f"batch, or {HALF_FILLED_UP_TO_WEIGHTS:,} where a layer's outputs leave half a tile empty; no dropout",
    ),
    KernelFamily(
        "batch_simd_data_parallel", "cpu", "one small net, large batches", "a sample", "shard, unit, sample",
        f"up to {n_shards(1_000_000)}",
        f"as for batch_simd_16, from {_millions(SHARDS_FROM_STEP)} multiply-adds a step on",
    ),
    KernelFamily(
        "layerwise", "cpu", "one net", "a column of a product's tile", "sample, unit", "a team with work stealing",
        "everything else",
    ),
    KernelFamily(
        "layerwise_data_parallel", "cpu", "one net of few parameters", "a column of a product's tile",
        "shard, sample, unit", "2, each with a copy of the net, or a team that shares it",
        f"up to {DATA_PARALLEL_PARAMS:,} parameters; up to {CACHED_BATCH_PARAMS:,} or {_millions(NARROW_NET_PARAMS)} "
        "where a batch stays in cache or layers are narrow",
    ),
    KernelFamily(
        "layerwise_batch1", "cpu", "one net, one sample at a time", "an output of a layer", "unit", "1",
        "batch_size=1, where layers are too large for batch_simd_4",
    ),
    KernelFamily(
        "population_simd", "cpu", "many nets", "a net", "parameter, net", "a queue of nets",
        f"up to {LANES_FROM[-1].max_params:,} parameters, from {min(_n_nets):g} to {max(_n_nets):g} nets on",
    ),
    KernelFamily(
        "one_by_one", "cpu, cuda", "few or large nets of a population", "as for one net", "as for one net",
        "a net each",
        "populations for which no other family is chosen",
    ),
    KernelFamily(
        "small_net", "cuda", "one small net", "a unit or a sample", "unit, sample, in shared memory", "one block",
        f"up to {BLOCK_UP_TO_PARAMS:,} parameters, where its step is fastest by the cost model",
    ),
    KernelFamily(
        "layerwise", "cuda", "one net", "a unit", "sample, unit, in bfloat16 with that precision",
        "cuBLAS and one pass a layer", "everything else",
    ),
    KernelFamily(
        "population_simd", "cuda", "many small nets", "a net, or a unit of the block's net", "net, parameter",
        "a thread or a block for each net",
        f"up to {BLOCK_UP_TO_BYTES:,} bytes of parameters, where a step of all nets batched is not faster by the cost "
        "model",
    ),
    KernelFamily(
        "batched_gemm", "cuda", "mid-sized nets, all at the same step", "a unit",
        "net, sample, unit, in bfloat16 with that precision",
        "one product for all nets",
        "larger nets, where a step of all of them one after another is not faster by the cost model",
    ),
)  # fmt: skip


def family_table() -> str:
    """The table as Markdown."""
    heads = ("family", "device", "trains", "a lane holds", "layout", "threads", "chosen for")
    rows = [heads, ("---",) * len(heads), *((f"`{row.name}`", *row[1:]) for row in FAMILIES)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
