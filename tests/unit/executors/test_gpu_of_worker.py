"""Number of a worker among those of its machine, by which it takes a GPU; tests/cuda has the GPUs."""

import multiprocessing
import sys
from types import SimpleNamespace

import pytest
from executor_cases import number_among, process_pool

from fastmlp.executors.workers import number_of_worker


@pytest.mark.parametrize(
    ("name", "number"),
    [("MainProcess", 0), ("SpawnProcess-1", 0), ("LokyProcess-3", 2), ("ForkProcess-2:12", 11), ("Dask Worker", 0)],
)
def test_processes_are_numbered_by_their_names(name, number, monkeypatch):
    monkeypatch.setattr(multiprocessing.current_process(), "name", name)
    assert number_of_worker() == number


@pytest.mark.parametrize(("name", "number"), [(0, 0), (1, 1), ("gpu-2", 2), ("tcp://10.0.0.1:40331", 0)])
def test_workers_of_dask_are_numbered_by_their_names(name, number, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(get_worker=lambda: SimpleNamespace(name=name)))
    assert number_of_worker() == number


def test_processes_of_a_pool_have_numbers_of_their_own(tmp_path):
    with process_pool(2) as pool:
        found = [future.result() for future in [pool.submit(number_among, tmp_path, 2) for _ in range(2)]]
    assert abs(found[0] - found[1]) == 1
