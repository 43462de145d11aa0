"""What opcodes of memory and of warps need of the machine that runs them (machine.Machine), and of its memory."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from .instructions import Instruction
from .operands import Operand
from .types import Type


class Space(Protocol):
    """An address space. addresses: of each access in bytes; lanes: the thread of each access."""

    def view(self, lanes, addresses, dtype: np.dtype, size: int) -> Any:
        """Return parts of accesses of `size` bytes: (which accesses, array of dtype, index of their elements)."""


class Threads(Protocol):
    """The threads of some blocks, in whole warps, with their registers."""

    n_lanes: int
    lane_of_warp: np.ndarray
    first_of_warp: np.ndarray

    def read_lanes(self, operand: Operand, kind: Type) -> np.ndarray:
        """Return an operand, as an array with an element for each thread."""

    def write(self, operand: Operand, value: Any, mask: np.ndarray | None) -> None:
        """Set a register, in the threads of the mask; None for all."""

    def parameter(self, operand: Operand) -> np.generic:
        """Return a parameter of the kernel."""

    def access(self, i: Instruction, operand: Operand, size: int, mask: np.ndarray | None) -> Any:
        """Return (Space, threads that access it, their addresses); counts the access."""
