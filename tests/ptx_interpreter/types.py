"""Types of PTX's registers and operations, and the NumPy types that hold them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

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
