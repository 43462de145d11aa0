"""Rows of a fit: in memory, or on disk, as blocks that the fit is trained on one after another.

Rows in memory are one block, on which all epochs are trained. Rows on disk are several blocks in each epoch.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ..data.population_data import Strides, samples_of_net
from ..data.targets import unsmoothed
from ..devices import backend
from ..errors import counted
from ..kernels.structs import Samples
from ..runtime.memory_check import format_bytes

if TYPE_CHECKING:
    from ..network.spec import Network
    from ..streams.row_file import RowFile

SHOWN_ROWS, SHOWN_NUMBERS = 2000, 2**20  # in history.samples, at most


class Block(NamedTuple):
    """Rows to train on, with what belongs to them."""

    data: Samples
    batch_size: int
    shuffle: bool
    seed: int  # of shuffling and dropout
    first_epoch: int  # number of the epoch that begins, or goes on, with these rows
    n_epochs: int  # that are trained on them before the next block
    first_step: int  # of the fit, by which schedules count
    is_last: bool = True  # of its epoch

    @property
    def n_batches(self) -> int:
        """Steps of an epoch on these rows."""
        return -(-self.data.n_samples // self.batch_size)


class Place(NamedTuple):
    """Blocks of the present epoch that are trained, of rows on disk."""

    n_blocks: int = 0
    n_rows: int = 0
    sums: np.ndarray = np.zeros(2)  # float64, over these rows: of the loss, and of rows predicted correctly


class NetInTraining(Protocol):
    """What rows read of the engine that is trained on them."""

    task: Any
    number: int
    seed: int
    n_epochs: int
    epochs_done: int
    place: Place


class InMemory(NamedTuple):
    """Rows in memory, of all nets or net by net."""

    data: Samples
    strides: Strides = (0, 0, 0)

    @property
    def n_samples(self) -> int:
        return self.data.n_samples

    @property
    def metric(self) -> int:
        return self.data.metric

    def blocks(self, net: NetInTraining) -> Generator[Block, None, None]:
        """Yield the one block of a net."""
        task = net.task
        data = samples_of_net(self.data, self.strides, net.number)
        yield Block(data, task.batch_size, task.shuffle, net.seed, 0, net.n_epochs, 0)


@dataclass(frozen=True)
class OnDisk:
    """Rows of a row file, which all nets share.

    memory_limit : int     bytes, for the blocks in memory
    announces : whether a fit with verbose above 0 says that it reads from disk
    """

    file: RowFile
    memory_limit: int
    announces: bool = True

    @property
    def n_samples(self) -> int:
        return self.file.n_samples

    @property
    def metric(self) -> int:
        return self.file.metric

    def blocks(self, net: NetInTraining) -> Generator[Block, None, None]:
        """Yield the blocks of a net's epochs, from the place on that it has reached."""
        from ..streams.shuffled_blocks import Blocks

        task = net.task
        blocks = Blocks(self.file, task.batch_size, task.shuffle, net.seed, self.memory_limit)
        n_shuffled = blocks.size if task.shuffle and blocks.size > task.batch_size else 0
        blocks.copy_to(backend(task.device).block_copies(blocks.sizes, task.dtype, n_shuffled))
        if task.verbose and self.announces and net.number == 0:
            print(self._notice(blocks.n_blocks), file=sys.stderr)
        for epoch in range(net.epochs_done, net.n_epochs):
            place = net.place
            with closing(blocks.epoch(epoch, place.n_blocks)) as of_epoch:  # its thread ends here
                for X, Y in of_epoch:
                    n, number, n_done = len(X), net.place.n_blocks, net.place.n_rows
                    flat = X.reshape(-1)
                    yield Block(
                        Samples(n, flat, Y.reshape(-1), False, flat[:0], True, self.metric),
                        min(task.batch_size, n),
                        task.shuffle and n > task.batch_size,
                        seed_of_block(net.seed, epoch, number),
                        epoch,
                        1,
                        epoch * task.n_batches + n_done // task.batch_size,
                        n_done + n == self.n_samples,
                    )

    def shown(self, network: Network) -> tuple[np.ndarray, np.ndarray]:
        """Return evenly spaced rows for plots, with targets without label smoothing."""
        rows = self.file
        n = min(rows.n_samples, SHOWN_ROWS, max(100, SHOWN_NUMBERS // sum(rows.widths)))
        X, Y = (np.empty((n, width), rows.dtype) for width in rows.widths)
        for i, row in enumerate(np.linspace(0, rows.n_samples - 1, n).round().astype(np.int64).tolist()):
            rows.read(row, X[i : i + 1], Y[i : i + 1])
        return X, unsmoothed(Y, network)

    def _notice(self, n_blocks: int) -> str:
        n_bytes, limit = format_bytes(self.n_samples * self.file.row_bytes), format_bytes(self.memory_limit)
        return (
            f"Reading {self.n_samples:,} rows from disk in each epoch, in {counted(n_blocks, 'block')}: they take "
            f"{n_bytes}, and memory_limit is {limit}."
        )


def seed_of_block(seed: int, epoch: int, number: int) -> int:
    """Return the seed of shuffling and dropout in block `number` of an epoch."""
    found = np.random.SeedSequence([seed, epoch, number]).generate_state(1, np.uint64)[0]
    return int(found >> np.uint64(1))
