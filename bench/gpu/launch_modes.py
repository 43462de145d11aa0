"""Modes of launching the steps of a fit: as CUDA graphs, kernel by kernel, layer by layer; and a note on the graphs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fastmlp.execution.thresholds

# A step of a small net takes several times as long layer by layer, so its fit has this many times fewer epochs.
FEWER_LAYERWISE = 8


def one_line(error: BaseException) -> str:
    """The error on one line, without the separator of a table."""
    return f"{type(error).__name__}: {error}".replace("|", "/").split("\n")[0][:200]


@contextmanager
def launched(graphs: bool, layerwise: bool) -> Iterator[None]:
    """Within this context fits replay their steps as graphs, or launch them one by one.

    layerwise : train small nets with the kernels of large ones, too
    """
    previous = os.environ.get("FASTMLP_CUDA_GRAPHS"), fastmlp.execution.thresholds.BLOCK_UP_TO_PARAMS
    os.environ["FASTMLP_CUDA_GRAPHS"] = str(int(graphs))
    if layerwise:
        fastmlp.execution.thresholds.BLOCK_UP_TO_PARAMS = -1
    try:
        yield
    finally:
        os.environ.pop("FASTMLP_CUDA_GRAPHS")
        if previous[0] is not None:
            os.environ["FASTMLP_CUDA_GRAPHS"] = previous[0]
        fastmlp.execution.thresholds.BLOCK_UP_TO_PARAMS = previous[1]


def launch_modes(fit: Callable[[int], Any], epochs: int, family: str) -> dict[str, tuple[Callable[[], None], int]]:
    """{name: (run, epochs of a run)}: fastmlp's fit(epochs) as it is, and in modes that show the overhead of launches.

    These modes are without graphs and, for a net that a single block trains, layer by layer.
    """

    def launcher(graphs: bool, layerwise: bool) -> tuple[Callable[[], None], int]:
        n = max(1, epochs // FEWER_LAYERWISE) if layerwise else epochs

        def run() -> None:
            with launched(graphs, layerwise):
                fit(n)

        return run, n

    launchers = {"fastmlp": launcher(True, False)}
    if family == "small_net":
        launchers["fastmlp, by layers"] = launcher(True, True)
    name = "fastmlp, by layers, no graphs" if family == "small_net" else "fastmlp, no graphs"
    return launchers | {name: launcher(False, family == "small_net")}


def graph_note(run: Callable[[], Any]) -> str:
    """Run a fit, and say whether its steps were replayed as graphs, or why not.

    Where recording a graph fails, a fit silently goes on launch by launch.
    """
    from fastmlp.kernels.cuda.runtime import cuda_graphs

    record, n_recorded = cuda_graphs.record, 0

    def counting_record(*job: Any) -> Any:
        nonlocal n_recorded
        graph = record(*job)
        n_recorded += 1
        return graph

    cuda_graphs.failures.clear()

    cuda_graphs.record = counting_record
    try:
        run()
    finally:
        cuda_graphs.record = record
    if cuda_graphs.failures:
        return f"launched one by one: {cuda_graphs.failures[-1]}"
    return f"replayed, {n_recorded} recorded" if n_recorded else "none recorded"


def graph_notes(launchers: dict[str, tuple[Callable[[], None], int]]) -> dict[str, str]:
    """{name of the note: text} for the modes that may replay graphs."""
    return {
        f"graphs of {name}": graph_note(run) for name, (run, _) in launchers.items() if not name.endswith("no graphs")
    }
