"""The device contract on the CPU: the functions every backend has, with these signatures.

Team                   the threads of one fit
make_work              a family's buffers for batches of up to `rows` samples
train, evaluate        run kernels on what plan.py built
to_device, to_host, synchronize
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from ..arguments import Course, Data, Memory, Net, aligned_zeros
from ..random import BLOCK
from .loop import LOSS, PARTIAL_COLUMNS, RIGHT
from .team import Team as Team

FAMILIES = ("per_sample_narrow", "per_sample_wide", "per_layer")
NARROW, WIDE = 4, 16  # lanes of the two per_sample families
ALIGNMENT = 16  # elements: blocks start on whole vectors


def _padded(size: int, to: int = ALIGNMENT) -> int:
    return -(-size // to) * to


def to_device(array: np.ndarray) -> np.ndarray:
    return array


def to_host(array: np.ndarray) -> np.ndarray:
    return array


def synchronize() -> None:
    """Kernels return when they are done."""


def make_work(family: str, net: Net, rows: int, n_samples: int, n_threads: int, shuffle: bool, dtype: np.dtype) -> Any:
    """Every buffer a family needs for batches of up to `rows` samples, from data of n_samples."""
    sizes = [int(size) for size in net.sizes]
    ranks = n_threads if family == "per_layer" else 1
    walk = {
        "partial": np.zeros((ranks, PARTIAL_COLUMNS)),
        "order": np.zeros(n_samples if shuffle else 0, np.int64),
        "words": np.zeros(BLOCK, np.uint64),
    }
    if family == "per_layer":
        from .per_layer import UNIT
        from .per_layer import Work as LayerWork
        from .product import scratch_size

        n_scratch = _padded(scratch_size(max(sizes[1:]), dtype.itemsize))

        starts = np.cumsum([0] + [_padded(rows * size) for size in sizes])
        # The inputs' block is filled only when a shuffled batch is gathered.
        starts[1:] -= 0 if shuffle else starts[1]
        total = int(starts[-1]) + ALIGNMENT
        drops, keeps = bool((net.dropout > 0).any()), bool(net.keep_z.any())
        return LayerWork(
            blocks=starts[:-1].astype(np.int64),
            a=aligned_zeros(total, dtype),
            z=aligned_zeros(total if drops or keeps else 0, dtype),
            delta=aligned_zeros(total, dtype),
            mask=aligned_zeros(total if drops else 0, dtype),
            y=aligned_zeros(rows * sizes[-1] if shuffle else 0, dtype),
            weight=aligned_zeros(rows if shuffle else 0, dtype),
            squares=np.zeros(2 * sum(-(-size // UNIT) for size in sizes)),
            transposed=aligned_zeros(int(net.n_padded), dtype),
            n_scratch=n_scratch,
            scratch=aligned_zeros((ranks, n_scratch), dtype),
            **walk,
        )
    from .per_sample import Work as SampleWork

    columns = _padded(rows, NARROW if family == "per_sample_narrow" else WIDE)
    return SampleWork(
        units=np.cumsum([0] + sizes).astype(np.int64),
        columns=columns,
        filled=np.full(2, -1, np.int64),
        a=aligned_zeros(sum(sizes) * columns, dtype),
        z=aligned_zeros(sum(sizes) * columns, dtype),
        delta=aligned_zeros(sum(sizes) * columns, dtype),
        y=aligned_zeros(sizes[-1] * columns, dtype),
        weight=aligned_zeros(columns, dtype),
        **walk,
    )


@cache
def _kernels(family: str):
    """(train, evaluate) of a family; imported when first used, so that a tiny net does not pay for the rest."""
    if family == "per_layer":
        from .per_layer import evaluate, train

        return train, evaluate
    from . import per_sample

    width = family.removeprefix("per_sample_")
    return getattr(per_sample, f"train_{width}"), getattr(per_sample, f"evaluate_{width}")


def train(
    family: str,
    team: Team,
    n_ranks: int,
    net: Net,
    data: Data,
    course: Course,
    memory: Memory,
    work: Any,
    first: int,
    n: int,
) -> None:
    """n steps of training from step `first` on, by n_ranks of the team; memory and work hold the outcome."""
    team.run(_kernels(family)[0], net, data, course, memory, work, first, n, n_ranks=n_ranks)


def evaluate(family: str, team: Team, net: Net, data: Data, params: np.ndarray, work, rows: int, output: np.ndarray):
    """(sum of losses, number right) over data, outputs (n_samples * n_outputs,) written unless `output` is empty.

    rows : samples a rank takes at a time; work was made for rows * n_ranks
    """
    team.run(_kernels(family)[1], net, data, params, work, rows, output)
    return float(work.partial[:, LOSS].sum()), float(work.partial[:, RIGHT].sum())
