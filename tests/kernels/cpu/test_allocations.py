"""Nothing is allocated between epochs: a call of 2,000 epochs allocates no more than a call of 2."""

import numpy as np
import pytest
from numba.core.registry import cpu_target
from numba.core.runtime import _nrt_python, rtsys

from fastmlp import MLP, Adam, Population
from fastmlp.kernels.cpu import backend

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 6)), RNG.integers(0, 3, 40)


@pytest.fixture
def allocations(monkeypatch):
    """(epochs or steps, arrays allocated) of each call of a training kernel."""
    rtsys.initialize(cpu_target.target_context)
    _nrt_python.memsys_enable_stats()
    found = []

    def counted(train):
        def call(*arguments):
            before = rtsys.get_allocation_stats().alloc
            train(*arguments)
            found.append((arguments[-1], rtsys.get_allocation_stats().alloc - before))

        return call

    for name in ("train", "train_nets"):
        monkeypatch.setattr(backend, name, counted(getattr(backend, name)))
    yield found
    _nrt_python.memsys_disable_stats()


@pytest.mark.parametrize("batch_size", [None, 8], ids=["full batch", "batches"])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("hidden", [(3,), (60, 40)], ids=["samples as lanes", "per layer"])
def test_one_net(allocations, hidden, dropout, batch_size):
    net = MLP((6, *hidden, 3), loss="softmax_cross_entropy", dropout=dropout, random_state=0)
    for epochs in (2, 2000):
        net.fit(X, Y, epochs=epochs, batch_size=batch_size, optimizer=Adam(clip_norm=1.0), verbose=0)
    assert max(steps for steps, _ in allocations) > 10 * min(steps for steps, _ in allocations)
    assert len({count for _, count in allocations}) == 1


@pytest.mark.parametrize("batch_size", [None, 8], ids=["full batch", "batches"])
@pytest.mark.parametrize("hidden", [(3,), (9, 8)], ids=["straight line", "lanes"])
def test_many_nets(allocations, hidden, batch_size, monkeypatch):
    pop = Population((6, *hidden, 3), 40, loss="softmax_cross_entropy", random_state=0)
    for first_call in (1e3, 1e9):  # few epochs in a call, then all of them
        monkeypatch.setattr("fastmlp.population_fit.FIRST_CALL", first_call)
        pop.fit(X, Y, epochs=300, batch_size=batch_size, verbose=0)
    assert max(epochs for epochs, _ in allocations) > 10 * min(epochs for epochs, _ in allocations)
    assert len({count for _, count in allocations}) == 1
