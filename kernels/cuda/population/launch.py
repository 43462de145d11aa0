"""Launches of nets that train independently: a thread or a block of threads for each net.

Shape       launch configuration of the kernel that dispatch has chosen: threads, samples at a time, memory
compile_training
launch      packs a Job and runs the kernel
fit_fields  fields of the Job of a fit
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import cupy
import numpy as np

from ...structs import NetSpec, Samples, TrainConfig
from ..build import formula_printer
from ..build.compiled_module import MOST_DECLARED, Kernel, compiled, source
from ..build.net_constants import Architecture, bound_of
from ..build.structs import JOB
from ..runtime.device_memory import to_device

NETS_PER_BLOCK = 128  # threads of a block with a net per thread
PADDING = 16
LARGEST_TILE = 64
MOST_THREADS = 256  # of a block with a net
SYSTEM_SHARED = 1024  # bytes of shared memory that the system takes from each block
SAFE_EVERY = 64  # epochs between saves of parameters with a finite loss, for nets that diverge later


def padded(n: int) -> int:
    return -(-n // PADDING) * PADDING


@dataclass(frozen=True)
class Shape:
    in_thread: bool
    threads: int
    tile: int
    numbers: int  # that a block keeps in memory
    in_shared: bool

    @property
    def shared(self) -> int:
        return self.numbers if self.in_shared else 0

    @property
    def workspace(self) -> int:
        """Numbers of global memory that a block needs because they do not fit into shared memory."""
        return 0 if self.in_shared or self.in_thread else self.numbers

    def blocks_at_once(self, dtype: np.dtype) -> int:
        """Return the number of blocks that a multiprocessor shall have registers for, as __launch_bounds__ takes it.

        Two of 256 threads, if shared memory has room for both: in float32 a thread then has 128 registers instead of
        the 200 that the kernel would use, and spills a few (bench/log/gpu.md#gpu-loss-by-all-warps). More blocks of
        fewer threads have room anyway.
        """
        if self.in_thread or self.threads < MOST_THREADS or dtype.itemsize > 4:
            return 1
        most = cupy.cuda.Device().attributes["MaxSharedMemoryPerMultiprocessor"]
        return 2 if 2 * (self.shared * dtype.itemsize + MOST_DECLARED + SYSTEM_SHARED) <= most else 1

    @classmethod
    def of_threads(cls) -> Shape:
        """Return the shape for a net in each thread, which keeps it in registers."""
        return cls(in_thread=True, threads=NETS_PER_BLOCK, tile=4, numbers=0, in_shared=True)

    @classmethod
    def of_blocks(cls, architecture: Architecture, n_state: int, rows: int, limit: int) -> Shape:
        """Return the shape for a net in each block: the threads and the tile of samples that its layers fill.

        n_state : number of state vectors of the update rule
        rows : number of samples in a batch
        limit : bytes of shared memory a block may have, into which the tile should fit
        """
        itemsize = architecture.dtype.itemsize
        tile = min(LARGEST_TILE, -(-rows // 4) * 4)
        widest = max(architecture.sizes)
        # A thread computes 4 x 4 numbers of a product at a time.
        items = -(-widest // 4) * max(tile // 4, -(-sorted(architecture.sizes)[-2] // 4))
        threads = next((n for n in (32, 64, 128) if items <= n), MOST_THREADS)
        while tile > 4 and itemsize * block_numbers(architecture, tile, n_state) > limit:
            tile = max(4, tile // 8 * 4)
        numbers = block_numbers(architecture, tile, n_state)
        fits = itemsize * numbers <= limit
        if not fits:
            tile = min(LARGEST_TILE, -(-rows // 4) * 4)
            numbers = block_numbers(architecture, tile, n_state)
        return cls(False, threads, tile, numbers, fits)


def pitch_of(tile: int, itemsize: int) -> int:
    """Return the numbers from one row of a tile to the next: an odd number of blocks of 16 bytes.

    Then a load of 16 bytes from eight neighbouring rows uses each of the 32 banks of shared memory once
    (bench/log/gpu.md#gpu-ptx-counts).
    """
    per_block = 16 // itemsize
    return (tile // per_block | 1) * per_block


def block_numbers(architecture: Architecture, tile: int, n_state: int) -> int:
    """Return how many numbers a block keeps; include/block_memory.cuh lays them out."""
    outputs = architecture.sizes[-1]
    units = architecture.n_units
    rows = units * (2 + architecture.keeps + architecture.drops) + outputs + 1 + (0 if architecture.keeps else outputs)
    pitch = pitch_of(tile, architecture.dtype.itemsize)
    return rows * pitch + padded(architecture.n_params) * (2 + n_state)


def shared_limit() -> int:
    """Return the bytes of shared memory that a block may request, besides what its kernel declares."""
    most = cupy.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]
    return int(most) - MOST_DECLARED


def compile_training(
    architecture: Architecture, shape: Shape, rule: int, rows: int = 0, blocks_at_once: int = 1, **switches: int
) -> Kernel:
    """Return the kernel that trains nets.

    blocks_at_once : number of blocks that a multiprocessor shall have registers for
    rows : number of samples in every batch, as a constant that the compiler unrolls; 0 for any number
    switches : SHUFFLES, WEIGHTED, PENALISED, CLIPPED, LAYERED, VALIDATES; and SCHEDULED, the number of schedules
    """
    header = architecture.header(
        rule,
        padded(architecture.n_params),
        **switches,
        THREADS=shape.threads,
        TILE=shape.tile,
        PITCH=pitch_of(shape.tile, architecture.dtype.itemsize),
        IN_SHARED=shape.in_shared,
        SAFE_EVERY=SAFE_EVERY,
        PARAMS_STRIDE=architecture.n_params,
        FIXED_ROWS=rows,
        BLOCKS_AT_ONCE=blocks_at_once,
    )
    files = ["include/block_memory.cuh", "population/per_block.cu"]
    if shape.in_thread:
        unrolled = architecture.sizes, architecture.activations, architecture.net.loss
        header += formula_printer.unrolled_source(*unrolled) + "\n"
        files = ["population/per_thread.cu"]
    text = source(
        architecture,
        header + JOB.source,
        "include/layout.cuh",
        "include/reductions.cuh",
        "include/permutation.cuh",
        "include/gradient_clipping.cuh",
        "population/per_net.cuh",
        *files,
    )
    return compiled(text)["train_nets"]


def launch(kernel: Kernel, shape: Shape, grid: tuple[int, ...], dtype: np.dtype, **job: Any) -> None:
    """Run a kernel on a Job.

    job : fields of the Job, but for the workspace; those that are not given are 0
    """
    memory = cupy.empty(prod(grid) * shape.workspace, dtype) if shape.workspace else None
    packed = JOB.pack(**job, workspace=memory, workspace_stride=shape.numbers)
    job_on_device = cupy.asarray(np.frombuffer(packed, np.uint8))
    kernel(grid, shape.threads, job_on_device, shared=shape.shared * dtype.itemsize)


def fit_fields(
    net: NetSpec, data: Samples, config: TrainConfig, hyper: np.ndarray, dropout: np.ndarray, seeds: np.ndarray
) -> dict[str, Any]:
    """Return the fields of the Job of any fit.

    data : on the device
    hyper, dropout, seeds : arrays with the settings of all nets
    """
    return {
        "hyper": to_device(hyper),
        "dropout": to_device(dropout),
        "seeds": to_device(seeds),
        "layer_factors": to_device(config.layer_factors),
        "factors": to_device(config.factors),
        "X": data.X,
        "Y": data.Y,
        "weight": data.weight if data.has_weights else None,
        "n_samples": data.n_samples,
        "batch_size": config.batch_size,
        "n_batches": -(-data.n_samples // config.batch_size),
        "n_factors": len(config.factors),
        "bound": bound_of(net, data.metric),
        "loss_constant": net.loss_constant,
    }
