"""CUDA graphs: identical steps are captured once and replayed, one driver call for many launches.

A graph contains only addresses and numbers. Anything that differs between two runs with the same key must be in device
memory, and the caller of a replay keeps the arrays alive. Steps that cannot be captured are always launched one by one.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import suppress

import cupy

LONG_RUN = 16  # steps in one graph; a remainder is replayed step by step
# Steps that are launched one by one first. They load kernels and let libraries choose their algorithms, which is not
# allowed during capture. Recording a graph costs as much as launching its steps several times.
WARM_UP_STEPS = 3
MOST_GRAPHS = 8
failures: list[str] = []  # error messages of failed captures in this process


def is_wanted() -> bool:
    return os.environ.get("FASTMLP_CUDA_GRAPHS", "1") != "0"


class GraphCache:
    """Runs of identical steps on the current stream, replayed as graphs where possible."""

    def __init__(self):
        self._graphs: dict[tuple[Hashable, int], cupy.cuda.Graph] = {}
        self._launched: Counter[Hashable] = Counter()
        self._fails = False
        self._stream: cupy.cuda.Stream | None = None

    def run(self, key: Hashable, n: int, launch_step: Callable[[], None]) -> None:
        """Run n steps.

        key : identifies steps that launch_step launches with the same addresses, numbers and kernels
        launch_step : launches one step
        """
        while n:
            length = LONG_RUN if n >= LONG_RUN else 1
            if self._launched[key] >= WARM_UP_STEPS and self._replayed(key, length, launch_step):
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
                # One stream for the lifetime of this object: cuBLAS stores its address.
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
    """Return the graph of the launches in `launch`, which are captured and not executed.

    stream : current stream during the capture; the null stream cannot be captured
    """
    with stream:
        stream.begin_capture()
        try:
            launch()
        except BaseException:
            # The error has also ended the capture, and end_capture raises again.
            with suppress(Exception):
                stream.end_capture()
            raise
        return stream.end_capture()
