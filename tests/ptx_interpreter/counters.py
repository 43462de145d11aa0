"""Counters of what kernels execute: warp instructions, those of the longest warp, and wavefronts of shared memory.

The sum over all warps says how much work a kernel has. Where its blocks leave most of a GPU idle, its time is that of
the longest warp: a launch takes at least as long as the instructions of one warp, one after another.

Shared memory has 32 banks of 4 bytes. A warp's access takes a wavefront for each of the different words that it wants
from one bank; accesses of 8 and 16 bytes go by half and quarter warps.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from .instructions import Instruction

BANKS, WORD, LANES = 32, 4, 32


@dataclass
class Counters:
    """Counts by kernel: "instructions" and "wavefronts", "conflict_free" wavefronts, and instructions by opcode.

    "longest_warp" has the instructions of the warp that executes most of a launch, added up over launches.
    """

    kernels: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def count_instruction(self, kernel: str, i: Instruction, mask: np.ndarray) -> np.ndarray:
        """Count an issue for each warp with a thread there, even if a predicate turns all of its threads off.

        Returns (n_warps,), which warps issue it.
        """
        issues = np.asarray(mask.reshape(-1, LANES).any(axis=1))
        n = int(issues.sum())
        self.kernels[kernel]["instructions"] += n
        self.kernels[kernel][i.opcode] += n
        return issues

    def count_launch(self, kernel: str, longest_warp: int) -> None:
        """Count a launch whose longest warp has executed so many instructions."""
        self.kernels[kernel]["longest_warp"] += longest_warp

    def count_access(self, kernel: str, addresses: np.ndarray, mask: np.ndarray | None, size: int) -> None:
        """Count an access of `size` bytes for each thread of the mask."""
        found, least = wavefronts(addresses if mask is None else np.where(mask, addresses, -1), size)
        self.kernels[kernel]["wavefronts"] += found
        self.kernels[kernel]["conflict_free"] += least

    def total(self, what: str) -> int:
        return sum(counts[what] for counts in self.kernels.values())


def wavefronts(addresses: np.ndarray, size: int) -> tuple[int, int]:
    """Return (wavefronts of an access; wavefronts if no bank were wanted twice).

    addresses : byte address of each thread, whole warps; -1 for threads that take no part
    """
    n_words = max(size // WORD, 1)
    words = (addresses // WORD)[:, None] + np.arange(n_words)
    words[addresses < 0] = -1
    words = np.sort(words.reshape(-1, LANES), axis=1)  # a row for each part of a warp that is served at once
    is_wanted = (words >= 0) & (np.diff(words, axis=1, prepend=-2) != 0)
    rows = np.broadcast_to(np.arange(len(words))[:, None], words.shape)
    of_banks = np.bincount((rows * BANKS + words % BANKS)[is_wanted], minlength=len(words) * BANKS)
    return int(of_banks.reshape(-1, BANKS).max(axis=1).sum()), int(is_wanted.any(axis=1).sum())
