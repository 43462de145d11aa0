"""Amounts of work from which device="auto" is a GPU: estimates, or values measured by `fastmlp devices --measure`.

devices.py makes the choice. Measured values are stored in a file beside the compiled kernels, for each pair of GPU and
CPU; the constants of the cost model (execution/gpu_costs.py) are stored in the same file.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ..kernels.jit.cache_dir import FILE_MODE, base_folder, distrust_reason, make_folder, read_file

FILE = "thresholds.json"


class WorkForGpu(NamedTuple):
    """Multiply-adds from which a GPU is faster than the CPU.

    Work must reach `total` and, depending on how it is launched, at_once or in_one_launch.
    """

    total: float  # of a whole fit or prediction: the GPU's libraries and kernels have to be loaded first
    at_once: float  # of one step of all nets, each step launched by itself: a smaller step takes a GPU as long
    in_one_launch: float  # of one step of all nets, if all steps of all nets are one launch
    source: str

    def are_reached(self, total: float, at_once: float, in_one_launch: bool = False) -> bool:
        return total >= self.total and at_once >= (self.in_one_launch if in_one_launch else self.at_once)

    def __str__(self) -> str:
        at_once = f"{self.at_once:.0e} at once, {self.in_one_launch:.0e} where nets train in one launch"
        return f"{self.total:.0e} multiply-adds in all and {at_once} ({self.source})"


# total: a CPU takes about a second for it, as long as a GPU takes to load its libraries and kernels. at_once: a CPU
# takes about as long as launching the kernels of one step. in_one_launch: from nets 2-2-1 that learn XOR, one GPU
# thread per net. An epoch takes a GPU about 2 microseconds (some 3,000 dependent cycles) until all its threads have a
# net; two CPU cores take 2.5 nanoseconds a net. Break-even is at 800 nets of 56 multiply-adds each; the threshold is
# twice that.
ESTIMATED_WORK = WorkForGpu(5e10, 1e6, 1e5, "estimates; fastmlp devices --measure measures them")


def _measured() -> dict[str, list[float]]:
    import json  # here and below: at the top it would slow down every `import fastmlp`

    with suppress(OSError, ValueError):
        measured = {} if distrust_reason(base_folder()) else json.loads(read_file(base_folder() / FILE))
        if isinstance(measured, dict):
            return measured
    return {}


@lru_cache(maxsize=16)
def known_work(gpu: str, processor: str) -> WorkForGpu:
    """Return the work of a pair of GPU and CPU, given by their descriptions: stored measurements, or ESTIMATED_WORK."""
    with suppress(KeyError, TypeError, ValueError):
        total, at_once, in_one_launch = map(float, _measured()[f"{gpu} | {processor}"])  # older files have two numbers
        return WorkForGpu(total, at_once, in_one_launch, "measured here")
    return ESTIMATED_WORK


def storage_folder() -> Path:
    """Return the folder where measurements are stored, which is created.

    Raises
    ------
    PermissionError
        If others may write to the folder: a file there, or a link, may be theirs.
    """
    folder = base_folder()
    make_folder(folder)
    if reason := distrust_reason(folder):
        raise PermissionError(
            f"Measurements cannot be kept in {str(folder)!r} ({reason}). Set NUMBA_CACHE_DIR to a folder that belongs "
            "to you and to which nobody else can write."
        )
    return folder


def measured_row(key: str) -> list[float]:
    """Return the numbers that were stored under a name; KeyError if there are none."""
    return _measured()[key]


def store_row(key: str, numbers: Iterable[float]) -> None:
    """Store numbers on disk under a name, for all later processes."""
    import json

    from ..kernels.system.atomic_file import replacing

    folder = storage_folder()
    measured = _measured() | {key: list(numbers)}
    with replacing(folder / FILE, FILE_MODE) as file:  # not write_text, which follows links
        file.write((json.dumps(measured, indent=1) + "\n").encode())


def store(gpu: str, processor: str, total: float, at_once: float, in_one_launch: float) -> WorkForGpu:
    """Store measured amounts of work on disk, for all later processes, and return them.

    gpu, processor : str     descriptions of the two devices
    total, at_once, in_one_launch : float     multiply-adds, as in WorkForGpu
    """
    store_row(f"{gpu} | {processor}", (total, at_once, in_one_launch))
    known_work.cache_clear()
    return known_work(gpu, processor)
