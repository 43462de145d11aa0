"""Counters of what kernels execute: warp instructions, and wavefronts of shared memory.

Shared memory has 32 banks of 4 bytes. A warp's access takes a wavefront for each of the different words that it wants
from one bank; accesses of 8 and 16 bytes go by half and quarter warps.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

BANKS, WORD, LANES = 32, 4, 32


@dataclass
class Counters:
    """Counts by kernel: "instructions" and "wavefronts"."""

    kernels: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def count_instruction(self, kernel: str, mask: np.ndarray) -> None:
        """Count an issue for each warp with a thread there, even if a predicate turns all of its threads off."""
        self.kernels[kernel]["instructions"] += int(mask.reshape(-1, LANES).any(axis=1).sum())

    def count_access(self, kernel: str, addresses: np.ndarray, mask: np.ndarray | None, size: int) -> None:
        """Count an access of `size` bytes for each thread of the mask."""
        self.kernels[kernel]["wavefronts"] += wavefronts(
            addresses if mask is None else np.where(mask, addresses, -1), size
        )


def wavefronts(addresses: np.ndarray, size: int) -> int:
    """Return the wavefronts of an access.

    addresses : byte address of each thread, whole warps; -1 for threads that take no part
    """
    n_words = max(size // WORD, 1)
    words = (addresses // WORD)[:, None] + np.arange(n_words)
    words[addresses < 0] = -1
    words = np.sort(words.reshape(-1, LANES), axis=1)  # a row for each part of a warp that is served at once
    is_wanted = (words >= 0) & (np.diff(words, axis=1, prepend=-2) != 0)
    rows = np.broadcast_to(np.arange(len(words))[:, None], words.shape)
    of_banks = np.bincount((rows * BANKS + words % BANKS)[is_wanted], minlength=len(words) * BANKS)
    return int(of_banks.reshape(-1, BANKS).max(axis=1).sum())
