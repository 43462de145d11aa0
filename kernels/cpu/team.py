"""A team of threads that run one kernel together, each on its share, and the barrier they meet at inside it.

A kernel is called as kernel(rank, n_ranks, barrier, ...): rank 0 in the caller's thread, the others in threads that
live as long as the team. They may wait for each other inside compiled code, so each team has its own threads: a
shared pool could hand out too few and never finish. Safe to use after fork and from several user threads.
"""

from __future__ import annotations

import platform
import sys
from queue import SimpleQueue
from threading import Thread

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..jit import entry_point, inner

SPINS = 4000  # about 20 us: longer than a well-balanced wait, shorter than a scheduler's time slice
IS_X86 = platform.machine().lower() in ("x86_64", "amd64")


@intrinsic
def take_number(typing_context, counter):
    """The counter's present value, which no other thread gets too; the counter moves on by one."""

    def build(context, builder, sig, args):
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "acq_rel")

    return types.int64(counter), build


def _reader(index):
    @intrinsic
    def read(typing_context, counter):
        def build(context, builder, sig, args):
            data = context.make_array(sig.args[0])(context, builder, args[0]).data
            place = builder.gep(data, [context.get_constant(types.intp, index)])
            return builder.load_atomic(place, "acquire", 8)

        return types.int64(counter), build

    return read


_arrivals, _is_off = _reader(0), _reader(1)


def _system_call(name, returns):
    @intrinsic
    def call(typing_context):
        def build(context, builder, sig, args):
            if name is not None:
                builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(returns, []), name), [])
            return context.get_dummy_value()

        return types.void(), build

    return call


_pause = _system_call("llvm.x86.sse2.pause" if IS_X86 else None, ir.VoidType())
_give_way = _system_call(None if sys.platform == "win32" else "sched_yield", ir.IntType(32))


@inner
def meet(barrier, n_ranks, meetings):
    """Wait until all ranks have come here as often as this one. Returns the new number of meetings.

    barrier : int64 (2,)    arrivals of all ranks so far, and whether the first meeting is called off
    """
    meetings += 1
    if n_ranks > 1:
        take_number(barrier)
        spins = 0
        while _arrivals(barrier) < meetings * n_ranks:
            spins += 1
            if spins < SPINS:
                _pause()
            else:
                _give_way()
    return meetings


@inner
def all_here(barrier, n_ranks):
    """The first meeting. False if it is called off, because rank 0 was interrupted on its way."""
    if n_ranks > 1:
        take_number(barrier)
        while _arrivals(barrier) < n_ranks:
            if _is_off(barrier) != 0:
                return False
            _give_way()
    return True


class Team:
    """`with Team(n) as team: team.run(kernel, kind, *arguments)` runs the kernel on n ranks.

    kind : what the types of the arguments follow from, as jit.entry_point takes it
    """

    def __init__(self, n_ranks: int):
        self.n_ranks = n_ranks
        self._barrier = np.zeros(2, np.int64)
        self._work: list[SimpleQueue] = [SimpleQueue() for _ in range(n_ranks - 1)]
        self._done: SimpleQueue = SimpleQueue()
        for rank, queue in enumerate(self._work, start=1):
            Thread(target=self._serve, args=(rank, queue), daemon=True, name=f"fastmlp-{rank}").start()

    def _serve(self, rank: int, queue: SimpleQueue) -> None:
        while (task := queue.get()) is not None:
            n_ranks, kernel, arguments = task
            try:
                kernel(rank, n_ranks, self._barrier, *arguments)
                self._done.put(None)
            except BaseException as error:
                self._done.put(error)

    def run(self, kernel, kind, *arguments, n_ranks: int | None = None) -> None:
        """Run on the first n_ranks ranks, on all if it is None.

        An exception, such as KeyboardInterrupt, leaves no rank waiting.
        """
        self.run_each(kernel, kind, [arguments] * (n_ranks or self.n_ranks))

    def run_each(self, kernel, kind, arguments_of_ranks: list[tuple]) -> None:
        """Run on as many ranks as there are tuples of arguments, of equal types, each rank with its own."""
        n_ranks = len(arguments_of_ranks)
        workers = self._work[: n_ranks - 1]
        self._barrier[:] = 0
        # Compiled, or loaded from the cache, before any rank can wait for another.
        kernel = entry_point(kernel, kind, (0, n_ranks, self._barrier, *arguments_of_ranks[0]))
        try:
            for queue, arguments in zip(workers, arguments_of_ranks[1:], strict=True):
                queue.put((n_ranks, kernel, arguments))
            kernel(0, n_ranks, self._barrier, *arguments_of_ranks[0])
        except BaseException:
            self._barrier[1] = 1
            for _ in workers:  # nobody may still be writing when the caller looks at the arrays
                self._done.get()
            raise
        for error in [self._done.get() for _ in workers]:
            if error is not None:
                raise error

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *_) -> None:
        for queue in self._work:
            queue.put(None)
