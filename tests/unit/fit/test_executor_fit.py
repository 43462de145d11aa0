"""Fits of populations on the workers of an executor: the same bits as in one process, errors, Ctrl-C, lost workers."""

import errno
import os
import tempfile
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from executor_cases import FITS, Fails, InPlace, KillsWorkerOnce, X, Y, assert_same_bits, fit, process_pool
from fit_kinds import ALL, KINDS, whole
from toy_data import XOR_X, XOR_Y

from fastmlp import Population, TrainingWarning
from fastmlp.console.progress_bar import Progress
from fastmlp.fit import slices_on_workers


@pytest.fixture
def small_tasks(monkeypatch):
    """Tasks of one net, or of 16 nets in lanes."""
    monkeypatch.setattr(slices_on_workers, "FIRST_SECONDS", 1e-9)
    monkeypatch.setattr(slices_on_workers, "TASK_SECONDS", 1e-9)
    monkeypatch.setattr(slices_on_workers, "SHORTEST", 0.0)


@pytest.fixture(scope="module")
def pool():
    with process_pool(2) as executor:
        yield executor


@pytest.fixture
def temporary_folder(monkeypatch, tmp_path):
    """Folder for temporary files of this test alone: in that of the machine, other tests share arrays meanwhile."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def array_folders(folder):
    return list(folder.glob("fastmlp-arrays-*"))


@pytest.mark.parametrize("name", FITS)
def test_processes_give_the_bits_of_one_process(name, small_tasks, pool, temporary_folder):
    assert_same_bits(name, pool)
    assert not array_folders(temporary_folder)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n_workers", [1, 2, 3])
@pytest.mark.parametrize("kind", ["processes", "loky", "dask"])
def test_workers_of_every_kind_give_the_same_bits(kind, n_workers, small_tasks):
    with executors(kind, n_workers) as executor:
        for name in FITS:
            assert_same_bits(name, executor)


@contextmanager
def executors(kind, n_workers):
    """Context with an executor of this kind."""
    if kind == "processes":
        with process_pool(n_workers) as executor:
            yield executor
    elif kind == "loky":
        loky = pytest.importorskip("loky", reason="its executor is tested")
        yield loky.get_reusable_executor(n_workers)
        loky.get_reusable_executor().shutdown(wait=True)
    else:
        distributed = pytest.importorskip("distributed", reason="the executor of its client is tested")
        cluster = distributed.LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None)
        with cluster, distributed.Client(cluster) as client:
            yield client.get_executor()


@pytest.mark.parametrize("name, done", [("lanes", [16, 32, 40]), ("one by one", [1, 2, 3, 4, 5])])
def test_progress_counts_the_nets_of_finished_tasks(name, done, small_tasks, monkeypatch, capsys):
    shown, show = [], Progress.show

    def noted(self, n_done, *others):
        shown.append((self.total, n_done))
        show(self, n_done, *others)

    monkeypatch.setattr(Progress, "show", noted)
    fit(name, InPlace())
    assert [n_done for total, n_done in shown if total == done[-1]] == done, "others are those of the tasks"
    fit(name, InPlace(), verbose=2)
    assert f"net {done[-1]}/{done[-1]} " in capsys.readouterr().out


HERE = {kind: kind.removesuffix(" on workers").removesuffix(",") for kind in KINDS if "on workers" in kind}


@pytest.mark.filterwarnings("ignore::fastmlp.DivergenceWarning")
@pytest.mark.parametrize("kind, option", [case for case in ALL if case[0] in HERE])
def test_workers_give_the_bits_of_one_process(kind, option, small_parts):
    """But for nets that diverge: when that is noticed depends on where calls end."""
    (pop, result), (expected, here) = whole(kind, option), whole(HERE[kind], option)
    np.testing.assert_array_equal(result.stopped_by, here.stopped_by)
    kept = result.stopped_by != "divergence"
    assert kept.sum() >= pop.n_nets - 1
    np.testing.assert_array_equal(pop.params[kept], expected.params[kept])
    for name, values in here.arrays().items():
        found = result.arrays()[name]
        if found.shape[-1:] == kept.shape:
            found, values = found[..., kept], values[..., kept]
        np.testing.assert_array_equal(found, values, err_msg=name)


def test_threads_train_copies(small_tasks):
    with ThreadPoolExecutor(2) as executor:
        assert_same_bits("restarts", executor)


def test_an_error_of_a_task_names_its_nets_and_keeps_finished_nets(small_tasks, tmp_path):
    expected, _ = fit("lanes", schedule=Fails(tmp_path / "no"))
    pop = Population((3, 5, 1), 40, loss="binary_cross_entropy", random_state=0, device="cpu")
    first, executor, path = pop.params.copy(), InPlace(), tmp_path / "yes"
    submit = executor.submit

    def fail_from_the_second(function, /, *arguments):
        if executor.n_submitted == 1:
            path.touch()
        return submit(function, *arguments)

    executor.submit = fail_from_the_second
    with pytest.raises(ValueError, match="no factors today") as caught:
        pop.fit(X, Y, batch_size=16, epochs=30, schedule=Fails(path), verbose=0, executor=executor)
    assert "nets 16 to 31" in getattr(caught.value, "__notes__", [str(caught.value)])[0]
    assert pop.result.interrupted
    np.testing.assert_array_equal(pop.params[:16], expected.params[:16])
    np.testing.assert_array_equal(pop.params[16:], first[16:])
    assert set(pop.result.stopped_by[:16]) == {"epochs"}
    assert set(pop.result.stopped_by[16:]) == {"interrupt"}


@pytest.mark.full
def test_a_killed_process_breaks_the_pool_with_advice_and_leaves_the_population(small_tasks, temporary_folder):
    """It is killed in the first task, before any net is finished."""
    path = temporary_folder / "yes"
    path.touch()
    pop = Population((3, 5, 1), 40, loss="binary_cross_entropy", random_state=0, device="cpu")
    with process_pool(1) as executor, pytest.raises(BrokenExecutor, match=r"loky.*Dask"):
        pop.fit(X, Y, epochs=30, schedule=KillsWorkerOnce(path), verbose=0, executor=executor)
    assert (pop.fits, pop.result) == (0, None)
    assert np.isfinite(pop.params).all()
    assert not array_folders(temporary_folder)


def test_a_full_disk_is_a_sentence_and_leaves_nothing(pool, monkeypatch, temporary_folder):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    pop = Population((3, 5, 1), 40, loss="binary_cross_entropy", random_state=0, device="cpu")
    first = pop.params.copy()
    with monkeypatch.context() as patches:
        patches.setattr("fastmlp.executors.workers.np.save", full)
        message = r"cannot be written to .*fastmlp-arrays.*: No space left on device\. .*TMPDIR"
        with pytest.raises(OSError, match=message):
            pop.fit(X, Y, epochs=3, verbose=0, executor=pool)
    assert not array_folders(temporary_folder)
    np.testing.assert_array_equal(pop.params, first)
    assert (pop.fits, pop.result) == (0, None), "a repeated fit has the bits of a first one"
    pop.fit(X, Y, epochs=3, verbose=0, executor=pool)  # once there is room
    assert set(pop.result.stopped_by) == {"epochs"}


@pytest.mark.parametrize(
    "arguments, message",
    [({"executor": 3}, "must have a method submit"), ({"executor": InPlace}, "must have a method submit")],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit("lanes", **arguments)


def test_a_worker_of_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(slices_on_workers, "version_here", lambda: "0.0.1")
    with pytest.raises(
        RuntimeError, match=r"the program that sends its tasks has 0\.0\.1\. Install the same version everywhere"
    ):
        fit("lanes", InPlace())


def test_functions_that_cannot_be_sent_are_explained(pool):
    with pytest.raises(Exception, match=r"(?i)pickle|local object") as caught:
        fit("lanes", pool, schedule=lambda steps, n: np.ones(len(steps)))
    assert "that the workers can import" in str(getattr(caught.value, "__notes__", caught.value))


def test_nets_are_monitored_while_tasks_end(small_tasks):
    pop = Population((2, 2, 1), 64, hidden_activation="tanh", loss="binary_cross_entropy", init="zeros", device="cpu")
    with pytest.warns(TrainingWarning):
        pop.fit(XOR_X, XOR_Y, epochs=400, monitor=True, verbose=0, executor=InPlace())
