"""Spin barrier for the threads of a team inside a kernel: an arrival count that all threads poll."""

from __future__ import annotations

import sys

from llvmlite import ir
from numba import types

from ...jit.cpu_features import IS_X86
from ...jit.decorators import helper, kernel
from ...jit.intrinsics import emits, nothing
from ...simd.load_store import element_pointer

SPINS = 4000  # about 20 us: longer than a well-balanced wait, shorter than a scheduler's time slice


@emits(lambda counter, n: types.int64)
def fetch_add(emit, counter, n):
    """Add n to the counter atomically and return its old value: the first of n numbers that no other thread gets."""
    place = element_pointer(emit, counter, ir.Constant(n.type, 0))
    return emit.builder.atomic_rmw("add", place, n, "acq_rel")


@helper
def fetch_add_1(counter):
    """Add 1 to the counter atomically and return its old value."""
    return fetch_add(counter, 1)


def _reader(index):
    @emits(lambda counter: types.int64)
    def read(emit, counter):
        data = emit.context.make_array(emit.kinds[0])(emit.context, emit.builder, counter).data
        place = emit.builder.gep(data, [emit.context.get_constant(types.intp, index)])
        return emit.builder.load_atomic(place, "acquire", 8)

    return read


_arrivals, _is_cancelled = _reader(0), _reader(1)


def system_call(name, returns):
    """Return an intrinsic that calls a function without arguments; one that does nothing if `name` is None."""

    @emits(nothing)
    def call(emit):
        if name is not None:
            emit.call(name, returns)

    return call


_pause = system_call("llvm.x86.sse2.pause" if IS_X86 else None, ir.VoidType())
_yield_processor = system_call(None if sys.platform == "win32" else "sched_yield", ir.IntType(32))


@helper
def barrier_wait(barrier, n_threads, n_barriers):
    """Wait until all threads have arrived as often as this one. Return the new number of barriers.

    barrier : int64 (2,), number of arrivals of all threads so far, and whether the start is cancelled
    n_barriers : number of barriers that this thread has passed in this call
    """
    n_barriers += 1
    if n_threads > 1:
        fetch_add_1(barrier)
        spins = 0
        while _arrivals(barrier) < n_barriers * n_threads:
            spins += 1
            if spins < SPINS:
                _pause()
            else:
                _yield_processor()
    return n_barriers


@helper
def barrier_start(barrier, n_threads):
    """Wait until all threads have started. Return False if the start is cancelled, because thread 0 was interrupted.

    It counts as the first barrier of a call: n_barriers is 1 after it.
    """
    if n_threads > 1:
        fetch_add_1(barrier)
        while _arrivals(barrier) < n_threads:
            if _is_cancelled(barrier) != 0:
                return False
            _yield_processor()
    return True


# ---- whether two threads run on cores that share a last-level cache, by timing a barrier. A virtual processor may move
# to another core at any time, so the time is measured before each call that depends on it. On the machine of the log a
# barrier of two threads takes 80 cycles where they share a third-level cache, and 430 where they do not
# (bench/log/threads.md#shared-cores); a cache line that one thread has written and the other wants to write then costs
# three times as much (bench/log/threads.md#cache-line-transfer).

TRIES, BARRIERS = 8, 40  # the fastest try counts: interruptions make others slower


@emits(lambda: types.int64)
def _cycles(emit):
    """Return a counter that runs at the processor's nominal frequency; 0 where a program may not read one."""
    kind = ir.IntType(64)
    return emit.call("llvm.readcyclecounter", kind) if IS_X86 else ir.Constant(kind, 0)


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
