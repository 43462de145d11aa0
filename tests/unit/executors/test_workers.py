"""Workers of executors: the kind of each executor, shared arrays, threads of tasks, lost workers."""

import asyncio
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from executor_cases import InPlace, process_pool

from fastmlp.executors.executor_kinds import DaskWorkers, workers_of
from fastmlp.executors.workers import (
    UNKNOWN_SLOTS,
    LokyWorkers,
    MappedArray,
    ProcessWorkers,
    Threads,
    ThreadWorkers,
    Workers,
    as_array,
)
from fastmlp.runtime.thread_count import n_processors, n_threads_available, with_threads


def test_kinds_of_executors():
    with ThreadPoolExecutor(2) as threads, process_pool(3) as processes:
        for executor, kind, n_slots in (
            (InPlace(), Workers, UNKNOWN_SLOTS),
            (threads, ThreadWorkers, 2),
            (processes, ProcessWorkers, 3),
            (SimpleNamespace(submit=print, num_workers=5), Workers, 5),
        ):
            with workers_of(executor) as workers:
                assert type(workers) is kind
                assert workers.n_slots == n_slots


def test_loky_is_recognised():
    loky = pytest.importorskip("loky", reason="its executor is recognised")
    with workers_of(loky.get_reusable_executor(2)) as workers:
        assert type(workers) is LokyWorkers
    loky.get_reusable_executor().shutdown()


def test_arrays_are_shared_once_and_released():
    array = np.arange(5.0)
    with process_pool(1) as pool, workers_of(pool) as workers:
        shared = workers.share(array)
        assert isinstance(shared, MappedArray)
        assert workers.share(array) == shared
        assert workers.share(array[:3]) != shared
        folder = workers._folder.path
        assert len(list(folder.iterdir())) == 2
    assert not folder.exists()


def test_arrays_are_released_after_an_error():
    folders = []

    def share_and_fail(pool):
        with workers_of(pool) as workers:
            workers.share(np.arange(5.0))
            folders.append(workers._folder.path)
            raise KeyboardInterrupt

    with process_pool(1) as pool, pytest.raises(KeyboardInterrupt):
        share_and_fail(pool)
    assert not folders[0].exists()


def test_processors_are_divided_among_the_tasks_of_a_machine(monkeypatch):
    monkeypatch.delenv("FASTMLP_NUM_THREADS", raising=False)
    with ThreadPoolExecutor(n_processors()) as threads, workers_of(threads) as workers:
        assert workers.threads.here() == 1
    with ThreadPoolExecutor(1) as threads, workers_of(threads) as workers:
        assert workers.threads.here() == n_processors()
    with workers_of(InPlace()) as workers:
        assert workers.threads == Threads(1)


def test_threads_of_a_task_hold_in_its_thread_alone(monkeypatch):
    monkeypatch.delenv("FASTMLP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # Dask sets it in its workers
    with ThreadPoolExecutor(1) as other:
        counts = lambda: (n_threads_available(), other.submit(n_threads_available).result())
        assert with_threads(3, counts) == (3, 1)
        monkeypatch.setenv("FASTMLP_NUM_THREADS", "2")
        assert with_threads(3, n_threads_available) == 2
    monkeypatch.delenv("FASTMLP_NUM_THREADS")
    assert n_threads_available() == 1


def test_a_broken_pool_says_what_goes_on():
    with process_pool(1) as pool, workers_of(pool) as workers:
        with pytest.raises(BrokenExecutor, match=r"ProcessPoolExecutor cannot go on .* loky.get_reusable_executor"):
            workers.replace(BrokenExecutor("a process died"))
        assert not workers.is_loss(ValueError())


class FakeClient:
    """What DaskWorkers asks a client for."""

    def __init__(self):
        self.scattered, self.n_threads = [], {"tcp://10.0.0.1:1": 1, "tcp://10.0.0.1:2": 1, "tcp://10.0.0.2:1": 4}

    def scatter(self, arrays, broadcast, hash):
        self.scattered.append(arrays[0])
        return [SimpleNamespace(number=len(self.scattered), status="finished")]

    def nthreads(self):
        return self.n_threads

    def get_executor(self):
        return SimpleNamespace(submit=print, _client=self)


def test_a_cluster_without_workers_is_a_sentence():
    class Empty(FakeClient):
        def scatter(self, arrays, broadcast, hash):
            raise TimeoutError("No valid workers found")

    with pytest.raises(RuntimeError, match="has no workers"):
        DaskWorkers(Empty()).share(np.arange(3))


def test_tasks_that_dask_gives_up_are_recognised():
    class KilledWorker(Exception):
        allowed_failures = 3

    workers = DaskWorkers(FakeClient())
    assert workers.losses_of(KilledWorker()) == 4
    assert workers.losses_of(ValueError()) == 0
    assert not workers.is_loss(KilledWorker())


class OnDask:
    """Future of Dask; `outcome` is what its result is, or the error that comes instead."""

    def __init__(self, outcome, status="finished"):
        self.outcome, self.status = outcome, status

    def cancelled(self):
        return self.status == "cancelled"

    def cancel(self):
        self.status = "cancelled"

    async def _result(self):
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


def submitted(there, runs=True):
    """Return the future of a task on Dask whose own future is `there`, and the options of the task.

    runs : whether the client's loop runs what waits for `there`
    """
    client, options = FakeClient(), {}
    client.submit = lambda function, *arguments, **given: options.update(given) or there
    run = lambda function, *arguments: runs and asyncio.run(function(*arguments))
    client.loop = SimpleNamespace(add_callback=run)
    return DaskWorkers(client).submit(print, 1), options


def test_futures_of_dask_tasks_end_whatever_becomes_of_their_results():
    future, options = submitted(OnDask(7))
    assert future.result(timeout=0) == 7
    assert options["pure"] is False
    lost = KeyError("the worker that had the result, and what it was computed from, are lost")
    assert submitted(OnDask(lost))[0].exception(timeout=0) is lost
    assert submitted(OnDask(CancelledError(), "cancelled"))[0].cancelled()


def test_a_cancelled_future_cancels_the_task_on_dask():
    there = OnDask(7, "pending")
    future, _ = submitted(there, runs=False)
    assert future.cancel()
    assert there.cancelled()


def test_results_that_are_there_are_not_cancelled():
    client = FakeClient()
    client.processing = dict
    there, waiting = Future(), Future()
    there.set_result(7)
    assert DaskWorkers(client).cancel([there, waiting]) == [there]
    assert waiting.cancelled()


def test_a_lost_scheduler_is_a_sentence():
    class Lost(FakeClient):
        def nthreads(self):
            raise OSError("ConnectionPool closing.")

        def processing(self):
            raise OSError("ConnectionPool closing.")

    workers = DaskWorkers(Lost())
    with pytest.raises(ConnectionError, match=r"does not answer any more: ConnectionPool closing\. Start it"):
        workers.n_slots  # noqa: B018
    future = Future()
    assert workers.cancel([future]) == []
    assert future.cancelled()


def test_dask_counts_workers_and_scatters_again_after_a_loss(monkeypatch):
    client, array = FakeClient(), np.arange(3)
    workers = DaskWorkers(client)
    assert workers.n_slots == 6
    assert workers.threads.slots == {"10.0.0.1": 2, "10.0.0.2": 4}
    shared = workers.share(array)
    workers.replace(BaseException())
    assert workers.share(array) is shared
    shared.status = "lost"
    workers.replace(BaseException())
    assert workers.share(array).number == 2
    client.n_threads = {"tcp://10.0.0.1:1": 1}
    monkeypatch.setattr("fastmlp.executors.executor_kinds.COUNT_EVERY", 0.0)
    assert workers.n_slots == 1


# ---- arrays in files


def test_an_array_is_mapped_once_and_deleted_with_its_folder():
    array, workers = np.arange(12, dtype=np.float32).reshape(3, 4), ProcessWorkers(InPlace())
    shared = workers.share(array)
    found = as_array(shared)
    np.testing.assert_array_equal(found, array)
    assert as_array(shared) is found
    assert found.flags.c_contiguous
    with pytest.raises(ValueError):
        workers.share(np.array([{}], dtype=object))
    folder = workers._folder.path
    workers.close()
    assert not folder.exists()
    np.testing.assert_array_equal(found, array)  # its pages stay
