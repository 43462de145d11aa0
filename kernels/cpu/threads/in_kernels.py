"""What threads of a team do inside a kernel: wait for each other at a spin barrier, and divide work by work stealing.

Barrier: an arrival count that all threads poll.

Work stealing: a thread processes its own chunks first, then chunks that other threads have not begun. It has the same
chunks in every step, so that its data stay in its caches. A processor that is slower than the others, or busy with
something else, loses chunks to other threads instead of keeping them waiting.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ...jit.cpu_features import IS_X86
from ...jit.decorators import helper, kernel
from ...jit.intrinsics import emits, nothing
from ...simd.load_store import element_pointer, offset
from ...simd.vector import I32
from ..workspace import LINE_OF_COUNTS, WEIGHT_CHUNK_ROWS

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


# ---- work stealing


@helper
def chunk_start(i, n_chunks, n, unit):
    """Return where chunk i of n_chunks equal chunks of n begins.

    Rounded up to a multiple of `unit`, so that a chunk consists of whole tiles of a matrix product.
    """
    return min(n, (n * i // n_chunks + unit - 1) // unit * unit)


@helper
def next_chunk(thread, n_threads, counts, n, n_tried):
    """Return (chunk, n_tried): the next of n chunks for this thread, -1 if none is left, and n_tried for the next call.

    counts : for each thread, how many of its own chunks have been taken, LINE_OF_COUNTS elements apart
    n_tried : number of threads whose chunks are known to be taken, 0 at first
    """
    while n_tried < n_threads:
        owner = (thread + n_tried) % n_threads
        chunk = n * owner // n_threads + fetch_add_1(offset(counts, owner * LINE_OF_COUNTS))
        if chunk < n * (owner + 1) // n_threads:
            return chunk, n_tried
        n_tried += 1
    return -1, n_tried


class LayerChunk(NamedTuple):
    """Chunk of the weights: chunk `index` of the n_chunks chunks of a layer."""

    layer: int
    index: int
    n_chunks: int


@helper
def layer_of_chunk(ws, chunk):
    """Return the LayerChunk with this number."""
    k = 0
    while chunk >= ws.weight_chunks[k + 1]:
        k += 1
    first = ws.weight_chunks[k]
    return LayerChunk(k, chunk - first, ws.weight_chunks[k + 1] - first)


@helper
def chunk_range(chunk, n):
    """Return (first, end) of a LayerChunk's part of n: of the rows of W, n being fan_in, or of b, n being fan_out."""
    i, n_chunks = chunk.index, chunk.n_chunks
    return chunk_start(i, n_chunks, n, WEIGHT_CHUNK_ROWS), chunk_start(i + 1, n_chunks, n, WEIGHT_CHUNK_ROWS)


# ---- flush-to-zero mode: denormal numbers count as 0 while a kernel trains. An operation on a denormal number takes
# 100 cycles and more, and training produces them: derivatives of saturated units, products of two small derivatives,
# moments that fade. Quickprop and Rprop on XOR took 1.7 times as long. The mode belongs to the calling thread, which
# runs other code as soon as a kernel returns, so kernels restore it: `before = flush_denormals() ...
# restore_denormals(before)`. Nothing is done on processors other than x86.

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
