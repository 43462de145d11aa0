"""Emulated streams, events and CUDA graphs.

By default, a stream runs an operation at once. Late streams, chosen by settings.late, run it as late as allowed: when
the program synchronises with the stream, or with another stream that waits for it.

    late = "all"     a copy reads host memory late, so that a buffer that is refilled too early shows
    late = "null"    other streams run ahead of the null stream, so that a copy that does not wait for kernels shows
"""

from __future__ import annotations

import threading
from collections import deque
from typing import ClassVar

from .state import LOCK, EmulatorError, counts, current, settings


class Event:
    """Emulated cupy.cuda.Event: a position in the queue of the stream that recorded it."""

    def __init__(self):
        self._stream, self._number = None, 0

    def record(self, stream=None):
        self._stream = get_current_stream() if stream is None else stream
        self._number = self._stream._asked

    @property
    def done(self) -> bool:
        return self._stream is None or self._stream._did >= self._number

    def synchronize(self):
        counts["synchronizations"] += 1
        self._wait()

    def _wait(self):
        if self._stream is not None:
            self._stream._run_to(self._number)


class Graph:
    """CUDA graph: the operations of a stream between begin_capture and end_capture."""

    def __init__(self, operations):
        self._operations = operations

    def launch(self, stream=None):
        counts["graph_launches"] += 1
        counts["launches from graphs"] += len(self._operations)
        for operation in self._operations:
            (stream or get_current_stream())._ask(operation)


class Stream:
    """Emulated cupy.cuda.Stream. The null stream and blocking streams wait for each other."""

    null: ClassVar[Stream]
    _all: ClassVar[dict[int, Stream]] = {}

    def __init__(self, null=False, non_blocking=False):
        self._queue, self._asked, self._did, self._captured, self._is_invalid = deque(), 0, 0, None, False
        self.is_non_blocking, self._stack = non_blocking, []
        self.ptr = 0 if null else id(self)
        Stream._all[self.ptr] = self

    def use(self):
        current.stream = self
        return self

    def __enter__(self):
        self._stack.append(get_current_stream())
        return self.use()

    def __exit__(self, *_):
        current.stream = self._stack.pop()

    @property
    def done(self) -> bool:
        return self._did == self._asked

    @property
    def _is_late(self) -> bool:
        return settings.late == "all" or (settings.late == "null" and self.ptr == 0)

    def synchronize(self):
        self._refuse_capture("synchronize")
        counts["synchronizations"] += 1
        self._run_to(self._asked)

    def record(self, event=None):
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event):
        stream, number = event._stream, event._number
        if stream is not None:
            self._ask(lambda: stream._run_to(number))

    def begin_capture(self, mode=None):
        if self.ptr == 0:
            raise EmulatorError("the null stream cannot be captured")
        self._captured, self._is_invalid = [], False
        _capturing.streams = [*getattr(_capturing, "streams", ()), self]

    def end_capture(self) -> Graph:
        operations, self._captured = self._captured, None
        _capturing.streams.remove(self)
        if self._is_invalid:
            raise EmulatorError("cudaErrorStreamCaptureInvalidated: an operation failed while the stream was captured")
        return Graph(operations)

    def is_capturing(self) -> bool:
        return self._captured is not None

    def _refuse_capture(self, what):
        if self._captured is not None:
            self._is_invalid = True
            raise EmulatorError(f"{what} while the stream is captured")

    def _ask(self, operation):
        """Run `operation` when all earlier operations of the stream are done; while capturing, record it."""
        with LOCK:  # threads share the null stream
            if self._captured is not None:
                self._captured.append(operation)
            elif not self._is_late and not self._queue:
                for other in self._others():
                    other._run_to(other._asked)
                self._asked += 1
                self._did += 1
                operation()
            else:
                for other in self._others():
                    other_number = other._asked
                    self._put(lambda other=other, number=other_number: other._run_to(number))
                self._put(operation)

    def _put(self, operation):
        self._asked += 1
        self._queue.append(operation)

    def _others(self):
        if self.ptr == 0:
            return [s for s in Stream._all.values() if s is not self and not s.is_non_blocking and s._queue]
        return [] if self.is_non_blocking or not Stream.null._queue else [Stream.null]

    def _run_to(self, number):
        with LOCK:
            while self._did < number:
                self._did += 1
                self._queue.popleft()()

    def _drain(self):
        """Run all pending operations, before an operation that runs at once."""
        self._refuse_capture("an operation that is no kernel launch or copy")
        for other in self._others():
            other._run_to(other._asked)
        self._run_to(self._asked)


_capturing = threading.local()  # .streams: the streams that this thread captures
Stream.null = Stream(null=True)


def is_anyone_capturing() -> bool:
    return bool(getattr(_capturing, "streams", ()))


def refuse_capture(what: str) -> None:
    """Raise an error if this thread captures a stream, in which `what` is not allowed."""
    for stream in getattr(_capturing, "streams", ()):
        stream._refuse_capture(what)


def get_current_stream(device_id=-1) -> Stream:
    return getattr(current, "stream", Stream.null)


def stream_at(ptr: int) -> Stream:
    return Stream._all[ptr]


def is_busy() -> bool:
    return any(stream._queue for stream in list(Stream._all.values()))


def forget_all() -> None:
    """Remove all streams, and empty the null stream."""
    Stream.null.__init__(null=True)
    vars(_capturing).clear()
    Stream._all.clear()
    Stream._all[0] = Stream.null


def drain_all() -> None:
    for stream in list(Stream._all.values()):
        stream._run_to(stream._asked)
