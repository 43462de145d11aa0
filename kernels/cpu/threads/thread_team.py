"""A team of threads that run one kernel together, each on its share.

A kernel is called as kernel(rank, n_ranks, barrier, ...): rank 0 in the caller's thread, the others in threads that
live as long as the team. They may wait for each other inside compiled code (barrier.py), so each team has its own
threads: a shared pool could hand out too few and never finish. Safe to use after fork and from several user threads.

A KeyboardInterrupt may come between any two lines here. Whatever has been given to the ranks by then, a call ends only
when none of them is at work: the caller looks at the arrays they write to, and begins another call at the same barrier.
"""

from __future__ import annotations

from _thread import start_new_thread
from math import inf
from queue import SimpleQueue
from time import perf_counter

import numpy as np

from ...jit import interrupts
from ...jit.call import ArgumentPacker, PreparedCall, compiled_kernel
from ...structs import LINE, NetSpec, Samples, TrainConfig, TrainState, aligned_zeros
from ..workspace import FAR_CYCLES, BatchWorkspace, LayerwiseWorkspace
from .affinity import pin_away, unpin

LASTING = (
    NetSpec,
    Samples,
    TrainConfig,
    TrainState,
    LayerwiseWorkspace,
    BatchWorkspace,
)  # what calls and ranks share, in most of them
AWAKE = 0.001  # seconds for which a processor that has nothing to do is still at hand


def _serve(work: SimpleQueue) -> None:
    """What the thread of a rank does. It does not know the team, which ends when nobody has it any more.

    A task is (function, words, processors allowed, the queue that is told of its end).
    """
    while (task := work.get()) is not None:
        function, words, allowed, done = task
        try:
            unpin(allowed)
            function(words)
            done.put(None)
        except BaseException as error:
            done.put(error)


def _nothing(words: bytes) -> None:
    """A task that shows that those before it are over."""


class ThreadTeam:
    """`with ThreadTeam(n) as team: team.run(kernel, kind, *arguments)` runs the kernel on n ranks.

    kind : what the types of the arguments follow from, as entry.entry takes it
    """

    def __init__(self, n_ranks: int):
        self.n_ranks = n_ranks
        self._barrier = aligned_zeros(2 * LINE // 8, np.int64)[:2]
        self.forget()
        self._work: list[SimpleQueue] = [SimpleQueue() for _ in range(n_ranks - 1)]
        self._done: SimpleQueue = SimpleQueue()
        self._at_work: list[SimpleQueue] = []  # of the ranks that may be, while a call is under way
        # A threading.Thread would be waited for until it runs.
        self._threads = [start_new_thread(_serve, (queue,)) for queue in self._work]
        self._at_rest = -inf  # since when

    def forget(self) -> None:
        """Keep no array of an earlier call alive."""
        self._words = ArgumentPacker(LASTING)

    def forget_data(self) -> None:
        """Keep no samples alive, but what does not change with them."""
        self._words.forget(Samples)

    def are_far(self) -> bool:
        """Whether two ranks have processors that share no cache, now."""
        cycles = np.array([FAR_CYCLES], np.int64)
        self.run("cpu.threads.shared_cache.measure_barrier_cycles", np.dtype(np.int64), cycles, n_ranks=2)
        return bool(cycles[0] >= FAR_CYCLES)

    def run(self, kernel, kind, *arguments, n_ranks: int | None = None) -> None:
        """Run on the first n_ranks ranks, on all if it is None.

        An exception, such as KeyboardInterrupt, leaves no rank waiting.
        """
        self.run_each(kernel, kind, [arguments] * (n_ranks or self.n_ranks))

    def again(self, kernel, kind, arguments: tuple, new: tuple[np.ndarray, ...]) -> PreparedCall:
        """What runs on one rank with these arguments, but for other arrays in the places of `new`."""
        return PreparedCall(kernel, kind, (0, 1, self._barrier, *arguments), new)

    def run_each(self, kernel, kind, arguments_of_ranks: list[tuple]) -> None:
        """Run on as many ranks as there are tuples of arguments, of equal types, each rank with its own."""
        n_ranks = len(arguments_of_ranks)
        # Compiled, or loaded from the cache, before any rank can wait for another.
        arguments = [(rank, n_ranks, self._barrier, *own) for rank, own in enumerate(arguments_of_ranks)]
        _, function, pack = compiled_kernel(kernel, kind, arguments[0])
        if n_ranks == 1:
            function(pack(*self._words(arguments[0])))
            return
        if self._at_work:  # after a call that was interrupted twice
            self._settle()
        workers = self._work[: n_ranks - 1]
        self._barrier[:] = 0
        one_call = ArgumentPacker(LASTING)  # ranks share most of their named tuples
        words = [pack(*one_call(own)) for own in arguments]
        late = perf_counter() - self._at_rest > AWAKE
        allowed = pin_away(self._threads[: n_ranks - 1]) if late else None
        done, self._at_work = self._done, workers
        try:
            for queue, own in zip(workers, words[1:], strict=True):
                queue.put((function, own, allowed, done))
            function(words[0])
            errors = [done.get() for _ in workers]
            self._at_work = []
        except BaseException:
            self._settle()
            raise
        self._at_rest = perf_counter()
        for error in errors:
            if error is not None:
                raise error

    def _settle(self) -> None:
        """Wait until no rank is at work, however far a call had come.

        Which of them had a task already, and whose end has been noted, cannot be told for certain: the interruption may
        lie between a step and the note of it. So each gets one task more, after whose end it has no other one.
        """
        with interrupts.deferred():
            self._barrier[1] = 1  # ranks that wait for the first meeting leave
            self._done = done = SimpleQueue()  # the old one may yet be told of ends that nobody asks for
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
        """Let the threads go, which are not at work then."""
        if self._at_work:
            self._settle()
        self._let_go()

    def _let_go(self) -> None:
        for queue in self._work:
            queue.put(None)
        self._work = []
