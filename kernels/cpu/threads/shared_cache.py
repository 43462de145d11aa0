"""Detection of whether two threads run on cores that share a last-level cache, by timing a barrier.

A virtual processor may move to another core at any time, so the time is measured before each call that depends on it.
On the machine of the log a barrier of two threads takes 80 cycles where they share a third-level cache, and 430 where
they do not (bench/log/threads.md#shared-cores); a cache line that one thread has written and the other wants to write
then costs three times as much (bench/log/threads.md#cache-line-transfer).
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...jit.cpu_features import IS_X86
from ...jit.decorators import kernel
from .barrier import barrier_start, barrier_wait

TRIES, BARRIERS = 8, 40  # the fastest try counts: interruptions make others slower


@intrinsic
def _cycles(typing_context):
    """Return a counter that runs at the processor's nominal frequency; 0 where a program may not read one."""

    def build(context, builder, sig, args):
        if not IS_X86:
            return ir.Constant(ir.IntType(64), 0)
        kind = ir.FunctionType(ir.IntType(64), [])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.readcyclecounter"), [])

    return types.int64(), build


@kernel
def measure_barrier_cycles(thread, n_threads, barrier, cycles):
    """Measure the cycles that a barrier of all threads takes.

    cycles : int64 (1,), lowered to the result if that is less
    """
    if not barrier_start(barrier, n_threads):
        return
    n_barriers = barrier_wait(barrier, n_threads, 1)
    for _ in range(TRIES):
        began = _cycles()
        for _ in range(BARRIERS):
            n_barriers = barrier_wait(barrier, n_threads, n_barriers)
        if thread == 0:
            cycles[0] = min(cycles[0], (_cycles() - began) // BARRIERS)
