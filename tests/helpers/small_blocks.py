"""Fits of few rows that are read from disk in small blocks, and kernel calls that are cut short."""

import signal

import numpy as np

from fastmlp.execution.plan import Plan
from fastmlp.streams import row_loading, shuffled_blocks

N, BATCH, N_BLOCKS = 70, 8, 3  # rows in blocks of 24, 24 and 22, which are three steps each
X = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


class Rows:
    """The rows as a source."""

    def __init__(self, X=X, y=Y, size=30):
        self.pieces = [(X[i : i + size], y[i : i + size]) for i in range(0, len(X), size)]

    def __iter__(self):
        return iter(self.pieces)


def use_small_blocks(monkeypatch):
    """Read all rows from disk, in blocks of 24 of four float32 numbers, with a memory_limit of a megabyte."""
    monkeypatch.setattr(row_loading, "SHARE_IN_MEMORY", 0.0)
    monkeypatch.setattr(shuffled_blocks, "CHUNK_BYTES", 128)
    monkeypatch.setattr(shuffled_blocks, "SHARE", 2e-3)


def cut_calls(monkeypatch, n_steps=1, last=None):
    """Give each kernel call n_steps steps at most, and send SIGINT after call number `last`."""
    train, n_calls = Plan.train, [0]

    def cut(self, team, n_threads, data, config, state, first, n, compiles):
        n_calls[0] += 1
        train(self, team, n_threads, data, config, state, first, min(n, n_steps), compiles)
        if n_calls[0] == last:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Plan, "train", cut)
