"""Checkpoints of fits on the workers of an executor: nets that have ended are not trained again, to the same bits."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import executor_cases
import numpy as np
import pytest
from executor_cases import FITS, InPlace, Interrupted, Waits, X, Y, fit
from resumed_fits import Killed, assert_same_fit, kill_after_writes

import fastmlp
from fastmlp import EarlyStopping
from fastmlp.fit import nets_per_task, workers
from fastmlp.fit.state import FitState
from fastmlp.fit.workers import stretches
from fastmlp.persistence.checkpoint_files import CheckpointFile, read

ALWAYS = "0.000001 s"
ACCURACY = {"early_stopping": EarlyStopping(3, "validation_accuracy"), "validation_data": (X[:20], Y[:20])}


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch):
    """Tasks of one net, or of 16 nets in lanes."""
    for name in ("FIRST_SECONDS", "TASK_SECONDS"):
        monkeypatch.setattr(nets_per_task, name, 1e-9)
    monkeypatch.setattr(nets_per_task, "SHORTEST", 0.0)


def state_of(path):
    return FitState.from_file(read(path, "population").state)


def killed_after(n_writes, monkeypatch, train):
    """Call a function that trains, until the n-th checkpoint is written."""
    with monkeypatch.context() as patches:
        kill_after_writes(n_writes, patches)
        with pytest.raises(Killed):
            train()


def refit(name, path, executor=None, **more):
    """Go on from a file with a population whose parameters are others."""
    return fit(name, executor, change=lambda pop: pop.params.fill(7.0), checkpoint=path, resume=True, **more)


@pytest.mark.thinned(2)
@pytest.mark.parametrize("n_tasks", [0, 1])
@pytest.mark.parametrize("name", FITS)
def test_an_interrupted_fit_goes_on_to_the_same_bits(name, n_tasks, tmp_path):
    expected, path, copy = fit(name), tmp_path / "run.ckpt", tmp_path / "copy.ckpt"
    whole, interrupted, rest = InPlace(), Interrupted(n_tasks), InPlace()
    fit(name, whole)
    _, result = fit(name, interrupted, checkpoint=path)
    assert result.interrupted
    n_ended = state_of(path).n_ended
    assert (n_ended > 0) == (n_tasks > 0)
    assert n_ended == result.n_finished < result.n_nets
    shutil.copy(path, copy)
    assert_same_fit(refit(name, path, rest), expected)
    assert interrupted.n_submitted + rest.n_submitted == whole.n_submitted
    assert_same_fit(refit(name, copy), expected)  # without an executor


@pytest.mark.parametrize("name", ["lanes", "restarts"])
def test_a_killed_fit_goes_on_from_its_last_checkpoint(name, tmp_path, monkeypatch):
    expected, path, rest = fit(name), tmp_path / "run.ckpt", InPlace()
    killed_after(2, monkeypatch, lambda: fit(name, InPlace(), checkpoint=path, every=ALWAYS))
    assert state_of(path).n_ended == 32
    assert_same_fit(refit(name, path, rest, every=ALWAYS), expected)
    assert rest.n_submitted == 1


@pytest.mark.parametrize("name", ["lanes", "one by one"])
def test_the_best_accuracy_is_kept(name, tmp_path):
    expected, path, copy = fit(name, **ACCURACY), tmp_path / "run.ckpt", tmp_path / "copy.ckpt"
    fit(name, Interrupted(2), checkpoint=path, **ACCURACY)
    shutil.copy(path, copy)
    assert_same_fit(refit(name, path, InPlace(), **ACCURACY), expected)
    assert_same_fit(refit(name, copy, **ACCURACY), expected)
    assert (expected[1].best_value >= 0).all()


@pytest.mark.parametrize("name", ["lanes", "restarts", "one by one"])
def test_nets_of_a_task_that_was_ended_early_go_on(name, tmp_path, monkeypatch):
    """A terminal sends Ctrl-C to its worker, too. With restarts, such nets begin anew."""
    expected, path, fit_nets, calls = fit(name), tmp_path / "run.ckpt", workers.fit_nets, []

    def interrupted(task, redraw, flag, saver):
        calls.append(task)
        if len(calls) == 2:
            flag.set()
        return fit_nets(task, redraw, flag, saver)

    monkeypatch.setattr(workers, "fit_nets", interrupted)
    _, result = fit(name, InPlace(), checkpoint=path)
    assert result.interrupted
    monkeypatch.undo()
    assert_same_fit(refit(name, path, InPlace()), expected)


@pytest.mark.parametrize("n_tasks", [0, 1])
def test_an_error_keeps_the_nets_that_have_ended(n_tasks, tmp_path, monkeypatch):
    class Refuses(InPlace):
        def submit(self, function, /, *arguments):
            if self.n_submitted == n_tasks:
                raise ArithmeticError("no more tasks")
            return super().submit(function, *arguments)

    path, executor = tmp_path / "run.ckpt", Refuses()
    executor._max_workers = 1
    monkeypatch.setattr("fastmlp.executors.task_scheduler.TASKS_PER_SLOT", 1)  # one task at a time
    with pytest.raises(ArithmeticError, match="no more tasks"):
        fit("lanes", executor, checkpoint=path)
    assert path.exists() == (n_tasks > 0)
    if n_tasks:
        assert_same_fit(refit("lanes", path, InPlace()), fit("lanes"))


def test_a_finished_fit_trains_nothing(tmp_path):
    expected, path, nothing = (
        fit("lanes", InPlace(), checkpoint=tmp_path / "run.ckpt"),
        tmp_path / "run.ckpt",
        InPlace(),
    )
    assert_same_fit(refit("lanes", path, nothing), expected)
    assert nothing.n_submitted == 0


def test_nets_that_are_missing_in_the_middle_are_stretches():
    assert stretches(np.array([True, False, False, True, True, False])) == [slice(0, 1), slice(3, 5)]
    assert stretches(np.zeros(3, bool)) == []


def test_a_fit_goes_on_with_an_executor_and_without(tmp_path, monkeypatch):
    expected, path = fit("restarts"), tmp_path / "run.ckpt"
    fit("restarts", Interrupted(1), checkpoint=path)
    killed_after(1, monkeypatch, lambda: refit("restarts", path, every=10))
    assert_same_fit(refit("restarts", path, InPlace()), expected)
    assert_same_fit(refit("restarts", path, epochs=80), fit("restarts", epochs=80))  # with a further attempt


@pytest.mark.parametrize("name", ["lanes", "one by one"])
def test_a_fit_on_workers_is_extended(name, tmp_path):
    path, more = tmp_path / "run.ckpt", FITS[name][3]["epochs"] + 10
    fit(name, InPlace(), checkpoint=path)
    expected, _ = fit(name, epochs=more)
    for executor in (InPlace(), None):
        pop, _ = refit(name, path, executor, epochs=more)
        np.testing.assert_array_equal(pop.params, expected.params)


@pytest.mark.parametrize("every, n_written", [(1, 3), (31, 1), (61, 1), (1000, 0)])
def test_epochs_of_tasks_are_counted(every, n_written, tmp_path, monkeypatch):
    """Each of three tasks has 30 epochs; at the end a file is written in any case."""
    written, write = [], CheckpointFile.write
    monkeypatch.setattr(CheckpointFile, "write", lambda self, *given: (written.append(given), write(self, *given)))
    fit("lanes", executor := InPlace(), checkpoint=tmp_path / "run.ckpt", every=every)
    assert (executor.n_submitted, len(written)) == (3, n_written + 1)


def test_what_is_refused(tmp_path):
    path = tmp_path / "run.ckpt"
    fit("lanes", InPlace(), checkpoint=path)
    with pytest.raises(ValueError, match=r"is a checkpoint of another fit: its batch_size was 16, and here it is 8"):
        refit("lanes", path, InPlace(), batch_size=8)
    with pytest.raises(FileExistsError, match="resume=True"):
        fit("lanes", InPlace(), checkpoint=path)


PROGRAM = """
import sys

import executor_cases
from fastmlp.fit import nets_per_task

if __name__ == "__main__":
    nets_per_task.FIRST_SECONDS = nets_per_task.TASK_SECONDS = 1e-9  # tasks of 16 nets
    nets_per_task.SHORTEST = 0.0
    path, folder = sys.argv[1:]
    schedule = executor_cases.Waits(folder)
    with executor_cases.process_pool(2) as pool:
        executor_cases.fit("lanes", pool, n_nets=256, checkpoint=path, every="0.01 s", schedule=schedule)
"""


@pytest.mark.full
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_fit_whose_client_is_killed_goes_on_to_the_same_bits(tmp_path):
    path, program, rest = tmp_path / "run.ckpt", tmp_path / "program.py", InPlace()
    program.write_text(PROGRAM)
    schedule = Waits(tmp_path)
    folders = [str(Path(fastmlp.__file__).parents[1]), str(Path(executor_cases.__file__).parent)]
    settings = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    command, errors = [sys.executable, str(program), str(path), str(tmp_path)], tmp_path / "errors"
    with open(errors, "w") as output:  # a session with the workers, which would wait for their client for ever
        client = subprocess.Popen(command, env=settings, stderr=output, start_new_session=True)
    try:
        while client.poll() is None and not (path.exists() and state_of(path).n_ended >= 48):
            time.sleep(0.02)
        client.kill()
    finally:
        os.killpg(client.pid, signal.SIGKILL)
    assert client.wait(30) == -signal.SIGKILL, errors.read_text()
    n_ended = state_of(path).n_ended
    assert 48 <= n_ended < 256
    expected = fit("lanes", n_nets=256, schedule=schedule)
    assert_same_fit(refit("lanes", path, rest, n_nets=256, schedule=schedule), expected)
    assert rest.n_submitted == (256 - n_ended) // 16
