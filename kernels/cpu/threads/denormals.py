"""Flush-to-zero mode: denormal numbers count as 0 while a kernel trains.

An operation on a denormal number takes 100 cycles and more, and training produces them: derivatives of saturated units,
products of two small derivatives, moments that fade. Quickprop and Rprop on XOR took 1.7 times as long.

    before = flush_denormals()      ...      restore_denormals(before)

The mode belongs to the calling thread, which runs other code as soon as a kernel returns, so kernels restore it.
Nothing is done on processors other than x86.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ...jit.cpu_features import IS_X86
from ...jit.intrinsics import emits, nothing
from ...simd.vector import I32

FLUSH_RESULTS, FLUSH_OPERANDS = 1 << 15, 1 << 6  # bits of the register MXCSR (Intel's manual, volume 1, 10.2.3)


def _call(emit, name, place):
    emit.call(f"llvm.x86.sse.{name}", ir.VoidType(), emit.builder.bitcast(place, ir.IntType(8).as_pointer()))


@emits(lambda: types.int32)
def flush_denormals(emit):
    """Switch flush-to-zero mode on in this thread. Return the mode before, the register MXCSR."""
    place = cgutils.alloca_once(emit.builder, I32)
    if not IS_X86:
        return ir.Constant(I32, 0)
    _call(emit, "stmxcsr", place)
    before = emit.builder.load(place)
    emit.builder.store(emit.builder.or_(before, ir.Constant(I32, FLUSH_RESULTS | FLUSH_OPERANDS)), place)
    _call(emit, "ldmxcsr", place)
    return before


@emits(nothing)
def restore_denormals(emit, before):
    """Restore the mode that flush_denormals returned."""
    if IS_X86:
        place = cgutils.alloca_once(emit.builder, I32)
        emit.builder.store(emit.builder.trunc(before, I32), place)
        _call(emit, "ldmxcsr", place)
