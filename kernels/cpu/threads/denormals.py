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
from numba.extending import intrinsic

from ...jit.cpu_features import IS_X86
from ...simd.vector import I32

FLUSH_RESULTS, FLUSH_OPERANDS = 1 << 15, 1 << 6  # bits of the register MXCSR (Intel's manual, volume 1, 10.2.3)


def _call(builder, name, place):
    byte = builder.bitcast(place, ir.IntType(8).as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [byte.type])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}"), [byte])


@intrinsic
def flush_denormals(typing_context):
    """Switch flush-to-zero mode on in this thread. Return the mode before, the register MXCSR."""

    def build(context, builder, sig, args):
        place = cgutils.alloca_once(builder, I32)
        if not IS_X86:
            return ir.Constant(I32, 0)
        _call(builder, "stmxcsr", place)
        before = builder.load(place)
        builder.store(builder.or_(before, ir.Constant(I32, FLUSH_RESULTS | FLUSH_OPERANDS)), place)
        _call(builder, "ldmxcsr", place)
        return before

    return types.int32(), build


@intrinsic
def restore_denormals(typing_context, before):
    """Restore the mode that flush_denormals returned."""

    def build(context, builder, sig, args):
        if IS_X86:
            place = cgutils.alloca_once(builder, I32)
            builder.store(args[0], place)
            _call(builder, "ldmxcsr", place)
        return context.get_dummy_value()

    return types.void(types.int32), build
