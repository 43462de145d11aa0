"""Device memory: transfers of arrays, and errors if memory is insufficient."""

import gc
from types import SimpleNamespace

import numpy as np
import pytest
from cuda_cases import Place, sizes_moved

from fastmlp import MLP, SGD, Population
from fastmlp.kernels.structs import METRIC_NONE, NET_HYPER, Samples


@pytest.fixture
def memory(cuda):
    gc.collect()  # nets of earlier tests, which are in cycles with their histories, would count as used memory
    from fastmlp.kernels.cuda.runtime import device_memory

    return device_memory


def data_of(n, width=3, weighted=False):
    X, Y = np.arange(n * width, dtype=np.float32), np.ones(n, np.float32)
    return Samples(n, X, Y, weighted, np.ones(n if weighted else 0, np.float32), True, METRIC_NONE)


def test_arrays_round_trip_to_the_device(memory, cuda):
    array = np.arange(5.0)
    there = memory.to_device(array)
    assert memory.is_on_device(there)
    assert not memory.is_on_device(array)
    np.testing.assert_array_equal(memory.to_host(there), array)
    assert memory.to_host(array) is array


def test_device_arrays_are_not_copied(memory, cuda):
    there = cuda.zeros(3)
    assert memory.to_device(there) is there
    data = memory.device_data(memory.device_data(data_of(4)))
    again = memory.device_data(data)
    assert again.X is data.X
    assert again.Y is data.Y


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


@pytest.mark.full
@pytest.mark.thinned(4)
@pytest.mark.parametrize("name", ["thread", "block", "batched", "layers"])
def test_large_arrays_are_never_sent_through_pinned_memory(memory, cuda, monkeypatch, name, rng):
    """Samples and parameters, in fits, evaluations and predictions."""
    Place(name, monkeypatch)
    monkeypatch.setattr(memory, "MOST_PINNED", 0)  # all are large
    moved = sizes_moved(cuda, monkeypatch)
    n_nets = 150 if name == "thread" else 3
    X, y = rng.normal(size=(50, 3)).astype(np.float32), rng.normal(size=(50, 2)).astype(np.float32)
    nets = [MLP((3, 5, 2), device="cuda"), Population((3, 5, 2), n_nets, device="cuda")]
    for net in nets:
        net.fit(X, y, epochs=1, optimizer=SGD(np.full(n_nets, 0.1) if net is nets[1] else 0.1), verbose=0)
        net.evaluate(X, y)
        net.predict(X)
    large = {X.size, y.size, nets[0].padded_params.size, nets[1].params.size, n_nets * len(NET_HYPER)}
    assert not large & set(moved)


def test_samples_that_fit_are_moved_to_the_device(memory, emulated_cuda):
    with emulated_cuda.counting() as n:
        data = memory.device_data(data_of(8, weighted=True))
    assert n["host_to_device"] == 3
    assert all(memory.is_on_device(array) for array in (data.X, data.Y, data.weight))
    np.testing.assert_array_equal(data.X.get(), np.arange(24))


def test_samples_that_do_not_fit_stay_on_the_host(memory, emulated_cuda):
    """Inputs, targets and weights count towards the memory."""
    data = data_of(1000, weighted=True)  # 12,000 bytes, and twice 4,000
    emulated_cuda.settings.limit = 28_000  # of which 0.7 are 19,600
    assert not memory.fits(data)
    assert memory.device_data(data) is data
    emulated_cuda.settings.limit = 29_000
    assert memory.fits(data)
    assert all(map(memory.is_on_device, (lambda d: (d.X, d.Y, d.weight))(memory.device_data(data))))


@pytest.mark.full
def test_inputs_of_the_device_always_fit(memory, emulated_cuda, cuda):
    data = data_of(1000)._replace(X=cuda.zeros(3000, "float32"))
    emulated_cuda.settings.limit = 17_000
    assert memory.fits(data)
    assert memory.device_data(data).X is data.X


def test_out_of_memory_raises_a_readable_error(memory, emulated_cuda):
    from fastmlp.kernels.cuda import backend

    emulated_cuda.settings.limit = 1000
    wanted = r"no room for an array: 8,000 bytes are wanted, 1,000 of 1,000 are free\. Lower batch_size, take fewer"
    with pytest.raises(MemoryError, match=wanted), backend.on(0):
        memory.to_device(np.zeros(1000))
    with (
        pytest.raises(MemoryError, match=r"no room for a thing: about 5,000 bytes.*Lower it\.$") as caught,
        memory.checked_allocation("a thing", 5000, "Lower it."),
    ):
        memory.cupy.empty(5000, np.uint8)
    assert type(caught.value) is MemoryError
    assert isinstance(caught.value.__cause__, memory.cupy.cuda.memory.OutOfMemoryError)


@pytest.mark.thinned(4)
@pytest.mark.parametrize(
    "limit, wanted", [(0, (70 + 20, 100)), (60, (60 - 10, 60)), (95, (95 - 10, 95)), (200, (90, 100))]
)
def test_free_memory_counts_pool_and_limit(memory, monkeypatch, limit, wanted):
    """100 bytes, of which the pool holds 30: 10 in use and 20 free for the next array."""
    pool = SimpleNamespace(free_bytes=lambda: 20, used_bytes=lambda: 10, get_limit=lambda: limit)
    monkeypatch.setattr(memory.cupy, "get_default_memory_pool", lambda: pool)
    monkeypatch.setattr(memory.cupy.cuda, "Device", lambda: SimpleNamespace(mem_info=(70, 100)))
    assert memory.free_memory() == wanted


def test_other_exceptions_propagate(memory):
    with pytest.raises(ZeroDivisionError), memory.checked_allocation("a thing", 5, ""):
        raise ZeroDivisionError
