"""Loggers: every epoch becomes a row, whatever ends the fit, and files have whole lines."""

import csv
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
from toy_data import blobs

import fastmlp
import fastmlp.loggers
import fastmlp.runtime.output_files
from fastmlp import MLP, CSVLogger, JSONLinesLogger, Logger
from fastmlp.console import stopwatch

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
    if str(path).endswith(".csv"):
        with open(path, newline="") as file:
            return [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
    with open(path) as file:
        return [json.loads(line) for line in file]


LOGGERS = {"run.csv": CSVLogger, "run.jsonl": JSONLinesLogger}


@pytest.fixture(params=LOGGERS)
def path(request, tmp_path):
    return tmp_path / request.param


def logger_of(path, **options):
    return LOGGERS[path.name](path, **options)


@pytest.mark.parametrize("every", (1, 3, 100, "1 h", "0.000001 s"))
def test_files_have_every_record_of_every_epoch(path, every):
    history = fit(logger_of(path, every=every), validation_data=(X, Y), metrics=["r2"])
    rows = rows_of(path)
    assert [row["epoch"] for row in rows] == list(range(7))
    assert rows[0].keys() == {"epoch", *history.records()}
    for name, values in history.records().items():
        np.testing.assert_array_equal([row[name] for row in rows], values)


@pytest.mark.parametrize("every, blocks", ((1, [[k] for k in range(7)]), (3, [[0, 1, 2], [3, 4, 5], [6]])))
def test_rows_are_written_at_intervals(every, blocks):
    logger = Blocks(every)
    fit(logger)
    assert logger.blocks == blocks
    assert logger.calls == ["begin", "epochs"]


def test_a_duration_decides_when_rows_are_written(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(fastmlp.loggers.time, "monotonic", lambda: now[0])
    logger = Blocks("10 s")

    def wait(epoch, history):
        now[0] += 4.0

    fit(wait, logger)
    assert logger.blocks == [[0, 1, 2, 3], [4, 5, 6]]


def test_calls_follow_the_duration(monkeypatch):
    now, logger, ahead = [0.0], Blocks("10 s"), []
    monkeypatch.setattr(fastmlp.loggers.time, "monotonic", lambda: now[0])
    history = fastmlp.History()
    for _ in range(12):
        ahead.append(logger.epochs_ahead())
        now[0] += 0.1 * ahead[-1]
        history.loss = np.zeros(history.epochs + ahead[-1])
        logger(history.epochs - 1, history)
    assert ahead[:4] == [1, 4, 16, 64]
    assert max(ahead) <= 101
    assert len(logger.blocks) >= 2


@pytest.mark.parametrize("seconds", (1e-5, 0.3))
def test_calls_after_each_epoch_are_no_faster_epochs(seconds, monkeypatch):
    """With validation, metrics or another callback a logger is called after each epoch, whatever it asks for."""
    now, logger = [0.0], Blocks("1 s")
    monkeypatch.setattr(fastmlp.loggers.time, "monotonic", lambda: now[0])
    history = fastmlp.History()
    for n in range(1, 2001):
        now[0] += seconds
        history.loss = np.zeros(n)
        logger(n - 1, history)
        assert n == 1 or logger.epochs_ahead() <= 1.001 / seconds
    assert len(logger.blocks) in ((0,) if seconds < 1e-3 else (499, 500)), "a block for each 1.2 seconds"


def test_logging_changes_no_bit_of_training(tmp_path):
    net, plain = make(), make()
    fit(CSVLogger(tmp_path / "run.csv", every=4), net=net)
    plain.fit(X, Y, epochs=7, batch_size=20, verbose=0)
    np.testing.assert_array_equal(net.params, plain.params)


def test_an_interrupted_fit_leaves_whole_lines(path):
    def interrupt(epoch, history):
        if epoch == 4:
            raise KeyboardInterrupt

    history = fit(interrupt, logger_of(path, every=3))
    assert history.stopped_by == "interrupt"
    assert path.read_bytes().endswith(b"\n")
    assert [row["epoch"] for row in rows_of(path)] == list(range(history.epochs))


def test_an_error_of_another_callback_leaves_whole_lines(path):
    def fail(epoch, history):
        if epoch == 4:
            raise RuntimeError("no")

    logger = Blocks()
    with pytest.raises(RuntimeError, match="no"):
        fit(fail, logger_of(path, every=3), logger)
    assert [row["epoch"] for row in rows_of(path)] == list(range(5))
    assert logger.calls == ["begin", "error"]


def test_a_further_fit_is_appended(path):
    net, logger = make(), logger_of(path)
    fit(logger, net=net, epochs=2)
    fit(logger, net=net, epochs=3)
    assert [row["epoch"] for row in rows_of(path)] == [0, 1, 0, 1, 2]


@pytest.mark.parametrize("every", (1, 4))
def test_a_resumed_fit_leaves_out_what_the_file_has(path, every, tmp_path):
    """Also where the killed process had logged more than its last checkpoint, or less."""
    run = {"checkpoint": tmp_path / "run.ckpt", "every": 2}
    stop = lambda epoch, history: epoch == 3
    fit(logger_of(path, every=every), stop, **run)
    lines = path.read_text().splitlines(keepends=True)
    for lost, extra in ((0, 0), (2, 0)):
        path.write_text("".join(lines[: len(lines) - lost]))
        history = fit(logger_of(path, every=every), resume=True, **run)
        assert history.epochs_before in (4, 7)
        assert [row["epoch"] for row in rows_of(path)] == list(range(7)), extra


def test_a_base_logger_of_a_resumed_fit_gets_the_epochs_of_the_call(tmp_path):
    run = {"checkpoint": tmp_path / "run.ckpt"}
    fit(lambda epoch, history: epoch == 3, **run)
    logger = Blocks()
    fit(logger, resume=True, **run)
    assert logger.blocks == [[4], [5], [6]]


def test_other_columns_are_refused(tmp_path):
    path = tmp_path / "run.csv"
    fit(CSVLogger(path))
    with pytest.raises(ValueError, match=r"columns epoch, loss, accuracy, but this fit has .* r2\. Name another file"):
        fit(CSVLogger(path), metrics=["r2"])
    assert len(rows_of(path)) == 7


def test_names_with_commas_are_quoted(tmp_path):
    path = tmp_path / "run.csv"
    fit(CSVLogger(path), metrics={'a, "b"': lambda y, p: 1.5})
    assert rows_of(path)[0]['a, "b"'] == 1.5


def test_numbers_that_are_not_finite(path):
    fit(logger_of(path), metrics={"bad": lambda y, p: float("nan")}, epochs=1)
    value = rows_of(path)[0]["bad"]
    assert value is None if path.suffix == ".jsonl" else np.isnan(value)


def test_rows_that_cannot_be_written_come_again(path, monkeypatch):
    append, calls = fastmlp.loggers.append, []

    def full_at_first(*arguments):
        calls.append(arguments)
        if len(calls) < 3:
            raise OSError(28, "No space left on device")
        append(*arguments)

    monkeypatch.setattr(fastmlp.loggers, "append", full_at_first)
    with pytest.warns(UserWarning, match=r"could not write \d rows?; they come again"):
        fit(logger_of(path, every=1))
    assert [row["epoch"] for row in rows_of(path)] == list(range(7))


def test_rows_that_cannot_be_written_at_the_end_are_lost(path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fastmlp.loggers, "append", full)
    with pytest.warns(UserWarning, match="could not write 7 rows; they are lost: .* No space left"):
        history = fit(logger_of(path, every=100))
    assert history.stopped_by == "epochs"


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


def test_a_full_disk_leaves_whole_lines(tmp_path, disk):
    path, append = tmp_path / "log", fastmlp.runtime.output_files.append
    for room, expected in ((3, b""), (4, b"one\n"), (9, b"one\none\ntwo\n"), (13, b"one\none\ntwo\none\ntwo\nthree")):
        disk.room = room
        with pytest.raises(OSError, match="No space") as raised:
            append(path, [b"one\n", b"two\n", b"three\n"])
        whole = expected.removesuffix(b"three")
        assert path.read_bytes() == whole
        assert raised.value.n_lines == (room // 4 if room < 13 else 2)


def test_rows_that_a_full_disk_has_room_for_are_written_once(path, disk):
    """The header among them, and the others when there is room again, as if it had always been there."""

    def room(epoch, history):
        disk.room = (30, 0, 25, 40, 10**6)[min(epoch, 4)]

    with pytest.warns(UserWarning, match=r"could not write \d rows?; they come again with the next ones: .* No space"):
        fit(room, logger_of(path, every=2), epochs=9)
    assert [row["epoch"] for row in rows_of(path)] == list(range(9))


def test_rows_that_a_full_disk_has_no_room_for_at_the_end_are_lost(path, disk):
    disk.room = 400
    with pytest.warns(UserWarning, match=r"could not write \d+ rows; they are lost: .* No space"):
        fit(logger_of(path, every=100), epochs=30)
    rows = rows_of(path)
    assert [row["epoch"] for row in rows] == list(range(len(rows)))
    assert len(rows) >= 3


def test_an_incomplete_line_is_ended(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"one\ntw")
    fastmlp.runtime.output_files.append(path, [b"three\n"])
    assert path.read_bytes() == b"one\ntw\nthree\n"


def test_bad_arguments_raise(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        CSVLogger(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        JSONLinesLogger(tmp_path / "no" / "run.jsonl")
    with pytest.raises(ValueError, match="every must be a number of epochs"):
        CSVLogger(tmp_path / "run.csv", every="often")
    with pytest.raises(TypeError, match="abstract"):
        Logger()


@pytest.mark.parametrize("logger", [CSVLogger, JSONLinesLogger])
def test_files_that_are_no_log_are_refused(logger, tmp_path):
    path = tmp_path / "file"
    net = make()
    net.save(tmp_path / "net.safetensors")
    deep, model = b"[" * 60_000, (tmp_path / "net.safetensors").read_bytes()
    for content in (model, b"size,price\n1,2\n", b"{\n}\n", b"[1]\n", b"epochs\n1\n", b"\xff\xfe\n", deep):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"does not begin as the files of {logger.__name__} do"):
            logger(path)
        assert path.read_bytes() == content


def test_logs_and_what_a_crash_has_left_of_them_are_appended_to(path):
    fit(logger_of(path), epochs=1)
    whole = path.read_bytes()
    for content in (whole, b"", whole[:3]):
        path.write_bytes(content)
        fit(logger_of(path), epochs=1)
        assert path.read_bytes().startswith(content)
        assert len(path.read_bytes()) > len(content)


def test_other_objects_may_come_first(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text('{"run": "first"}\n')
    fit(JSONLinesLogger(path), epochs=2)
    assert [row.get("epoch") for row in rows_of(path)] == [None, 0, 1]


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
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: seconds[0]))

    def wait(epoch, history):
        seconds[0] += 1.0

    history = fit(wait, logger_of(path, every=50), time_limit=1000.0, epochs=10_000)
    assert history.stopped_by == "time_limit"
    assert len(rows_of(path)) == history.epochs
