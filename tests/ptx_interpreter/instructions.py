"""Instructions and kernels, as the parser makes them."""

from __future__ import annotations

from typing import NamedTuple

from .operands import Negated, Operand, Register
from .types import Type


class Instruction(NamedTuple):
    """An instruction.

    opcode : its first word, such as "add"
    modifiers : all further words, such as ("rn", "ftz", "f32")
    type : the type of the operation: its last one, or u32 where there is none
    types : all types among the modifiers, in order
    reads : types of the sources
    guard : the predicate that decides which threads run it
    target : place of the instruction that a branch leads to
    """

    opcode: str
    modifiers: tuple[str, ...]
    type: Type
    types: tuple[Type, ...]
    destination: Operand
    sources: tuple[Operand, ...]
    reads: tuple[Type, ...]
    guard: Register | Negated | None
    target: int
    text: str

    def has(self, modifier: str) -> bool:
        return modifier in self.modifiers

    @property
    def flushes(self) -> bool:
        """Whether denormal float32 numbers count as zero."""
        return "ftz" in self.modifiers

    @property
    def vector_length(self) -> int:
        return 4 if "v4" in self.modifiers else 2 if "v2" in self.modifiers else 1

    @property
    def is_shared(self) -> bool:
        """Whether it accesses shared memory."""
        return "shared" in self.modifiers


class Kernel(NamedTuple):
    """A kernel.

    parameters : (name, type) of each
    register_bits : bits of each register
    shared_bytes : size of its static shared memory
    """

    name: str
    parameters: tuple[tuple[str, Type], ...]
    code: tuple[Instruction, ...]
    register_bits: tuple[int, ...]
    shared_bytes: int
