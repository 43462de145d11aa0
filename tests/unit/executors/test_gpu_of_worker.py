"""Number of a worker among those of its machine, by which it takes a GPU; tests/cuda has the GPUs."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import pytest
from executor_cases import number_among, process_pool

from fastmlp.devices import Device
from fastmlp.executors import gpu_of_worker
from fastmlp.executors.gpu_of_worker import Numbers, as_worker, device_here


@pytest.mark.parametrize(
    "name, number",
    [("MainProcess", 0), ("SpawnProcess-1", 0), ("LokyProcess-3", 2), ("ForkProcess-2:12", 11), ("Dask Worker", 0)],
)
def test_processes_are_numbered_by_their_names(name, number, monkeypatch):
    monkeypatch.setattr(multiprocessing.current_process(), "name", name)
    assert Numbers().here() == number


@pytest.mark.slow
def test_processes_of_a_pool_have_numbers_of_their_own(tmp_path):
    with process_pool(2) as pool:
        found = [future.result() for future in [pool.submit(number_among, tmp_path, 2) for _ in range(2)]]
    assert abs(found[0] - found[1]) == 1


def test_the_number_holds_in_the_thread_of_the_task_alone(monkeypatch):
    monkeypatch.setattr(gpu_of_worker, "device_of_worker", lambda device, number: number)
    device = Device("cpu", "as requested")
    with as_worker(3), ThreadPoolExecutor(1) as other:
        assert device_here(device) == 3
        assert other.submit(device_here, device).result() == 0
        with as_worker(1):
            assert device_here(device) == 1
        assert device_here(device) == 3
    assert device_here(device) == 0
