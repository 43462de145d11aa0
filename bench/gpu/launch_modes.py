"""Ways to launch the steps of a fit: as CUDA graphs, kernel by kernel, layer by layer; and whether graphs were used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fastmlp.execution.dispatch

# A step of a small net takes several times as long layer by layer; so many times fewer epochs of it do.
FEWER_BY_LAYERS = 8


def reason(error: BaseException) -> str:
    """On one line of a table."""
    return f"{type(error).__name__}: {error}".replace("|", "/").split("\n")[0][:200]


@contextmanager
def launched(graphs: bool, by_layers: bool) -> Iterator[None]:
    """Within, fits replay their steps as graphs or launch them one by one, and small nets are trained as large ones."""
    before = os.environ.get("FASTMLP_CUDA_GRAPHS"), fastmlp.execution.dispatch.BLOCK_UP_TO_PARAMS
    os.environ["FASTMLP_CUDA_GRAPHS"] = str(int(graphs))
    if by_layers:
        fastmlp.execution.dispatch.BLOCK_UP_TO_PARAMS = -1
    try:
        yield
    finally:
        os.environ.pop("FASTMLP_CUDA_GRAPHS")
        if before[0] is not None:
            os.environ["FASTMLP_CUDA_GRAPHS"] = before[0]
        fastmlp.execution.dispatch.BLOCK_UP_TO_PARAMS = before[1]


def ways(fit: Callable[[int], Any], epochs: int, family: str) -> dict[str, tuple[Callable[[], None], int]]:
    """{name: (run, epochs of a run)} of our fit(epochs) as it is, and with what shows the overhead of a step's
    launches: without graphs, and, for a net that a block trains by itself, layer by layer.
    """

    def within(graphs: bool, by_layers: bool) -> tuple[Callable[[], None], int]:
        n = max(1, epochs // FEWER_BY_LAYERS) if by_layers else epochs

        def run() -> None:
            with launched(graphs, by_layers):
                fit(n)

        return run, n

    found = {"fastmlp": within(True, False)}
    if family == "small_net":
        found["fastmlp, by layers"] = within(True, True)
    name = "fastmlp, by layers, no graphs" if family == "small_net" else "fastmlp, no graphs"
    return found | {name: within(False, family == "small_net")}


def graphs_of(run: Callable[[], Any]) -> str:
    """Runs it, and says whether steps were replayed as graphs, or why not: where recording fails, a fit goes on without
    a word, launch by launch.
    """
    from fastmlp.kernels.cuda.runtime import cuda_graphs

    record, n_recorded = cuda_graphs.record, 0

    def watched(*job: Any) -> Any:
        nonlocal n_recorded
        graph = record(*job)
        n_recorded += 1
        return graph

    cuda_graphs.failures.clear()

    cuda_graphs.record = watched
    try:
        run()
    finally:
        cuda_graphs.record = record
    if cuda_graphs.failures:
        return f"launched one by one: {cuda_graphs.failures[-1]}"
    return f"replayed, {n_recorded} recorded" if n_recorded else "none recorded"


def graphs_of_ways(found: dict[str, tuple[Callable[[], None], int]]) -> dict[str, str]:
    """{note: text} of those that may replay graphs."""
    return {f"graphs of {name}": graphs_of(run) for name, (run, _) in found.items() if not name.endswith("no graphs")}
