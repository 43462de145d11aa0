"""Loggers: every epoch becomes a row, whatever ends the fit, and files have whole lines."""

import csv
import dataclasses
import itertools
import os
from types import SimpleNamespace

import numpy as np
import pytest
from toy_data import blobs

import fastmlp
from fastmlp import MLP, CSVLogger, Logger
from fastmlp.kernels.jit import compile_time
from fastmlp.runtime import checkpoint_interval

X, Y = blobs(0, n=60)


def make():
    return MLP((4, 5, 3), loss="softmax_cross_entropy", random_state=0)


def fit(*loggers, net=None, epochs=7, **options):
    return (net or make()).fit(X, Y, epochs=epochs, batch_size=20, callbacks=list(loggers), verbose=0, **options)


class Blocks(Logger):
    """A logger that keeps what it is given."""

    def __init__(self, every=1):
        super().__init__(every=every)
        self.blocks, self.calls = [], []

    def begin(self, history):
        self.calls.append("begin")

    def write(self, rows):
        self.blocks.append([row["epoch"] for row in rows])

    def end(self, history):
        self.calls.append(history.stopped_by)


def rows_of(path):
    with open(path, newline="") as file:
        return [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(file)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.csv"


@pytest.mark.parametrize("every", (1, 3, 100, "1 h", "0.000001 s"))
def test_files_have_every_record_of_every_epoch(path, every):
    history = fit(CSVLogger(path, every=every), validation_data=(X, Y), metrics=["r2"])
    rows = rows_of(path)
    assert [row["epoch"] for row in rows] == list(range(7))
    assert rows[0].keys() == {"epoch", *history.records()}
    for name, values in history.records().items():
        np.testing.assert_array_equal([row[name] for row in rows], values)


@pytest.mark.parametrize(
    "every, seconds, blocks",
    [
        (1, 0.0, [[k] for k in range(7)]),
        (3, 0.0, [[0, 1, 2], [3, 4, 5], [6]]),
        ("10 s", 4.0, [[0, 1, 2, 3], [4, 5, 6]]),
    ],
)
def test_rows_are_written_at_intervals(every, seconds, blocks, monkeypatch):
    now, logger = [0.0], Blocks(every)
    monkeypatch.setattr(checkpoint_interval.time, "monotonic", lambda: now[0])

    def wait(epoch, history):
        now[0] += seconds

    fit(wait, logger)
    assert logger.blocks == blocks
    assert logger.calls == ["begin", "epochs"]


@pytest.mark.parametrize(
    "seconds, in_each, n_blocks", [(0.1, False, (2, 20)), (1e-5, True, (0, 0)), (0.3, True, (49, 50))]
)
def test_calls_follow_the_duration(seconds, in_each, n_blocks, monkeypatch):
    """With validation, metrics or another callback a logger is called in each epoch, whatever it asks for."""
    now, logger, ahead, history = [0.0], Blocks("1 s"), [], fastmlp.History()
    monkeypatch.setattr(checkpoint_interval.time, "monotonic", lambda: now[0])
    while history.epochs < 200:
        ahead.append(logger.epochs_ahead())
        n = 1 if in_each else ahead[-1]
        now[0] += seconds * n
        history.loss = np.zeros(history.epochs + n)
        logger(history.epochs - 1, history)
    assert ahead[0] == 1
    assert max(ahead[2:]) <= 1.001 / seconds
    assert all(then <= 4 * before for before, then in itertools.pairwise(ahead))
    assert n_blocks[0] <= len(logger.blocks) <= n_blocks[1]


def test_logging_changes_no_bit_of_training(tmp_path):
    net, plain = make(), make()
    fit(CSVLogger(tmp_path / "run.csv", every=4), net=net)
    plain.fit(X, Y, epochs=7, batch_size=20, verbose=0)
    np.testing.assert_array_equal(net.params, plain.params)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_fit_that_ends_early_leaves_whole_lines(error, path):
    def fail(epoch, history):
        if epoch == 4:
            raise error("no")

    logger = Blocks()
    with pytest.raises(error, match="no"):
        fit(fail, CSVLogger(path, every=3), logger)
    assert path.read_bytes().endswith(b"\n")
    assert [row["epoch"] for row in rows_of(path)] == list(range(5))
    assert logger.calls == ["begin", "error" if error is RuntimeError else "interrupt"]


def test_a_further_fit_is_appended(path):
    net, logger = make(), CSVLogger(path)
    fit(logger, net=net, epochs=2)
    fit(logger, net=net, epochs=3)
    assert [row["epoch"] for row in rows_of(path)] == [0, 1, 0, 1, 2]


@pytest.mark.parametrize("every", (1, 4))
def test_a_resumed_fit_leaves_out_what_the_file_has(path, every, tmp_path):
    """Also where the killed process had logged more than its last checkpoint, or less."""
    file = fastmlp.Checkpoint(tmp_path / "run.ckpt", every=2)
    stop = lambda epoch, history: epoch == 3
    fit(CSVLogger(path, every=every), stop, checkpoint=file)
    lines = path.read_text().splitlines(keepends=True)
    for lost, extra in ((0, 0), (2, 0)):
        path.write_text("".join(lines[: len(lines) - lost]))
        history = fit(CSVLogger(path, every=every), checkpoint=dataclasses.replace(file, resume=True))
        assert history.epochs_before in (4, 7)
        assert [row["epoch"] for row in rows_of(path)] == list(range(7)), extra


def test_other_columns_are_refused(tmp_path):
    path = tmp_path / "run.csv"
    fit(CSVLogger(path))
    with pytest.raises(ValueError, match=r"columns epoch, loss, accuracy, but this fit has .* r2\. Name another file"):
        fit(CSVLogger(path), metrics=["r2"])
    assert len(rows_of(path)) == 7


def test_awkward_names_and_numbers(path):
    metrics = {'a, "b"': lambda y, p: 1.5, "bad": lambda y, p: float("nan")}
    fit(CSVLogger(path), metrics=metrics, epochs=1)
    [row] = rows_of(path)
    assert row['a, "b"'] == 1.5
    assert np.isnan(row["bad"])


@pytest.fixture
def disk(monkeypatch):
    """disk.room is how many bytes can still be written."""
    write, disk = os.write, SimpleNamespace(room=0)

    def limited(fd, data):
        if not disk.room:
            raise OSError(28, "No space left on device")
        n = write(fd, data[: disk.room])
        disk.room -= n
        return n

    monkeypatch.setattr(os, "write", limited)
    return disk


@pytest.mark.parametrize("room, rows", [((30, 0, 25, 40, 10**6), 9), ((10**6, 10**6, 10, 10, 10), 2)])
def test_a_full_disk_leaves_whole_lines(room, rows, path, disk):
    """Rows that cannot be written come again with the next ones; at the end they are lost."""

    def change(epoch, history):
        disk.room = room[min(epoch, 4)]

    with pytest.warns(UserWarning, match=r"could not write \d rows?; they .*: .* No space") as said:
        fit(change, CSVLogger(path, every=2), epochs=9)
    assert ["they are lost" in str(warning.message) for warning in said][-1] == (rows < 9)
    assert [row["epoch"] for row in rows_of(path)] == list(range(rows))


def test_bad_arguments_raise(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        CSVLogger(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        CSVLogger(tmp_path / "no" / "run.csv")
    with pytest.raises(ValueError, match="every must be a number of epochs"):
        CSVLogger(tmp_path / "run.csv", every="often")
    with pytest.raises(TypeError, match="abstract"):
        Logger()


def test_files_that_are_no_log_are_refused(path):
    make().save(path)
    model = path.read_bytes()
    for content in (model, b"size,price\n1,2\n", b"{\n}\n", b"[1]\n", b"epochs\n1\n", b"\xff\xfe\n", b"[" * 60_000):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"does not begin as the files of .*Logger do"):
            CSVLogger(path)
        assert path.read_bytes() == content


def test_logs_and_what_a_crash_has_left_of_them_are_appended_to(path):
    fit(CSVLogger(path), epochs=1)
    whole = path.read_bytes()
    for content in (whole, b"", whole[:3], whole[:-2]):
        path.write_bytes(content)
        fit(CSVLogger(path), epochs=1)
        found = path.read_bytes()
        assert found.startswith(content + b"\n" * (content in (whole[:3], whole[:-2])))
        assert len(found) > len(content)


def test_estimators_and_streams_log(tmp_path):
    pytest.importorskip("sklearn", reason="estimators need scikit-learn")
    clf = fastmlp.MLPClassifier((4,), n_iter_no_change=2, tol=0.1, callbacks=[CSVLogger(tmp_path / "clf.csv", every=5)])
    clf.fit(X, Y)
    assert len(rows_of(tmp_path / "clf.csv")) == clf.n_iter_
    np.save(tmp_path / "X.npy", np.tile(X, (1000, 1)))
    logger, fit = Blocks(2), {"epochs": 3, "batch_size": 6000, "memory_limit": "1MB", "verbose": 0}
    make().fit(tmp_path / "X.npy", np.tile(Y, 1000), callbacks=logger, **fit)
    assert logger.blocks == [[0, 1], [2]]
    assert logger.calls == ["begin", "epochs"]


def test_the_last_epochs_within_a_time_limit_are_logged(path, monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr(compile_time, "time", SimpleNamespace(perf_counter=lambda: seconds[0]))

    def wait(epoch, history):
        seconds[0] += 1.0

    history = fit(wait, CSVLogger(path, every=50), time_limit=1000.0, epochs=10_000)
    assert history.stopped_by == "time_limit"
    assert len(rows_of(path)) == history.epochs
