"""Warp instructions and wavefronts of shared memory of fits of one step, counted in the compiled kernels.

They include what a fit loads, stores and prepares once. A step by itself is the difference of two fits.

A change that costs a kernel more of either fails here; one that saves some changes the table, too, so that the gain
stays (bench/log/README.md#gpu-ptx-counts). Counts depend on the compiler: the table is that of one version of NVRTC.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from cuda_emulator import nvrtc
from ptx_interpreter import Counters, running
from toy_data import XOR_X, XOR_Y

from fastmlp import MLP, Population

pytestmark = [pytest.mark.ptx, pytest.mark.full, pytest.mark.usefixtures("with_nvrtc")]

COUNTED_WITH = "13.5"
LARGEST_CHANGE = 0.03


def samples(sizes, batch_size):
    rng = np.random.default_rng(0)
    return rng.normal(size=(batch_size, sizes[0])).astype(np.float32), rng.integers(0, sizes[-1], batch_size)


SETTINGS = {"loss": "softmax_cross_entropy", "device": "cuda", "random_state": 0}


def fit_net(sizes, batch_size, precision="exact"):
    """Train a net for a step of Adam on all samples."""
    net = MLP(sizes, precision=precision, **SETTINGS)
    net.fit(*samples(sizes, batch_size), epochs=1, optimizer="adam", verbose=0)


def fit_nets(sizes, n_nets, batch_size):
    """The same for a population."""
    population = Population(sizes, n_nets, **SETTINGS)
    population.fit(*samples(sizes, batch_size), epochs=1, optimizer="adam", verbose=0)


def fit_xor():
    """The same for 128 nets, one per thread."""
    population = Population((2, 2, 1), 128, hidden_activation="tanh", device="cuda", random_state=0)
    population.fit(XOR_X, XOR_Y, epochs=1, optimizer="adam", verbose=0)


class Work(NamedTuple):
    """A fit of one step, and the kernel by which it must be trained."""

    fit: Callable[[], None]
    kernel: str
    wavefronts: int
    instructions: int


WORKS = {
    "thread 2-2-1": Work(fit_xor, "train_nets", 0, 2_974),
    "block 64-64-32-10, batch 32": Work(
        partial(fit_net, sizes=(64, 64, 32, 10), batch_size=32), "train_nets", 14_028, 46_575
    ),
    "block 64-100-10, batch 64": Work(
        partial(fit_net, sizes=(64, 100, 10), batch_size=64), "train_nets", 23_262, 82_434
    ),
    "batched 3 x 20-100-100-3, batch 32": Work(
        partial(fit_nets, sizes=(20, 100, 100, 3), n_nets=3, batch_size=32), "step_settings", 1_575, 205_723
    ),
    "layerwise 64-150-150-10, batch 64": Work(
        partial(fit_net, sizes=(64, 150, 150, 10), batch_size=64), "activate", 640, 185_289
    ),
    "tensor cores 64-64-64-64-64-16, batch 64": Work(
        partial(fit_net, sizes=(64, 64, 64, 64, 64, 16), batch_size=64, precision="bfloat16"),
        "narrow_gradient",
        9_121,
        222_214,
    ),
}


@pytest.mark.parametrize("work", WORKS)
def test_step_costs_as_counted(work, emulated_cuda):
    if nvrtc.version() != COUNTED_WITH:
        pytest.skip(f"the table was counted with NVRTC {COUNTED_WITH}; this is {nvrtc.version()}")
    (fit, kernel, *expected), counters = WORKS[work], Counters()
    with running(counters):
        fit()
    assert counters.kernels[kernel]["instructions"]
    found = [counters.total(what) for what in ("wavefronts", "instructions")]
    np.testing.assert_allclose(found, expected, rtol=LARGEST_CHANGE, err_msg=f"{work}: {found} instead of {expected}")
