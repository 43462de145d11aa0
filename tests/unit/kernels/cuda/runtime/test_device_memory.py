"""Device memory: transfers of arrays, and errors if memory is insufficient."""

import gc
from types import SimpleNamespace

import numpy as np
import pytest
from cuda_cases import sizes_moved

from fastmlp import SGD, Population
from fastmlp.kernels.structs import METRIC_NONE, NET_HYPER, Samples


@pytest.fixture
def memory(cuda):
    gc.collect()  # nets of earlier tests, which are in cycles with their histories, would count as used memory
    from fastmlp.kernels.cuda.runtime import device_memory

    return device_memory


def test_large_arrays_use_no_pinned_memory(memory, emulated_cuda, monkeypatch):
    """Large arrays are copied directly, and may be overwritten by the caller when the copy returns."""
    monkeypatch.setattr(memory, "MOST_PINNED", 800)
    emulated_cuda.settings.late = "all"
    for n, n_bytes in ((100, 800), (101, 0)):
        array = np.arange(float(n))
        with emulated_cuda.counting() as counts:
            there = memory.to_device(array)
        assert (counts["host_to_device"], counts["bytes_by_pinned_memory"]) == (1, n_bytes)
        array[:] = -1.0
        np.testing.assert_array_equal(there.get(), np.arange(n))


def test_large_arrays_of_fits_are_never_sent_through_pinned_memory(place, memory, cuda, monkeypatch, rng):
    """Samples and parameters, in fits, evaluations and predictions."""
    monkeypatch.setattr(memory, "MOST_PINNED", 0)  # all are large
    moved, nets = sizes_moved(cuda, monkeypatch), Population((3, 5, 2), place.n, device="cuda")
    X, y = rng.normal(size=(50, 3)).astype(np.float32), rng.normal(size=(50, 2)).astype(np.float32)
    nets.fit(X, y, epochs=1, optimizer=SGD(np.full(place.n, 0.1)), verbose=0)
    nets.evaluate(X, y)
    nets.predict(X)
    assert not {X.size, y.size, nets.params.size, place.n * len(NET_HYPER)} & set(moved)


@pytest.mark.parametrize("is_there", [False, True])
def test_samples_that_do_not_fit_stay_on_the_host(memory, emulated_cuda, cuda, is_there):
    """Inputs of 12,000 bytes, and targets and weights of 4,000 each, may take 0.7 of the memory."""
    X, Y = np.arange(3000, dtype=np.float32), np.ones(1000, np.float32)
    data = Samples(1000, cuda.asarray(X) if is_there else X, Y, True, Y, True, METRIC_NONE)
    emulated_cuda.settings.limit = 28_000  # of which 0.7 are 19,600
    assert memory.fits(data) == is_there
    if not is_there:
        assert memory.device_data(data) is data
        emulated_cuda.settings.limit = 29_000
    found = memory.device_data(data)
    assert all(map(memory.is_on_device, (found.X, found.Y, found.weight)))
    assert memory.device_data(found).X is found.X


def test_out_of_memory_raises_a_readable_error(memory, emulated_cuda):
    from fastmlp.kernels.cuda import backend

    emulated_cuda.settings.limit = 1000
    wanted = r"no room for an array: 8,000 bytes are wanted, 1,000 of 1,000 are free\. Lower batch_size, take fewer"
    with pytest.raises(MemoryError, match=wanted) as caught, backend.on(0):
        memory.to_device(np.zeros(1000))
    assert type(caught.value) is MemoryError


@pytest.mark.parametrize(
    "limit, wanted", [(0, (70 + 20, 100)), (60, (60 - 10, 60)), (95, (95 - 10, 95)), (200, (90, 100))]
)
def test_free_memory_counts_pool_and_limit(memory, monkeypatch, limit, wanted):
    """100 bytes, of which the pool holds 30: 10 in use and 20 free for the next array."""
    pool = SimpleNamespace(free_bytes=lambda: 20, used_bytes=lambda: 10, get_limit=lambda: limit)
    monkeypatch.setattr(memory.cupy, "get_default_memory_pool", lambda: pool)
    monkeypatch.setattr(memory.cupy.cuda, "Device", lambda: SimpleNamespace(mem_info=(70, 100)))
    assert memory.free_memory() == wanted
