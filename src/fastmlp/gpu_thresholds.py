"""From how much work on "auto" takes a GPU: estimates, until `fastmlp devices --measure` has measured the one at hand.

What was measured lies in a file beside the compiled kernels, for each pair of a GPU and a processor.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from .files import write_text
from .kernels.jit.cache_dir import base_folder, make_folder, read_file

FILE = "thresholds.json"


class Thresholds(NamedTuple):
    """Multiply-adds from which a GPU is faster. Work must reach the first and, as it is launched, one of the others."""

    total: float  # of a whole fit or prediction: a GPU's libraries and kernels have to be loaded first
    at_once: float  # of one step of all nets: a GPU takes as long for a smaller one
    in_one_launch: float  # the same where all steps of all nets are one launch
    source: str

    def are_reached(self, total: float, at_once: float, in_one_launch: bool = False) -> bool:
        return total >= self.total and at_once >= (self.in_one_launch if in_one_launch else self.at_once)

    def __str__(self) -> str:
        at_once = f"{self.at_once:.0e} at once, {self.in_one_launch:.0e} where nets train in one launch"
        return f"{self.total:.0e} multiply-adds in all and {at_once} ({self.source})"


# A processor needs about a second for the first, as long as a GPU takes to load what it needs, and for the second about
# as long as launching a step's kernels takes. The third is that of nets 2-2-1 that learn XOR, a thread each: an epoch
# takes a GPU about 2 microseconds, some 3,000 cycles that wait for each other, until all its threads have a net; two
# cores take 2.5 nanoseconds a net. That is even at 800 nets of 56 multiply-adds each; from twice as many on it pays.
ESTIMATES = Thresholds(5e10, 1e6, 1e5, "estimates; fastmlp devices --measure measures them")


def _measured() -> dict[str, list[float]]:
    import json  # here and below, since every `import fastmlp` would wait for it

    with suppress(OSError, ValueError):
        found = json.loads(read_file(base_folder() / FILE))
        if isinstance(found, dict):
            return found
    return {}


@lru_cache(maxsize=16)
def thresholds_of(gpu: str, processor: str) -> Thresholds:
    """By the two devices' descriptions."""
    with suppress(KeyError, TypeError, ValueError):
        total, at_once, in_one_launch = map(float, _measured()[f"{gpu} | {processor}"])  # older files have two of them
        return Thresholds(total, at_once, in_one_launch, "measured here")
    return ESTIMATES


def remember(gpu: str, processor: str, total: float, at_once: float, in_one_launch: float) -> Thresholds:
    """Keep what was measured, for every process from now on."""
    import json

    make_folder(base_folder())
    found = _measured() | {f"{gpu} | {processor}": [total, at_once, in_one_launch]}
    write_text(base_folder() / FILE, json.dumps(found, indent=1) + "\n")
    thresholds_of.cache_clear()
    return thresholds_of(gpu, processor)
