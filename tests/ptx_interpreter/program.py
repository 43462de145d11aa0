"""What a kernel consists of, as the parser makes it: types, operands, instructions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from cuda_emulator.state import EmulatorError


class PtxError(EmulatorError):
    """Error of a kernel, or of the interpreter: PTX that it does not know."""


RAW: dict[int, Any] = {1: np.bool_, 8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}
SIGNED: dict[int, Any] = {8: np.int8, 16: np.int16, 32: np.int32, 64: np.int64}
FLOATS: dict[int, Any] = {16: np.float16, 32: np.float32, 64: np.float64}


@dataclass(frozen=True)
class Type:
    """A PTX type.

    kind : "u" unsigned, "s" signed, "b" bits, "f" floating, "p" predicate
    dtype : NumPy type in which it is computed with
    raw : unsigned NumPy type in which registers hold it
    """

    kind: str
    bits: int
    dtype: np.dtype = field(init=False)
    raw: np.dtype = field(init=False)

    def __post_init__(self):
        table = {"s": SIGNED, "f": FLOATS}.get(self.kind, RAW)
        object.__setattr__(self, "dtype", np.dtype(table[self.bits]))
        object.__setattr__(self, "raw", np.dtype(RAW[self.bits]))

    @property
    def is_float(self) -> bool:
        return self.kind == "f"

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self.bits // 8

    def widened(self) -> Type:
        """Return the type with twice the bits."""
        return TYPES[f"{self.kind}{2 * self.bits}"]


TYPES = {f"{kind}{bits}": Type(kind, bits) for kind in "usb" for bits in (8, 16, 32, 64)}
TYPES |= {f"f{bits}": Type("f", bits) for bits in FLOATS}
TYPES |= {"pred": Type("p", 1)}
TYPES |= {"bf16": Type("b", 16), "bf16x2": Type("b", 32), "f16x2": Type("b", 32)}  # packed; the operation knows them
PREDICATE, U16, U32, U64 = TYPES["pred"], TYPES["u16"], TYPES["u32"], TYPES["u64"]


def raw_of(value: np.ndarray | np.generic, bits: int) -> np.ndarray | np.generic:
    """Return a value as bits of a register; a narrower integer is extended by its sign."""
    raw = RAW[bits]
    return value.view(raw) if value.dtype.itemsize == np.dtype(raw).itemsize else value.astype(raw)


# ---- operands


class Register(NamedTuple):
    """A register of every thread: its place among the registers of a machine, and its bits (1 for a predicate)."""

    number: int
    bits: int


class Negated(NamedTuple):
    """The opposite of a predicate."""

    register: Register


class Constant(NamedTuple):
    """A number, of the type that the instruction reads."""

    value: np.generic


class Special(NamedTuple):
    """A register that the launch sets, such as %tid.x."""

    name: str


class DynamicShared(NamedTuple):
    """The address of the shared memory that a launch asks for."""


class Parameter(NamedTuple):
    """A parameter of the kernel."""

    name: str


class Address(NamedTuple):
    """[base + offset]"""

    base: Register | Constant | DynamicShared
    offset: int


class Vector(NamedTuple):
    """{a, b, ..}: registers of a vector access, halves of a register, or a fragment of a matrix; None for `_`."""

    elements: tuple


Operand = Register | Negated | Constant | Special | DynamicShared | Parameter | Address | Vector | None


# ---- instructions


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
