"""Choice of the device by "auto" on a machine with a GPU."""

import sys
from math import inf

import numpy as np
import pytest
from cuda_cases import follow, reference_of
from executor_cases import InPlace

from fastmlp import MLP, SGD, LevenbergMarquardt, Population
from fastmlp.devices import resolve
from fastmlp.runtime.auto_device import WORK_FOR_GPU, WorkForGpu

SIZES = (3, 5, 2)
ONE = 20 * (3 * (3 * 5 + 5 * 2) - 3 * 5)  # multiply-adds of a step of one net, all samples at once


@pytest.fixture
def samples(rng):
    return rng.normal(size=(20, 3)), rng.normal(size=(20, 2))


@pytest.fixture
def thresholds(cuda, monkeypatch):
    """Return a function (total, at_once, in_one_launch) that sets the thresholds of "auto"."""
    devices = sys.modules["fastmlp.devices"]  # fastmlp.devices is the function
    return lambda *work: monkeypatch.setattr(devices, "WORK_FOR_GPU", WorkForGpu(*work))


TOTAL, AT_ONCE, LAUNCH = WORK_FOR_GPU


@pytest.mark.parametrize(
    "work, at_once, joined, name",
    [
        (TOTAL / 2, AT_ONCE, False, "cpu"),
        (TOTAL, AT_ONCE / 2, False, "cpu"),
        (2 * TOTAL, AT_ONCE, False, "cuda"),
        (TOTAL, TOTAL, False, "cuda"),
        (TOTAL, LAUNCH, False, "cpu"),
        (TOTAL, LAUNCH, True, "cuda"),
        (TOTAL, LAUNCH / 2, True, "cpu"),
    ],
)
def test_auto_decides_by_total_and_simultaneous_work(thresholds, work, at_once, joined, name):
    """Both the total work and the work at once count: ten tiny nets stay on the CPU, however long they train."""
    device = resolve("auto", work, at_once, joined)
    assert device.name == name
    assert f"{work:.1e} multiply-adds, {at_once:.1e} at once{' in one launch' * joined}; " in device.reason
    assert str(WORK_FOR_GPU) in device.reason


def test_auto_decides_for_each_fit(thresholds, samples):
    """A longer fit of the same net runs on the GPU; net.device shows the device and the reason."""
    X, y = samples
    net = MLP(SIZES, hidden_activation="tanh", device="auto", random_state=0)
    start = net.params.copy()
    thresholds(10.0 * ONE, ONE, inf)
    net.fit(X, y, epochs=9, optimizer=SGD(0.1), verbose=0)
    assert net.device.name == "cpu"
    assert "is chosen from" in net.device.reason
    net.params = start
    net.fit(X, y, epochs=10, optimizer=SGD(0.1), verbose=0)
    assert net.device.name == "cuda"
    assert "is chosen from" in net.device.reason
    reference = reference_of(net.network, start)
    follow(reference, X, y, SGD(0.1), epochs=10)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-5, atol=1e-6)
    net.fit(X, y, epochs=40, batch_size=10, verbose=0)
    assert net.device.name == "cpu", "half as much at once"


def test_second_order_rules_train_on_the_cpu_alone(thresholds, samples):
    X, y = samples
    thresholds(0.0, 0.0, 0.0)
    fit = {"epochs": 5, "optimizer": LevenbergMarquardt(), "verbose": 0}
    for made in (lambda device: MLP(SIZES, device=device), lambda device: Population(SIZES, 20, device=device)):
        nets = made("auto")
        nets.fit(X, y, **fit)
        assert (nets.device.name, nets.device.reason) == ("cpu", "LevenbergMarquardt trains on the CPU alone")
        with pytest.raises(ValueError, match="LevenbergMarquardt trains on the CPU alone, but the device is 'cuda'"):
            made("cuda").fit(X, y, **fit)
    nets.reset()
    alone = Population(SIZES, 20, device="cpu")
    alone.params = nets.params
    nets.fit(X, y, executor=InPlace(), **fit)  # whose workers have the GPU, too
    alone.fit(X, y, **fit)
    np.testing.assert_array_equal(nets.params, alone.params)


def test_auto_decides_by_launches_for_populations(thresholds, monkeypatch, samples):
    """Populations that train in one launch have a threshold of their own; others have that of a single net."""
    X, y = samples
    thresholds(10.0 * ONE, ONE, 10.0 * ONE)
    pop = Population(SIZES, 10, device="auto", random_state=0)
    pop.fit(X, y, epochs=1, verbose=0)
    assert pop.device.name == "cuda"
    assert "at once in one launch" in pop.device.reason
    thresholds(10.0 * ONE, ONE, 11.0 * ONE)
    pop.fit(X, y, epochs=2, verbose=0)
    assert pop.device.name == "cpu"
    monkeypatch.setattr("fastmlp.execution.thresholds.BLOCK_UP_TO_BYTES", 0)
    pop.fit(X, y, epochs=2, verbose=0)
    assert pop.device.name == "cuda", "step by step"
    assert "in one launch;" not in pop.device.reason
