"""Thread team: the threads that run one kernel together.

A kernel is called as kernel(thread, n_threads, barrier, ...), where thread is the index of the thread. Thread 0 is the
caller's; the others are worker threads that live as long as the team. Threads may wait for each other inside compiled
code (in_kernels.py), so each team has its own: a shared pool could supply too few threads, and the kernel would never
end. A team is for one caller at a time, in the process that made it: execution/buffer_cache.py gives each of the user's
threads a team of its own, and forgets all teams after a fork.

A KeyboardInterrupt may come between any two lines of this module. Whatever the workers have been given by then, a call
ends only when no worker runs: the caller reads the arrays that workers write, and uses the same barrier again. Only a
second interruption, while it waits for them, ends it earlier; the next call then waits for them first.
"""

from __future__ import annotations

import ctypes
import os
from _thread import start_new_thread
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from queue import SimpleQueue
from time import perf_counter

import numpy as np

from ...jit.call import ArgumentPacker, PreparedCall, compiled_kernel
from ...structs import LINE, NetSpec, Samples, TrainConfig, TrainState, aligned_zeros
from ...system import interrupts
from ..workspace import BatchWorkspace, LayerwiseWorkspace

# Named tuples that most calls share; of data-parallel training, each thread has a TrainState of its own.
LASTING = NetSpec, Samples, TrainConfig, TrainState, LayerwiseWorkspace, BatchWorkspace
FAR_CYCLES = 200  # cycles of a barrier of two threads from which they count as sharing no cache
AWAKE = 0.001  # seconds for which an idle processor is still quick to respond


# ---- affinity: a thread is pinned away from the processor of the thread that wakes it, until it runs. A scheduler may
# queue a thread behind the thread that has woken it, although another processor is idle: Linux takes a virtual
# processor that its host has put to sleep to be busy. A team's second thread then began 2.3 ms late, on the first
# thread's processor (median of fits after 30 ms of rest); with pinning it was 0.4 ms. Other systems pin no threads.

MASK_BITS = 1024  # processors in a mask


def _function_of_pthreads(name: str, *kinds: type):
    function = getattr(ctypes.CDLL(None), name, None) if hasattr(os, "sched_setaffinity") else None
    if function is not None:
        function.argtypes = kinds
    return function


_set_mask = _function_of_pthreads("pthread_setaffinity_np", ctypes.c_ulong, ctypes.c_size_t, ctypes.c_char_p)
_processor = _function_of_pthreads("sched_getcpu")


def pin_away(threads: Sequence[int]) -> set[int] | None:
    """Pin threads to processors other than the one this thread runs on, until each of them calls unpin.

    threads : identifiers of the threads, as module _thread returns them

    Returns the processors that the calling thread may run on, for unpin; None where nothing was done: the system cannot
    pin threads, there are fewer other processors than threads, or more processors than fit into a mask.
    """
    if _set_mask is None or _processor is None:
        return None
    allowed = os.sched_getaffinity(0)
    others = allowed - {_processor()}
    if len(others) < len(threads) or max(others, default=MASK_BITS) >= MASK_BITS:
        return None
    # With no processor to spare, each thread has one of its own, or the scheduler might queue two on the same one.
    masks = [_mask({one}) for one in others] if len(others) == len(threads) else [_mask(others)] * len(threads)
    for thread, mask in zip(threads, masks, strict=True):
        _set_mask(thread, len(mask), mask)
    return allowed


def unpin(allowed: set[int] | None) -> None:
    """Let this thread run wherever its waker may, now that it has begun on another processor.

    allowed : the result of pin_away
    """
    if allowed is not None:
        with suppress(OSError):  # the process has lost these processors meanwhile
            os.sched_setaffinity(0, allowed)


def _mask(processors: set[int]) -> bytes:
    return sum(1 << one for one in processors).to_bytes(MASK_BITS // 8, "little")


def _serve(tasks: SimpleQueue) -> None:
    """Run the tasks of a worker thread until it gets None.

    Holds no reference to the team, so the team can be garbage-collected.

    tasks : queue of tasks (function, words, allowed, done). allowed: the result of pin_away. done: the queue that gets
        None, or the task's exception, when the task has ended
    """
    while (task := tasks.get()) is not None:
        function, words, allowed, done = task
        try:
            unpin(allowed)
            function(words)
            done.put(None)
        except BaseException as error:
            done.put(error)


def _nothing(words: bytes) -> None:
    """Do nothing: a task whose end shows that the tasks before it have ended."""


class ThreadTeam:
    """Team of n_threads threads: `with ThreadTeam(n) as team: team.run(kernel, kind, *arguments)`.

    Methods take `kernel` and `kind` as jit.call.compiled_kernel does: the kernel's name, and a key that is equal for
    equal types of the arguments.
    """

    _tasks: Sequence[SimpleQueue] = ()  # of a team whose __init__ was interrupted

    def __init__(self, n_threads: int):
        self.n_threads = n_threads
        self._barrier = aligned_zeros(2 * LINE // 8, np.int64)[:2]
        self.forget()
        self._tasks = [SimpleQueue() for _ in range(n_threads - 1)]
        self._done: SimpleQueue = SimpleQueue()
        self._at_work: list[SimpleQueue] = []  # queues of workers that may be running a task
        # Not threading.Thread, whose start() waits until the thread runs.
        self._threads = [start_new_thread(_serve, (queue,)) for queue in self._tasks]
        self._at_rest = -inf  # time at which the last call on several threads ended

    def forget(self) -> None:
        """Drop the references to all arrays of earlier calls."""
        self._packer = ArgumentPacker(LASTING)

    def forget_data(self) -> None:
        """Drop the references to the samples of earlier calls, and keep the other arrays."""
        self._packer.forget(Samples)

    def share_no_cache(self) -> bool:
        """Return whether two threads of the team now run on processors that share no cache."""
        cycles = np.array([FAR_CYCLES], np.int64)
        self.run("cpu.threads.in_kernels.measure_barrier_cycles", np.dtype(np.int64), cycles, n_threads=2)
        return bool(cycles[0] >= FAR_CYCLES)

    def run(self, kernel, kind, *arguments, n_threads: int | None = None) -> None:
        """Run a kernel with the same arguments on the first n_threads threads, or on all threads if n_threads is None.

        An exception such as KeyboardInterrupt leaves no thread waiting.
        """
        self.run_each(kernel, kind, [arguments] * (n_threads or self.n_threads))

    def prepare_repeat(self, kernel, kind, arguments: tuple, new: tuple[np.ndarray, ...]) -> PreparedCall:
        """Return a call of the kernel on one thread, to be repeated with other arrays in place of those in `new`."""
        return PreparedCall(kernel, kind, (0, 1, self._barrier, *arguments), new)

    def run_each(self, kernel, kind, arguments_of_threads: list[tuple]) -> None:
        """Run a kernel on one thread for each tuple of arguments; the tuples have equal types."""
        n_threads = len(arguments_of_threads)
        # Compiled, or loaded from the object cache, before any thread can wait for another.
        arguments = [(thread, n_threads, self._barrier, *own) for thread, own in enumerate(arguments_of_threads)]
        _, function, pack, _ = compiled_kernel(kernel, kind, arguments[0])
        if n_threads == 1:
            function(pack(*self._packer(arguments[0])))
            return
        if self._at_work:  # after a call that was interrupted twice
            self._wait_for_workers()
        workers = self._tasks[: n_threads - 1]
        self._barrier[:] = 0
        packer = ArgumentPacker(LASTING)  # threads share most of their named tuples
        words = [pack(*packer(own)) for own in arguments]
        is_rested = perf_counter() - self._at_rest > AWAKE
        allowed = pin_away(self._threads[: n_threads - 1]) if is_rested else None
        done, self._at_work = self._done, workers
        try:
            for queue, own in zip(workers, words[1:], strict=True):
                queue.put((function, own, allowed, done))
            function(words[0])
            errors = [done.get() for _ in workers]
            self._at_work = []
        except BaseException:
            self._wait_for_workers()
            raise
        self._at_rest = perf_counter()
        for error in errors:
            if error is not None:
                raise error

    def _wait_for_workers(self) -> None:
        """Wait until no worker runs, however far an interrupted call had come.

        Which workers had a task already, and whose end has been received, is uncertain: the interruption may lie
        between an action and the note of it. So each worker gets one more task, after which it has no other.
        """
        with interrupts.deferred():
            self._barrier[1] = 1  # workers that wait at the start leave
            self._done = done = SimpleQueue()  # the old queue may yet get results of the interrupted call
            for queue in self._at_work:
                queue.put((_nothing, b"", None, done))
            for _ in self._at_work:
                done.get()
            self._at_work = []

    def __enter__(self) -> ThreadTeam:
        return self

    def __exit__(self, *_) -> None:
        self.end()

    def __del__(self) -> None:
        self._let_go()

    def end(self) -> None:
        """Stop the worker threads, after their tasks have ended."""
        if self._at_work:
            self._wait_for_workers()
        self._let_go()

    def _let_go(self) -> None:
        for queue in self._tasks:
            queue.put(None)
        self._tasks = []
