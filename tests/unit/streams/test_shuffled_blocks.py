"""Blocks of a row file: each epoch visits every row once, in an order of its own, within the memory limit."""

from contextlib import closing

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.runtime.memory_limits import READING, bytes_for_rows, checked_memory_limit, limit_for_rows
from fastmlp.streams import shuffled_blocks as module
from fastmlp.streams.row_loading import load
from fastmlp.streams.shuffled_blocks import Blocks
from fastmlp.streams.sources import Source

N, BATCH = 1_003, 10


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", 600)
    X = np.arange(3.0 * N, dtype=np.float32).reshape(N, 3)
    net = MLP((3, 4, 1))
    with closing(load(Source("rows", lambda: iter([(X, X[:, :1])])), net.network, net.dtype, 1_000)) as found:
        yield found


def visited(blocks, epoch):
    return [block.X[::3].copy() / 3 for block in blocks.epoch(epoch)]


def test_every_row_is_visited_once_in_an_epoch(rows):
    blocks = Blocks(rows, BATCH, True, 5, memory_limit=20_000)
    assert (blocks.chunk_rows, blocks.chunks_per_block) == (40, 5)
    parts = visited(blocks, 0)
    assert len(parts) == blocks.n_blocks == 6
    assert all(len(part) % BATCH == 0 for part in parts[:-1])
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(N))
    assert parts[-1][-1] == N - 1  # the incomplete batch comes last


def test_order_depends_on_seed_and_epoch_alone(rows):
    orders = {
        (seed, epoch, limit): np.concatenate(visited(Blocks(rows, BATCH, True, seed, limit), epoch))
        for seed, epoch, limit in [(5, 0, 20_000), (5, 1, 20_000), (6, 0, 20_000), (5, 0, 40_000)]
    }
    first, *others, more_memory = orders.values()
    assert (first == more_memory).all()
    assert all((first != other).any() for other in others)


@pytest.mark.parametrize("first", [0, 1, 5, 6])
def test_an_epoch_goes_on_from_a_block(rows, first):
    blocks = Blocks(rows, BATCH, True, 5, 20_000)
    whole = visited(blocks, 2)
    rest = [block.X[::3].copy() / 3 for block in blocks.epoch(2, first)]
    assert len(rest) == len(whole) - first
    for block, expected in zip(rest, whole[first:], strict=True):
        np.testing.assert_array_equal(block, expected)


def test_block_stays_valid_while_the_next_is_read(rows):
    epoch = Blocks(rows, BATCH, False, 5, 20_000).epoch(0)
    block = next(epoch)
    kept = block.X.copy()
    epoch.close()  # waits for the reader
    np.testing.assert_array_equal(block.X, kept)


def test_limit_below_a_batch_is_refused(rows):
    with pytest.raises(ValueError, match="memory_limit leaves room for 25 rows at a time, but a batch has 30"):
        Blocks(rows, 30, True, 0, 2_500)


def test_memory_limits_are_bytes_or_text_with_a_unit():
    limits = {"300MB": 300_000_000, "3M": 3_000_000, "1.5 gib": 1_610_612_736, 2_000_000: 2_000_000}
    assert [checked_memory_limit(value) for value in limits] == list(limits.values())
    assert 1_000_000 <= checked_memory_limit(None) < 2**47
    for value in ("much", "1kb", 10, True, 2.5e9 + 0.5, float("inf"), "300 potatoes"):
        with pytest.raises(ValueError, match="memory_limit must be a number of bytes"):
            checked_memory_limit(value)
    for n_bytes in (1, 1_000_000, READING - 1, READING, READING + 1, 10**10):
        limit = limit_for_rows(n_bytes)
        assert bytes_for_rows(limit) >= n_bytes > bytes_for_rows(limit - 1)
