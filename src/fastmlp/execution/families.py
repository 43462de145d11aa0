"""Table of the kernel families: what each trains, what its SIMD lanes hold, and when dispatch chooses it.

kernels/README.md and the documentation print it.
"""

from __future__ import annotations

from typing import NamedTuple


class KernelFamily(NamedTuple):
    name: str
    device: str
    trains: str
    lanes: str  # what one SIMD lane, or one GPU thread, holds
    layout: str  # of activations in memory, the outermost index first
    threads: str
    chosen: str


FAMILIES = (
    KernelFamily(
        "batch_simd_4", "cpu", "one small net, batches of up to 4 samples", "a sample", "unit, sample", "1",
        "no layer has more than 200 weights",
    ),
    KernelFamily(
        "batch_simd_16", "cpu", "one small net", "a sample", "unit, sample", "1",
        "no layer has more than 200 to 3,500 weights, by the number of samples in a batch, or 40,000 where a layer's "
        "outputs leave half a tile empty; no dropout",
    ),
    KernelFamily(
        "batch_simd_data_parallel", "cpu", "one small net, large batches", "a sample", "shard, unit, sample", "up to 8",
        "as for batch_simd_16, from 0.3 million multiply-adds a step on",
    ),
    KernelFamily(
        "layerwise", "cpu", "one net", "a column of a product's tile", "sample, unit", "a team with work stealing",
        "everything else",
    ),
    KernelFamily(
        "layerwise_data_parallel", "cpu", "one net of few parameters", "a column of a product's tile",
        "shard, sample, unit", "2, each with a copy of the net",
        "up to 60,000 parameters; up to 200,000 or 1.2 million where a batch stays in cache or layers are narrow",
    ),
    KernelFamily(
        "layerwise_batch1", "cpu", "one net, one sample at a time", "an output of a layer", "unit", "1",
        "batch_size=1, where layers are too large for batch_simd_4",
    ),
    KernelFamily(
        "population_simd", "cpu", "many nets", "a net", "parameter, net", "a queue of nets",
        "up to 4,000 parameters, from 6 to 24 nets on",
    ),
    KernelFamily(
        "one_by_one", "cpu, cuda", "few or large nets of a population", "as for one net", "as for one net",
        "a net each",
        "populations for which no other family is chosen",
    ),
    KernelFamily(
        "shared_weights", "cpu", "nets of a population with the same hidden layers", "a column of a product's tile",
        "sample, net, unit", "a team with work stealing", "populations with `shared_weights=True`",
    ),
    KernelFamily(
        "small_net", "cuda", "one small net", "a unit or a sample", "unit, sample, in shared memory", "one block",
        "up to 20,000 parameters, where its step is fastest by the cost model",
    ),
    KernelFamily(
        "fused_tensor_core", "cuda", "one net of narrow layers", "tiles of tensor cores", "sample, unit", "many blocks",
        "precision bfloat16 or float16, layers of up to 128 units, float32, no dropout, "
        "where its step is fastest by the cost model",
    ),
    KernelFamily(
        "layerwise", "cuda", "one net", "a unit", "sample, unit", "cuBLAS and one pass a layer", "everything else"
    ),
    KernelFamily(
        "population_simd", "cuda", "many small nets", "a net, or a unit of the block's net", "net, parameter",
        "a thread or a block for each net",
        "up to 40,000 bytes of parameters, where a step of all nets batched is not faster by the cost model",
    ),
    KernelFamily(
        "batched_gemm", "cuda", "mid-sized nets, all at the same step", "a unit", "net, sample, unit",
        "one product for all nets", "larger nets whose step does not fill the GPU by itself",
    ),
)  # fmt: skip


def family_table() -> str:
    """The table as Markdown."""
    heads = ("family", "device", "trains", "a lane holds", "layout", "threads", "chosen for")
    rows = [heads, ("---",) * len(heads), *((f"`{row.name}`", *row[1:]) for row in FAMILIES)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
