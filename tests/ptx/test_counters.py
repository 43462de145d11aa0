"""Warp instructions and wavefronts of shared memory of a step, counted in the compiled kernels.

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

pytestmark = [pytest.mark.ptx, pytest.mark.usefixtures("with_nvrtc")]

COUNTED_WITH = "13.5"
LARGEST_CHANGE = 0.03


def samples(sizes, batch_size):
    rng = np.random.default_rng(0)
    return rng.normal(size=(batch_size, sizes[0])).astype(np.float32), rng.integers(0, sizes[-1], batch_size)


SETTINGS = {"loss": "softmax_cross_entropy", "device": "cuda", "random_state": 0}


def fit_net(n_steps, sizes, batch_size, precision="exact"):
    """Train a net for some steps of Adam, each on all samples."""
    net = MLP(sizes, precision=precision, **SETTINGS)
    net.fit(*samples(sizes, batch_size), epochs=n_steps, optimizer="adam", verbose=0)


def fit_nets(n_steps, sizes, n_nets, batch_size):
    """The same for a population."""
    population = Population(sizes, n_nets, **SETTINGS)
    population.fit(*samples(sizes, batch_size), epochs=n_steps, optimizer="adam", verbose=0)


def fit_xor(n_steps):
    """The same for 128 nets, one per thread."""
    population = Population((2, 2, 1), 128, hidden_activation="tanh", device="cuda", random_state=0)
    population.fit(XOR_X, XOR_Y, epochs=n_steps, optimizer="adam", verbose=0)


class Work(NamedTuple):
    """A fit whose second step is counted, and the kernel by which it must be trained.

    fit : function of a number of steps
    """

    fit: Callable[[int], None]
    kernel: str
    wavefronts: int
    instructions: int


WORKS = {
    "thread 2-2-1": Work(fit_xor, "train_nets", 0, 1_786),
    "block 64-64-32-10, batch 32": Work(
        partial(fit_net, sizes=(64, 64, 32, 10), batch_size=32), "train_nets", 12_310, 37_235
    ),
    "block 64-100-10, batch 64": Work(
        partial(fit_net, sizes=(64, 100, 10), batch_size=64), "train_nets", 21_310, 72_318
    ),
    "batched 3 x 20-100-100-3, batch 32": Work(
        partial(fit_nets, sizes=(20, 100, 100, 3), n_nets=3, batch_size=32), "step_settings", 420, 187_803
    ),
    "layerwise 64-150-150-10, batch 64": Work(
        partial(fit_net, sizes=(64, 150, 150, 10), batch_size=64), "activate", 442, 209_334
    ),
    "tensor cores 64-64-64-64-64-16, batch 64": Work(
        partial(fit_net, sizes=(64, 64, 64, 64, 64, 16), batch_size=64, precision="bfloat16"),
        "narrow_gradient",
        8_408,
        292_580,
    ),
}


def counts_of(fit, n_steps):
    counters = Counters()
    with running(counters):
        fit(n_steps)
    return counters


@pytest.mark.parametrize("work", WORKS)
def test_step_costs_as_counted(work, emulated_cuda):
    if nvrtc.version() != COUNTED_WITH:
        pytest.skip(f"the table was counted with NVRTC {COUNTED_WITH}; this is {nvrtc.version()}")
    fit, kernel, *expected = WORKS[work]
    before, after = counts_of(fit, 1), counts_of(fit, 2)
    assert after.kernels[kernel]["instructions"] > before.kernels[kernel]["instructions"]
    found = [after.total(what) - before.total(what) for what in ("wavefronts", "instructions")]
    np.testing.assert_allclose(found, expected, rtol=LARGEST_CHANGE, err_msg=f"{work}: {found} instead of {expected}")
