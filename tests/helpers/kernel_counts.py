"""Warp instructions and wavefronts of shared memory of fits of one step, counted in the compiled kernels.

    python tests/helpers/kernel_counts.py        counts again, and writes tests/ptx/kernel_counts.json

They include what a fit loads, stores and prepares once. A step by itself is the difference of two fits. Counts depend
on the compiler: the table names the version of NVRTC that it is of.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple
from unittest import mock

TESTS = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(TESTS.parent / "src"), str(TESTS), str(TESTS / "helpers")]

import numpy as np  # noqa: E402
from cuda_emulator import nvrtc  # noqa: E402
from ptx_interpreter import Counters, running  # noqa: E402
from toy_data import XOR_X, XOR_Y  # noqa: E402

from fastmlp import MLP, Population  # noqa: E402
from fastmlp.execution.gpu_costs import BY_LAYERS  # noqa: E402

TABLE = TESTS / "ptx" / "kernel_counts.json"
COUNTED = "instructions", "wavefronts"
SETTINGS = {"loss": "softmax_cross_entropy", "device": "cuda", "random_state": 0}


def samples(sizes, batch_size):
    rng = np.random.default_rng(0)
    return rng.normal(size=(batch_size, sizes[0])).astype(np.float32), rng.integers(0, sizes[-1], batch_size)


def fit_net(sizes, batch_size, precision="exact"):
    """Train a net for a step of Adam on all samples."""
    net = MLP(sizes, precision=precision, **SETTINGS)
    net.fit(*samples(sizes, batch_size), epochs=1, optimizer="adam", verbose=0)


def fit_by_layers(sizes, batch_size):
    """The same for a net that a block could train."""
    with mock.patch("fastmlp.execution.gpu_costs.ESTIMATED_COSTS", BY_LAYERS):
        fit_net(sizes, batch_size)


def fit_in_workspace(sizes, batch_size):
    """The same for a net in global memory, which shared memory has no room for."""
    with mock.patch("fastmlp.kernels.cuda.single_net.small_net.shared_limit", return_value=0):
        fit_net(sizes, batch_size)


def fit_nets(sizes, n_nets, batch_size, precision="exact"):
    """The same for a population."""
    population = Population(sizes, n_nets, precision=precision, **SETTINGS)
    population.fit(*samples(sizes, batch_size), epochs=1, optimizer="adam", verbose=0)


def fit_xor():
    """The same for 128 nets, one per thread."""
    population = Population((2, 2, 1), 128, hidden_activation="tanh", device="cuda", random_state=0)
    population.fit(XOR_X, XOR_Y, epochs=1, optimizer="adam", verbose=0)


class Work(NamedTuple):
    """A fit of one step, and a kernel by which its nets must be trained."""

    fit: Callable[[], None]
    kernel: str


def work(fit, kernel, **settings):
    return Work(partial(fit, **settings), kernel)


WORKS = {
    "thread 2-2-1": work(fit_xor, "train_nets"),
    "block 64-64-32-10, batch 32": work(fit_net, "train_nets", sizes=(64, 64, 32, 10), batch_size=32),
    "block 64-100-10, batch 64": work(fit_net, "train_nets", sizes=(64, 100, 10), batch_size=64),
    "workspace 64-32-10, batch 32": work(fit_in_workspace, "train_nets", sizes=(64, 32, 10), batch_size=32),
    "batched 3 x 20-100-100-3, batch 32": work(
        fit_nets, "step_settings", sizes=(20, 100, 100, 3), n_nets=3, batch_size=32
    ),
    "batched 3 x 20-100-100-3, batch 32, bfloat16": work(
        fit_nets, "step_settings", sizes=(20, 100, 100, 3), n_nets=3, batch_size=32, precision="bfloat16"
    ),
    "layerwise 64-150-150-10, batch 64": work(fit_net, "activate", sizes=(64, 150, 150, 10), batch_size=64),
    "layerwise 64-150-150-10, batch 64, bfloat16": work(
        fit_net, "round_weights", sizes=(64, 150, 150, 10), batch_size=64, precision="bfloat16"
    ),
    "layerwise 20-40-130, batch 64": work(fit_by_layers, "activate", sizes=(20, 40, 130), batch_size=64),
}


def count(name: str) -> dict[str, dict[str, int]]:
    """Return {kernel: {"instructions": ..., "wavefronts": ...}} of a work; inside cuda_emulator.installed()."""
    counters = Counters()
    with running(counters):
        WORKS[name].fit()
    counters.kernels.pop("probe", None)  # of devices.py, once in a process
    return {kernel: {what: counts[what] for what in COUNTED} for kernel, counts in sorted(counters.kernels.items())}


def table() -> dict:
    """Return {"nvrtc": version, "works": {work: counts of its kernels}} as they were counted last."""
    return json.loads(TABLE.read_text())


def write() -> None:
    """Count every work again, and write the table, with a line for each kernel."""
    lines = [f'{{"nvrtc": "{nvrtc.version()}", "works": {{']
    for name in WORKS:
        kernels = [f"  {json.dumps(kernel)}: {json.dumps(counts)}" for kernel, counts in count(name).items()]
        lines += [f" {json.dumps(name)}: {{", ",\n".join(kernels), " }" + ("," if name != [*WORKS][-1] else "")]
    TABLE.write_text("\n".join([*lines, "}}"]) + "\n")


if __name__ == "__main__":
    import cuda_emulator

    with cuda_emulator.installed():
        write()
