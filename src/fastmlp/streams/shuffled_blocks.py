"""Blocks of rows: an epoch visits a row file block by block, and a second thread reads the next block meanwhile.

The file is cut into chunks of whole batches. A shuffled epoch takes the chunks in a random order, which depends on the
seed and the epoch alone, and as many of them as fit make a block; the kernel shuffles the rows within a block. The
chunk with the incomplete batch comes last, so that every epoch has the same number of batches.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import NamedTuple

import numpy as np

from ..kernels.structs import aligned_zeros
from ..runtime.memory_limits import bytes_for_rows
from .read_ahead import read_ahead
from .row_file import RowFile

CHUNK_BYTES = 1_000_000  # at least: a disk reads so many at full speed from any place
PREFETCHED = 32  # chunks that a disk is asked for before they are read: it answers many requests at a time
UNWEIGHTED = np.empty(0)
BUFFERS = 2  # blocks in memory: one is trained on while the next is read
SHARE = 0.8  # of the bytes for rows, for blocks; the rest is for held-out rows and their copy
ORDER_BYTES = 8  # of a row of the block in training: its place in the order in which the kernel takes them


class Block(NamedTuple):
    """Rows to train on, in buffers that are used again for the block after the next. Arrays are flat."""

    X: np.ndarray  # (n * n_features,)
    Y: np.ndarray  # (n * n_outputs,)
    weight: np.ndarray  # (n,); empty if rows have no weights


def block_sizes(row_bytes: int, batch_size: int, memory_limit: int) -> tuple[int, int]:
    """Return the number of rows of a chunk, and the largest number of chunks of a block.

    Raises
    ------
    ValueError
        If the limit leaves no room for a batch.
    """
    most = int(SHARE * bytes_for_rows(memory_limit)) // (BUFFERS * row_bytes + ORDER_BYTES)
    if most < batch_size:
        raise ValueError(
            f"memory_limit leaves room for {most:,} rows at a time, but a batch has {batch_size:,}. Choose a smaller "
            "batch_size or a higher memory_limit."
        )
    chunk_rows = batch_size * max(1, -(-CHUNK_BYTES // (batch_size * row_bytes)))
    chunk_rows = min(chunk_rows, most // batch_size * batch_size)
    return chunk_rows, most // chunk_rows


class Blocks:
    """Blocks of a row file.

    rows : RowFile
    batch_size, shuffle, seed : as in training
    memory_limit : int     bytes, for all blocks in memory
    weight : (n_samples,)     weights of the rows; empty without any
    """

    def __init__(
        self,
        rows: RowFile,
        batch_size: int,
        shuffle: bool,
        seed: int,
        memory_limit: int,
        weight: np.ndarray = UNWEIGHTED,
    ):
        self._rows, self._shuffle, self._seed, self._weight = rows, shuffle, seed, weight
        self.chunk_rows, self.chunks_per_block = block_sizes(rows.row_bytes, batch_size, memory_limit)
        self.size = size = min(self.chunks_per_block * self.chunk_rows, rows.n_samples)  # rows of the largest block
        sizes = [*(size * width for width in rows.widths), min(size, len(weight))]  # of the arrays of a block
        self._buffers = [[aligned_zeros(n, rows.dtype) for n in sizes] for _ in range(BUFFERS)]
        self._n_yielded = 0  # blocks that `epoch` has yielded; the next one has this number

    @property
    def n_blocks(self) -> int:
        return -(-self._n_chunks // self.chunks_per_block)

    @property
    def _n_chunks(self) -> int:
        return -(-self._rows.n_samples // self.chunk_rows)

    def epoch(self, epoch: int, first: int = 0) -> Generator[Block, None, None]:
        """Yield the blocks of an epoch from number `first` on; each is valid until the next but one is asked for.

        A caller that stops early closes it, which ends the thread.
        """
        order, size = self._order(epoch), self.chunks_per_block
        groups = [order[i : i + size] for i in range(first * size, len(order), size)]
        numbered = enumerate(groups, self._n_yielded)
        with closing(read_ahead(self._read(k, chunks) for k, chunks in numbered)) as blocks:
            for block in blocks:
                self._n_yielded += 1
                yield block

    def _order(self, epoch: int) -> np.ndarray:
        """Return the numbers of the chunks in the order of this epoch."""
        n = self._n_chunks
        n_whole = n - (self._rows.n_samples % self.chunk_rows > 0)
        order = np.arange(n)
        if self._shuffle:
            order[:n_whole] = np.random.default_rng([self._seed, epoch]).permutation(n_whole)
        return order

    def _read(self, k: int, chunks: np.ndarray) -> Block:
        """Read the block of these chunks, number k."""
        rows, size = self._rows, self.chunk_rows
        parts = [(chunk * size, min(size, rows.n_samples - chunk * size)) for chunk in chunks.tolist()]
        n = sum(count for _, count in parts)
        block = Block(*(array[: len(array) // self.size * n] for array in self._buffers[k % BUFFERS]))
        X, Y = (array.reshape(n, -1) for array in block[:2])
        for part in parts[:PREFETCHED]:
            rows.prefetch(*part)
        done = 0
        for i, (first, count) in enumerate(parts):
            for part in parts[i + PREFETCHED : i + PREFETCHED + 1]:
                rows.prefetch(*part)
            rows.read(first, X[done : done + count], Y[done : done + count])
            block.weight[done : done + count] = self._weight[first : first + count]
            done += count
        return block
