"""Amounts of work from which device="auto" is a GPU. bench/gpu/constants.py measures them."""

from __future__ import annotations

from typing import NamedTuple


class WorkForGpu(NamedTuple):
    """Multiply-adds from which a GPU is faster than the CPU.

    Work must reach `total` and, depending on how it is launched, at_once or in_one_launch.
    """

    total: float  # of a whole fit or prediction: the GPU's libraries and kernels have to be loaded first
    at_once: float  # of one step of all nets, each step launched by itself: a smaller step takes a GPU as long
    in_one_launch: float  # of one step of all nets, if all steps of all nets are one launch

    def are_reached(self, total: float, at_once: float, in_one_launch: bool = False) -> bool:
        return total >= self.total and at_once >= (self.in_one_launch if in_one_launch else self.at_once)

    def __str__(self) -> str:
        at_once = f"{self.at_once:.0e} at once, {self.in_one_launch:.0e} where nets train in one launch"
        return f"{self.total:.0e} multiply-adds in all and {at_once} (estimates)"


# total: a CPU takes about a second for it, as long as a GPU takes to load its libraries and kernels. at_once: a CPU
# takes about as long as launching the kernels of one step. in_one_launch: from nets 2-2-1 that learn XOR, one GPU
# thread per net. An epoch takes a GPU about 2 microseconds (some 3,000 dependent cycles) until all its threads have a
# net; two CPU cores take 2.5 nanoseconds a net. Break-even is at 800 nets of 56 multiply-adds each; the threshold is
# twice that.
WORK_FOR_GPU = WorkForGpu(5e10, 1e6, 1e5)
