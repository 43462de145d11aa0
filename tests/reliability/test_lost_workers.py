"""Workers of an executor that are killed: others do their tasks, to the same bits, or a clear error ends the fit."""

import threading
import time

import numpy as np
import pytest
from executor_cases import NOTES, KillsWorkerOnce, KillsWorkers, WaitsForAnother, fit, noted_train_nets

from fastmlp.executors.task_scheduler import TASKS_PER_SLOT
from fastmlp.fit import slices_on_workers

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.full]


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch):
    for name in ("FIRST_SECONDS", "TASK_SECONDS"):
        monkeypatch.setattr(slices_on_workers, name, 1e-9)
    monkeypatch.setattr(slices_on_workers, "SHORTEST", 0.0)


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


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """File to which workers that are started later write which tasks they begin."""
    path = tmp_path / "notes"
    monkeypatch.setenv(NOTES, str(path))
    monkeypatch.setattr(slices_on_workers, "train_nets", noted_train_nets)
    return path


def kill_half_way(executor, notes, monkeypatch):
    """Check the bits of a fit of 16 tasks, of which one kills its worker when five have ended.

    Return which task was begun by which process, as (process, task) in this order, the process that was killed, and
    the tasks that had ended before.
    """
    path, take, ended = notes.with_name("kill"), slices_on_workers.WorkersFit._take, []
    schedule = KillsWorkerOnce(path)
    expected, _ = fit("lanes", n_nets=256, schedule=schedule)

    def noted(self, task, result):
        take(self, task, result)
        if not killed_process(notes):
            ended.append(task.argument.nets.start)
            if len(ended) == 5:
                path.touch()

    monkeypatch.setattr(slices_on_workers.WorkersFit, "_take", noted)
    found, result = fit("lanes", executor, n_nets=256, schedule=schedule)
    np.testing.assert_array_equal(found.params, expected.params)
    assert set(result.stopped_by) == {"epochs"}
    begun = [line.split() for line in notes.read_text().splitlines()]
    begun = [(int(process), int(task)) for process, task in begun if task != "killed"]
    assert {task for _, task in begun} == set(range(0, 256, 16))
    return begun, killed_process(notes), ended


def killed_process(notes):
    lines = [line.split() for line in notes.read_text().splitlines()]
    return next((int(process) for process, event in lines if event == "killed"), None)


def repeated(begun):
    """Return the processes that have begun each task that was begun more than once."""
    processes = {}
    for process, task in begun:
        processes.setdefault(task, []).append(process)
    return {task: found for task, found in processes.items() if len(found) > 1}


def test_loky_repeats_the_tasks_that_were_submitted(notes, loky_executor, monkeypatch, count):
    begun, killed, ended = kill_half_way(loky_executor, notes, monkeypatch)
    again = repeated(begun)
    assert any(processes[0] == killed for processes in again.values())
    assert len(again) <= 2 * TASKS_PER_SLOT, "of two workers"
    assert not again.keys() & set(ended)
    count("tasks that loky repeats after the kill of a worker, of 16", len(again))


def test_dask_repeats_the_tasks_of_the_killed_worker(notes, dask_client, monkeypatch, count):
    begun, killed, _ = kill_half_way(dask_client.get_executor(), notes, monkeypatch)
    again = repeated(begun)
    assert again
    assert {process for processes in again.values() for process in processes[:-1]} == {killed}
    count("tasks that Dask repeats after the kill of a worker, of 16", len(again))


def test_a_task_that_kills_each_worker_ends_loky_with_an_error(loky_executor, tmp_path):
    (tmp_path / "kill").touch()
    with pytest.raises(RuntimeError, match=r"Workers were lost 3 times while they had the task of nets"):
        fit("lanes", loky_executor, schedule=KillsWorkers(tmp_path / "kill"))


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
