"""Checkpoints that a fit cannot go on from: each is refused with the reason, and changes neither nets nor file."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import executor_cases
import numpy as np
import pytest
from fit_kinds import HELD_OUT, KINDS, WEIGHTS, cut_calls, fit, make, spoilt, whole
from resumed_fits import Killed, assert_same_fit, kill_after_writes
from small_blocks import BATCH, Rows, X, Y

import fastmlp
from fastmlp.persistence.checkpoint_files import read, write
from fastmlp.runtime import memory_limits
from fastmlp.streams import row_loading, shuffled_blocks

pytestmark = pytest.mark.usefixtures("small_parts")
SHORT = 4  # epochs


def assert_refused(path, message, kind, nets=None, **more):
    nets = make(kind) if nets is None else nets
    before, params = (nets.seed, nets.fits, path.read_bytes()), nets.params.copy()
    with pytest.raises(ValueError, match=message):
        fit(kind, "plain", path, nets, resume=True, **{"epochs": SHORT} | more)
    assert (nets.seed, nets.fits, path.read_bytes()) == before
    np.testing.assert_array_equal(nets.params, params)


OTHER_X = X.copy()
OTHER_X[50, 1] += 1e-6
OTHERS = {  # words of the message -> settings of the net, arguments of the fit, rows
    "random_state": ({"random_state": 4}, {}, (X, Y)),
    "l2": ({"l2": 0.1}, {}, (X, Y)),
    "dtype": ({"dtype": "float64"}, {}, (X, Y)),
    "number of training samples": ({}, {}, (X[:69], Y[:69])),
    "training X had other values": ({}, {}, (OTHER_X, Y)),
    "training y had other values": ({}, {}, (X, 1 - Y)),
    "number of validation samples": ({}, {"validation_data": HELD_OUT}, (X, Y)),
    "weights": ({}, {"sample_weight": WEIGHTS}, (X, Y)),
    "batch_size": ({}, {"batch_size": 6}, (X, Y)),
    "shuffle": ({}, {"shuffle": False}, (X, Y)),
    "optimizer": ({}, {"optimizer": "sgd"}, (X, Y)),
    "learning_rate": ({}, {"optimizer": fastmlp.Adam(0.5)}, (X, Y)),
    "schedule": ({}, {"schedule": "cosine"}, (X, Y)),
    "early_stopping": ({}, {"early_stopping": 3}, (X, Y)),
    "metrics": ({}, {"metrics": ["log_loss"]}, (X, Y)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_another_fit_is_refused_with_the_difference(kind, tmp_path):
    path = tmp_path / "run.ckpt"
    fit(kind, path=path, epochs=SHORT)
    for name, (settings, arguments, data) in OTHERS.items():
        data = (Rows(*data), None) if KINDS[kind].on_disk else data
        message = rf"is a checkpoint of another fit: .*{name}.*Repeat the fit"
        assert_refused(path, message, kind, make(kind, **settings), data=data, **arguments)
    assert_refused(path, r"epochs=3\. Give at least 4", kind, epochs=3)
    assert_refused(path, r"optimizer_state must be a fastmlp.OptimizerState or None", kind, optimizer_state="x")
    if KINDS[kind].on_disk:
        assert_refused(path, "is a checkpoint of another fit: .*memory_limit", kind, memory_limit=2_000_000)
        message = "its memory_limit was 1000000, and here it is none, with all rows in memory"
        assert_refused(path, message, kind, data=(X, Y), memory_limit=None)
    with pytest.raises(FileExistsError, match="resume=True"):
        fit(kind, path=path)


@pytest.mark.parametrize("kind", ["net", "net, rows on disk"])
def test_an_epoch_that_has_begun_counts(kind, tmp_path, monkeypatch):
    """Its steps have changed the parameters: a fit of the finished epochs alone would not end with them."""
    path = tmp_path / "run.ckpt"
    with monkeypatch.context() as patches:
        cut_calls(patches, last=13)
        fit(kind, path=path)
    assert_refused(path, r"has 1 epoch and a part of the next, but epochs=1\. Give at least 2", kind, epochs=1)
    assert_same_fit(fit(kind, "plain", path, spoilt(kind), epochs=2, resume=True), whole(kind, epochs=2))


@pytest.mark.parametrize("kind", KINDS)
def test_more_epochs_warn_if_a_schedule_depends_on_their_number(kind, tmp_path, recwarn):
    fit(kind, path=tmp_path / "rates", epochs=SHORT, schedule="cosine")
    assert not recwarn
    with pytest.warns(UserWarning, match="The schedule depends on the number of epochs, which is another one"):
        fit(kind, path=tmp_path / "rates", epochs=6, resume=True, schedule="cosine")


@pytest.mark.parametrize("kind", ["nets in lanes on workers", "nets one by one on workers"])
@pytest.mark.parametrize("restart_after", [2, 3])
def test_restarts_on_workers_serve_for_the_same_number_of_epochs(restart_after, kind, tmp_path):
    """The last attempt of four epochs is cut short, or none is."""
    path, given = tmp_path / "run.ckpt", {"converged": fastmlp.Converged(1e-9, restart_after=restart_after)}
    expected = fit(kind, path=path, epochs=SHORT, **given)
    assert_same_fit(fit(kind, path=path, epochs=SHORT, resume=True, **given), expected)
    message = r"finished nets without the optimiser state .*Give epochs=4"
    assert_refused(path, message, kind, epochs=6, **given)


@pytest.mark.parametrize("kind, copies", [("nets one by one", 1), ("nets in lanes", 2)])
def test_states_that_memory_does_not_hold_are_refused_before_the_fit(kind, copies, tmp_path, monkeypatch):
    nets = make(kind)
    n_bytes = copies * 4 * nets.params.nbytes  # parameters of two epochs, and the two vectors of Adam
    monkeypatch.setattr(fastmlp.runtime.memory_limits, "memory_bytes", lambda: n_bytes - 1)
    with pytest.raises(ValueError, match=rf"The states of {nets.n_nets} nets, for checkpoints, would take"):
        fit(kind, "plain", tmp_path / "run.ckpt", nets)
    assert not (tmp_path / "run.ckpt").exists()
    np.testing.assert_array_equal(nets.params, make(kind).params)


# ---- rows on disk

ON_DISK = ["net, rows on disk", "nets, rows on disk"]


@pytest.mark.parametrize("kind", ON_DISK)
def test_a_fit_goes_on_with_the_memory_limit_that_it_began_with(kind, tmp_path, monkeypatch):
    """By default the limit is a share of the memory that is free, which is another one after a while."""
    path = tmp_path / "run.ckpt"
    fit(kind, path=path, epochs=SHORT)
    monkeypatch.setattr(memory_limits, "available_bytes", lambda: 10**9)
    assert_same_fit(fit(kind, path=path, memory_limit=None, resume=True), whole(kind))


@pytest.mark.parametrize("kind", ON_DISK)
def test_blocks_of_another_version_are_refused(kind, tmp_path, monkeypatch):
    """The order of the rows depends on the sizes of blocks, which a version may choose anew at the same limit."""
    path = tmp_path / "run.ckpt"
    fit(kind, path=path, epochs=SHORT)
    monkeypatch.setattr(shuffled_blocks, "SHARE", 4e-3)
    assert_refused(path, "rows of a chunk and chunks of a block was .*, and here it is", kind)


@pytest.mark.parametrize("kind", ON_DISK)
def test_rows_that_were_in_memory_stay_there(kind, tmp_path, monkeypatch):
    path, given = tmp_path / "run.ckpt", {"memory_limit": "10MB", "epochs": SHORT}
    monkeypatch.setattr(row_loading, "SHARE_IN_MEMORY", 1e-3)  # of a megabyte, less than the rows take
    expected = fit(kind, **given)
    assert_same_fit(fit(kind, path=path, **given), expected)
    monkeypatch.setattr(memory_limits, "available_bytes", lambda: 2_000_000)
    assert_same_fit(fit(kind, path=path, resume=True, **given | {"memory_limit": None}), expected)
    more = Rows(np.tile(X, (2, 1)), np.tile(Y, 2)), None  # which are not loaded before they are refused
    for arguments in ({}, {"memory_limit": None, "data": more}):
        assert_refused(path, "its memory_limit was none, with all rows in memory, and here it is", kind, **arguments)


def test_rows_are_written_anew(tmp_path):
    pytest.importorskip("pyarrow", reason="CSV is read by pyarrow")
    np.savetxt(tmp_path / "rows.csv", np.column_stack([X, Y]), delimiter=",", header="a,b,c,y", comments="")
    kind, data = "net, rows on disk", (tmp_path / "rows.csv", "y")
    expected = fit(kind, data=data)
    fit(kind, path=tmp_path / "anew", data=data, callbacks=lambda epoch, history: epoch == 1)
    assert_same_fit(fit(kind, path=tmp_path / "anew", data=data, resume=True), expected)


# ---- states of another form under a right checksum


FORGED = [  # kind, name of an array, its new value as a function of the old one, words of the error
    ("net", "net.0.params", lambda a: a[:-1], "params should be float32 of shape"),
    ("net", "net.0.params", lambda a: a.astype(np.float64), "but it is float64"),
    ("net", "net.0.validation", lambda a: np.zeros((2, 2)), "validation should be"),
    ("net", "net.0.loss", None, "it lacks 'loss'"),
    ("net, rows on disk", "net.0.place", lambda a: a[:1], "place should be"),
    ("nets in lanes", "suspended.params", lambda a: a[:, :-1], "suspended.params should be"),
    ("nets in lanes", "attempt", lambda a: a.astype(np.float64), "attempt should be"),
    ("nets one by one", "net.0.loss", lambda a: a[:-1], "should be"),
    ("nets, rows on disk", "status", lambda a: a[:1], "status should be"),
]


@pytest.mark.parametrize("kind, name, new, words", FORGED, ids=[f"{row[0]}: {row[3]}" for row in FORGED])
def test_a_state_of_another_form_is_refused(kind, name, new, words, tmp_path, monkeypatch):
    path, given = tmp_path / "run.ckpt", {"epochs": 6, "batch_size": BATCH}
    with monkeypatch.context() as patches:
        if kind == "nets in lanes":
            cut_calls(patches)
        kill_after_writes(1, patches)
        with pytest.raises(Killed):
            fit(kind, path=path, every="0.000001 s", **given)
    file_kind = "population" if KINDS[kind].n_nets else "net"
    found = read(path, file_kind)
    arrays = dict(found.state)
    forged = arrays.pop(name)
    write(path, file_kind, found._replace(state=arrays | ({} if new is None else {name: new(forged)})), False)
    assert_refused(path, words, kind, **given)


# ---- a client that is killed

PROGRAM = """
import sys

import fastmlp

import executor_cases
from fastmlp.fit import slices_on_workers

if __name__ == "__main__":
    slices_on_workers.FIRST_SECONDS = slices_on_workers.TASK_SECONDS = 1e-9  # tasks of 16 nets
    slices_on_workers.SHORTEST = 0.0
    path, folder = sys.argv[1:]
    schedule = executor_cases.Waits(folder)
    with executor_cases.process_pool(2) as pool:
        executor_cases.fit("lanes", pool, n_nets=256, checkpoint=fastmlp.Checkpoint(path, "0.01 s"), schedule=schedule)
"""


def n_ended(path):
    return int(np.count_nonzero(read(path, "population").state["status"]))


@pytest.mark.full
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_fit_whose_client_is_killed_goes_on_to_the_same_bits(tmp_path):
    path, program, rest = tmp_path / "run.ckpt", tmp_path / "program.py", executor_cases.InPlace()
    program.write_text(PROGRAM)
    folders = [str(Path(fastmlp.__file__).parents[1]), str(Path(executor_cases.__file__).parent)]
    settings = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    command, errors = [sys.executable, str(program), str(path), str(tmp_path)], tmp_path / "errors"
    with open(errors, "w") as output:  # a session with the workers, which would wait for their client for ever
        client = subprocess.Popen(command, env=settings, stderr=output, start_new_session=True)
    try:
        while client.poll() is None and not (path.exists() and n_ended(path) >= 48):
            time.sleep(0.02)
        client.kill()
    finally:
        os.killpg(client.pid, signal.SIGKILL)
    assert client.wait(30) == -signal.SIGKILL, errors.read_text()
    n_before = n_ended(path)
    assert 48 <= n_before < 256
    given = {"n_nets": 256, "schedule": executor_cases.Waits(tmp_path)}
    expected = executor_cases.fit("lanes", **given)
    spoil = lambda pop: pop.params.fill(7.0)
    found = executor_cases.fit("lanes", rest, change=spoil, checkpoint=fastmlp.Checkpoint(path, resume=True), **given)
    assert_same_fit(found, expected)
    assert rest.n_submitted == (256 - n_before) // 16
