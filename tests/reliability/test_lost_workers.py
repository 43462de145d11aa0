"""Workers of an executor that are killed: others do their tasks, to the same bits, or a clear error ends the fit."""

import threading
import time

import numpy as np
import pytest
from executor_cases import KillsWorkerOnce, KillsWorkers, WaitsForAnother, fit

from fastmlp.population_training import nets_per_task

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.full]


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch):
    for name in ("FIRST_SECONDS", "TASK_SECONDS"):
        monkeypatch.setattr(nets_per_task, name, 1e-9)
    monkeypatch.setattr(nets_per_task, "SHORTEST", 0.0)


@pytest.fixture
def loky_executor():
    loky = pytest.importorskip("loky", reason="its executor is tested")
    yield loky.get_reusable_executor(2)
    loky.get_reusable_executor().shutdown(wait=True, kill_workers=True)


@pytest.fixture
def dask_client():
    distributed = pytest.importorskip("distributed", reason="the executor of its client is tested")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        yield client


def assert_same_bits_with(schedule, executor):
    """Check the bits of a fit in which the schedule kills a worker, against those of one where it does not."""
    path = schedule.path
    expected, _ = fit("lanes", schedule=schedule)
    open(path, "w").close()
    found, result = fit("lanes", executor, schedule=schedule)
    np.testing.assert_array_equal(found.params, expected.params)
    assert not result.interrupted
    assert set(result.stopped_by) == {"epochs"}


def test_loky_goes_on_after_a_kill(loky_executor, tmp_path):
    assert_same_bits_with(KillsWorkerOnce(tmp_path / "kill"), loky_executor)


def test_dask_goes_on_after_a_kill(dask_client, tmp_path):
    assert_same_bits_with(KillsWorkerOnce(tmp_path / "kill"), dask_client.get_executor())


def test_a_task_that_kills_each_worker_ends_loky_with_an_error(loky_executor, tmp_path):
    (tmp_path / "kill").touch()
    with pytest.raises(RuntimeError, match=r"Workers were lost 3 times while they had the task of nets"):
        fit("lanes", loky_executor, schedule=KillsWorkers(tmp_path / "kill"))


def test_dask_workers_that_join_and_leave_are_used(tmp_path):
    distributed = pytest.importorskip("distributed", reason="the executor of its client is tested")
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        expected, _ = fit("one by one")
        cluster.scale(2)
        found, _ = fit("one by one", client)
        np.testing.assert_array_equal(found.params, expected.params)
        client.wait_for_workers(2)
        assert_same_bits_with(KillsWorkerOnce(tmp_path / "kill"), client)


def test_a_dask_worker_that_joins_gets_tasks(tmp_path):
    """The first worker waits with its task until another one has got a task, which joins only then."""
    distributed = pytest.importorskip("distributed", reason="the executor of its client is tested")
    expected, _ = fit("lanes", schedule=WaitsForAnother(tmp_path / "nothing"))
    workers = tmp_path / "workers"
    workers.mkdir()
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)

    def join():
        while not list(workers.iterdir()):
            time.sleep(0.02)
        cluster.scale(2)

    with cluster, distributed.Client(cluster) as client:
        thread = threading.Thread(target=join, daemon=True)
        thread.start()
        found, _ = fit("lanes", client, schedule=WaitsForAnother(workers))
    assert len(list(workers.iterdir())) == 2
    np.testing.assert_array_equal(found.params, expected.params)


def test_a_task_that_kills_each_worker_ends_dask_with_an_error(tmp_path):
    """The only worker has the data, too, which are scattered again each time."""
    distributed = pytest.importorskip("distributed", reason="the executor of its client is tested")
    (tmp_path / "kill").touch()
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)
    lost = pytest.raises(RuntimeError, match=r"Workers were lost 3 times while they had the task of nets")
    with cluster, distributed.Client(cluster) as client, lost:
        fit("lanes", client, schedule=KillsWorkers(tmp_path / "kill"))


def test_a_task_that_dask_gives_up_is_named(dask_client, tmp_path):
    (tmp_path / "kill").touch()
    dask = pytest.importorskip("dask", reason="its settings limit the number of kills")
    scheduler = dask_client.cluster.scheduler
    assert dask.config.get("distributed.scheduler.allowed-failures") == scheduler.allowed_failures
    scheduler.allowed_failures = 0
    with pytest.raises(RuntimeError, match=r"Workers were lost 1 time while they had the task of nets"):
        fit("lanes", dask_client, schedule=KillsWorkers(tmp_path / "kill"))
