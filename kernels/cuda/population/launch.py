"""Which kernel trains a net by itself, and how it is launched: a thread, a warp or a block per net.

Shape       what is decided once for an architecture and a batch: kernel, threads, samples of a tile, memory
compile_training, compile_evaluation
launch      pack a Job and run it
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cupy
import numpy as np

from ...formulas.update_rules import RULES
from ..build import formula_printer
from ..build.module import MOST_DECLARED, Kernel, compiled, source
from ..build.net_constants import Architecture
from ..build.structs import FORMATS, JOB

# Numbers a thread keeps in registers (parameters, gradients and state), by the bytes of each. What else it needs leaves
# no room for more: tests/unit/kernels/cuda/test_nvrtc_tables.py says how much the largest nets spill.
MOST_IN_THREAD = {4: 180, 8: 75}
PER_THREAD = 128  # threads of a block of nets
PADDING = 16
LARGEST_TILE = 64
SAFE_EVERY = 64  # epochs after which parameters of a finite loss are remembered, for nets that diverge later
MOST_WRITTEN_OUT = 160  # parameters times samples that a thread's kernel has no loop over samples for


# A Job in which nothing is given: what a launch has no use for.
NOTHING = {name: 0 if kind in FORMATS else None for name, kind in JOB.types.items()}
for _name in ("workspace", "workspace_stride"):
    del NOTHING[_name]


def padded(n: int) -> int:
    return -(-n // PADDING) * PADDING


@dataclass(frozen=True)
class Shape:
    in_thread: bool
    threads: int
    tile: int
    numbers: int  # of a block's memory
    in_shared: bool

    @property
    def shared(self) -> int:
        return self.numbers if self.in_shared else 0

    @property
    def workspace(self) -> int:
        """Numbers of global memory that a block needs because they do not fit into shared memory."""
        return 0 if self.in_shared or self.in_thread else self.numbers

    @classmethod
    def choose(cls, architecture: Architecture, n_state: int, rows: int, n_nets: int, limit: int) -> Shape:
        """rows : of a batch. limit : bytes of shared memory a block may have."""
        itemsize = np.dtype(architecture.dtype).itemsize
        if (
            architecture.n_params * (2 + n_state) <= MOST_IN_THREAD[itemsize] and n_nets >= PER_THREAD
            and not architecture.drops
        ):  # fmt: skip
            return cls(True, PER_THREAD, 4, 0, True)
        tile = min(LARGEST_TILE, -(-rows // 4) * 4)
        widest = max(architecture.sizes)
        # A thread computes 4 x 4 numbers of a product at a time.
        items = -(-widest // 4) * max(tile // 4, -(-sorted(architecture.sizes)[-2] // 4))
        threads = next((n for n in (32, 64, 128) if items <= n), 256)
        while tile > 4 and itemsize * block_numbers(architecture, tile, n_state) > limit:
            tile = max(4, tile // 8 * 4)
        numbers = block_numbers(architecture, tile, n_state)
        fits = itemsize * numbers <= limit
        if not fits:
            tile = min(LARGEST_TILE, -(-rows // 4) * 4)
            numbers = block_numbers(architecture, tile, n_state)
        return cls(False, threads, tile, numbers, fits)


def block_numbers(architecture: Architecture, tile: int, n_state: int) -> int:
    """Numbers that a block keeps; include/block_memory.cuh lays them out."""
    outputs = architecture.sizes[-1]
    units = architecture.n_units
    rows = units * (2 + architecture.keeps + architecture.drops) + outputs + 1 + (0 if architecture.keeps else outputs)
    return rows * tile + padded(architecture.n_params) * (2 + n_state)


def known_rows(architecture: Architecture, shape: Shape, batch_size: int, n_samples: int) -> int:
    """Samples that are every batch, where a kernel that is compiled for so many is worth it: few of them, and a net so
    small that counting samples is a part of its time. Otherwise 0.
    """
    few = shape.in_thread and architecture.n_params * n_samples <= MOST_WRITTEN_OUT
    return n_samples if few and batch_size >= n_samples else 0


def shared_limit() -> int:
    """Bytes of shared memory that a block may ask for, besides what its kernel declares."""
    most = cupy.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]
    return int(most) - MOST_DECLARED


def most_chunks() -> int:
    """Blocks that share one net's evaluation at the most: two for each multiprocessor, an estimate."""
    return 2 * int(cupy.cuda.Device().attributes["MultiProcessorCount"])


def compile_training(architecture: Architecture, shape: Shape, rule: int, rows: int = 0, **switches: bool) -> Kernel:
    """rows : what known_rows gave. switches : SHUFFLES, WEIGHTED, SCHEDULED, PENALISED, CLIPPED, LAYERED, VALIDATES"""
    header = architecture.header(
        rule,
        padded(architecture.n_params),
        **switches,
        THREADS=shape.threads,
        TILE=shape.tile,
        IN_SHARED=shape.in_shared,
        SAFE_EVERY=SAFE_EVERY,
        HAS_TARGETS=True,
        PARAMS_STRIDE=architecture.n_params,
        ROWS=rows,
    )
    return compiled(text_of_shape(architecture, shape, header + "#define TRAINS\n"))["train_nets"]


def text_of_shape(architecture: Architecture, shape: Shape, header: str) -> str:
    if shape.in_thread:
        header += (
            formula_printer.straight_line_source(architecture.sizes, architecture.activations, architecture.loss) + "\n"
        )
    files = (
        ("population/per_thread.cu",) if shape.in_thread else ("include/block_memory.cuh", "population/per_block.cu")
    )
    return source(
        header + JOB.source,
        "include/layout.cuh",
        "include/reductions.cuh",
        "include/permutation.cuh",
        "population/per_net.cuh",
        *files,
    )


def compile_evaluation(architecture: Architecture, shape: Shape, weighted: bool, has_targets: bool) -> Kernel:
    header = architecture.header(
        SHUFFLES=False, WEIGHTED=weighted, SCHEDULED=False, PENALISED=False, CLIPPED=False, LAYERED=False,
        VALIDATES=False, THREADS=shape.threads, TILE=shape.tile, IN_SHARED=shape.in_shared, SAFE_EVERY=SAFE_EVERY,
        HAS_TARGETS=has_targets, PARAMS_STRIDE=architecture.n_params, ROWS=0,
    )  # fmt: skip
    return compiled(text_of_shape(architecture, shape, header))["evaluate_nets"]


def launch(kernel: Kernel, shape: Shape, grid: tuple[int, ...], workspace: Any, dtype: np.dtype, **job: Any) -> None:
    """Run a kernel on a Job. workspace : what workspace_for gave."""
    packed = JOB.pack(**job, workspace=workspace, workspace_stride=shape.numbers)
    given = cupy.asarray(np.frombuffer(packed, np.uint8))
    kernel(grid, shape.threads, given, shared=shape.shared * dtype.itemsize)


def workspace_for(shape: Shape, n_blocks: int, dtype: np.dtype):
    """Global memory for blocks whose arrays do not fit into shared memory; None where they do."""
    return cupy.empty(n_blocks * shape.workspace, dtype) if shape.workspace else None


def state_rows(rule: int) -> int:
    return RULES[rule].n_state if rule >= 0 else 0
