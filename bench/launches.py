"""A fit of ours in several ways that differ in how a step is launched, for bench/gpu.py."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fastmlp.plan


@contextmanager
def launched(graphs: bool, by_layers: bool) -> Iterator[None]:
    """Within, fits replay their steps as graphs or launch them one by one, and small nets are trained as large ones."""
    before = os.environ.get("FASTMLP_CUDA_GRAPHS"), fastmlp.plan.BLOCK_UP_TO_PARAMS
    os.environ["FASTMLP_CUDA_GRAPHS"] = str(int(graphs))
    if by_layers:
        fastmlp.plan.BLOCK_UP_TO_PARAMS = -1
    try:
        yield
    finally:
        os.environ.pop("FASTMLP_CUDA_GRAPHS")
        if before[0] is not None:
            os.environ["FASTMLP_CUDA_GRAPHS"] = before[0]
        fastmlp.plan.BLOCK_UP_TO_PARAMS = before[1]


def ways(fit: Callable[[], Any], family: str) -> dict[str, Callable[[], None]]:
    """Our fit as it is, and with what shows the overhead of a step's launches: without graphs, and, for a net that a
    block trains by itself, layer by layer.
    """

    def within(graphs: bool, by_layers: bool) -> Callable[[], None]:
        def run() -> None:
            with launched(graphs, by_layers):
                fit()

        return run

    found = {"fastmlp": within(True, False)}
    if family == "per_net":
        found["fastmlp, by layers"] = within(True, True)
    name = "fastmlp, by layers, no graphs" if family == "per_net" else "fastmlp, no graphs"
    return found | {name: within(False, family == "per_net")}
