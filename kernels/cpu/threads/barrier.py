"""Spin barrier for the threads of a team inside a kernel: an arrival count that all threads poll."""

from __future__ import annotations

import sys

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...jit.cpu_features import IS_X86
from ...jit.decorators import helper
from ...simd.load_store import element_pointer

SPINS = 4000  # about 20 us: longer than a well-balanced wait, shorter than a scheduler's time slice


@intrinsic
def fetch_add(typing_context, counter, n):
    """Add n to the counter atomically and return its old value: the first of n numbers that no other thread gets."""

    def build(context, builder, sig, args):
        place = element_pointer(context, builder, sig.args[0], args[0], context.get_constant(types.intp, 0))
        return builder.atomic_rmw("add", place, args[1], "acq_rel")

    return types.int64(counter, types.int64), build


@helper
def fetch_add_1(counter):
    """Add 1 to the counter atomically and return its old value."""
    return fetch_add(counter, 1)


def _reader(index):
    @intrinsic
    def read(typing_context, counter):
        def build(context, builder, sig, args):
            data = context.make_array(sig.args[0])(context, builder, args[0]).data
            place = builder.gep(data, [context.get_constant(types.intp, index)])
            return builder.load_atomic(place, "acquire", 8)

        return types.int64(counter), build

    return read


_arrivals, _is_cancelled = _reader(0), _reader(1)


def system_call(name, returns):
    @intrinsic
    def call(typing_context):
        def build(context, builder, sig, args):
            if name is not None:
                builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(returns, []), name), [])
            return context.get_dummy_value()

        return types.void(), build

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
