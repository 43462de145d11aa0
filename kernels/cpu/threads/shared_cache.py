"""How far apart the processors of two ranks are: whether they share a cache.

A virtual processor may change its place at any time, so this is asked before each call that depends on it. Two threads
of the machine of bench/LOG.md meet in 80 cycles where they share a third-level cache, in 430 where they do not; a line
that one has written and the other wants to write costs three times as much then.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...jit.cpu_features import IS_X86
from ...jit.decorators import kernel
from .barrier import barrier_start, barrier_wait

TRIES, MEETINGS = 8, 40  # the fastest try counts: what interrupts one is no distance


@intrinsic
def _cycles(typing_context):
    """Of a counter that runs at the processor's nominal speed; 0 where a program may not ask for it."""

    def build(context, builder, sig, args):
        if not IS_X86:
            return ir.Constant(ir.IntType(64), 0)
        kind = ir.FunctionType(ir.IntType(64), [])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.readcyclecounter"), [])

    return types.int64(), build


@kernel
def measure_barrier_cycles(rank, n_ranks, barrier, cycles):
    """cycles : int64 (1,), how many a meeting took"""
    if not barrier_start(barrier, n_ranks):
        return
    meetings = barrier_wait(barrier, n_ranks, 1)
    for _ in range(TRIES):
        began = _cycles()
        for _ in range(MEETINGS):
            meetings = barrier_wait(barrier, n_ranks, meetings)
        if rank == 0:
            cycles[0] = min(cycles[0], (_cycles() - began) // MEETINGS)
