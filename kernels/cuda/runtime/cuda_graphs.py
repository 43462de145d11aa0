"""Steps that are all alike are recorded once, as a CUDA graph, and replayed: one call of the driver for many launches.

A graph knows addresses and numbers, nothing else: whatever differs between two runs under one key has to lie in the
device's memory, and whoever replays keeps the arrays alive. What cannot be recorded is launched one by one, always.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import suppress

import cupy

LONG_RUN = 16  # steps of one graph; a rest of fewer is replayed step by step
# Steps that are launched one by one first: that loads kernels and lets libraries make their choices, which they must
# not do in capture, and recording a graph costs as much as launching its steps some times.
BEFORE = 3
MOST_GRAPHS = 8
failures: list[str] = []  # of recordings in this process: what the driver, a library or CuPy had against it


def is_wanted() -> bool:
    return os.environ.get("FASTMLP_CUDA_GRAPHS", "1") != "0"


class Replays:
    """Runs of like steps on the current stream."""

    def __init__(self):
        self._graphs: dict[tuple[Hashable, int], cupy.cuda.Graph] = {}
        self._launched: Counter[Hashable] = Counter()
        self._fails = False
        self._stream: cupy.cuda.Stream | None = None

    def run(self, key: Hashable, n: int, launch_step: Callable[[], None]) -> None:
        """n steps. key : tells apart steps that launch_step launches with other addresses, numbers or kernels."""
        while n:
            length = LONG_RUN if n >= LONG_RUN else 1
            if self._launched[key] >= BEFORE and self._replayed(key, length, launch_step):
                n -= length
            else:
                launch_step()
                self._launched[key] += 1
                n -= 1

    def _replayed(self, key: Hashable, length: int, launch_step: Callable[[], None]) -> bool:
        graph = self._graphs.get((key, length))
        if graph is None:
            if self._fails or not is_wanted():
                return False
            try:
                # One stream as long as this lives: cuBLAS remembers its address.
                self._stream = self._stream or cupy.cuda.Stream(non_blocking=True)
                graph = record(lambda: [launch_step() for _ in range(length)], self._stream)
                graph.launch()
            except Exception as error:  # nothing has been computed
                self._fails = True
                reason = f"{type(error).__name__}: {error}"
                failures.extend([reason] * (failures[-1:] != [reason]))
                return False
            if len(self._graphs) >= MOST_GRAPHS:
                self._graphs.clear()
            self._graphs[key, length] = graph
        else:
            graph.launch()
        return True


def record(launch: Callable[[], object], stream: cupy.cuda.Stream) -> cupy.cuda.Graph:
    """The graph of what `launch` launches on this stream, the current one for it; nothing of it runs. The null stream
    cannot be captured.
    """
    with stream:
        stream.begin_capture()
        try:
            launch()
        except BaseException:
            # An error has ended the capture too, and says so once more.
            with suppress(Exception):
                stream.end_capture()
            raise
        return stream.end_capture()
