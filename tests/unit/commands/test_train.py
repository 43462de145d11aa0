"""`fastmlp train`: output files and messages after success, Ctrl-C and divergence; ids of rows."""

from __future__ import annotations

import csv
import os
import pkgutil
import signal

import numpy as np
import pytest
from command_runs import run_command, with_defaults
from typer.testing import CliRunner

import fastmlp
from fastmlp.commands import train as train_job
from fastmlp.commands.cli import app
from fastmlp.commands.train_options import TrainOptions
from fastmlp.history import History
from fastmlp.table_training.model import TableModel
from fastmlp.table_training.recipes import Recipe
from fastmlp.tables import table_files

pd = pytest.importorskip("pandas")
QUICK = ["--n-nets", "1", "--hidden", "8", "--learning-rate", "0.01", "--epochs", "2", "--device", "cpu"]
LIMITS = pytest.mark.parametrize("limit", ["1GB", "1MB"], ids=["in memory", "in pieces"])


@pytest.fixture
def table(tmp_path, rng, monkeypatch):
    """The path of a table in the current folder."""
    monkeypatch.chdir(tmp_path)
    x, ids = rng.normal(size=(200, 2)), [f"{k:05d}" for k in range(200)]
    frame = pd.DataFrame({"id": ids, "size": x[:, 0], "age": x[:, 1], "price": x[:, 0] - x[:, 1] ** 2})
    frame.to_csv(path := tmp_path / "houses.csv", index=False)
    return path


@pytest.fixture
def train(table):
    """A function that runs the command on the table, and returns what it says; m.safetensors is the output."""
    arguments = "train", "houses.csv", "--target", "price", "--output", "m.safetensors"
    return lambda *options, code=0: run_command(*arguments, *with_defaults(QUICK, options), code=code)


def net_of(name="m.safetensors"):
    return fastmlp.load(name).net_


@pytest.fixture
def ctrl_c_after(monkeypatch):
    """ctrl_c_after(n) raises SIGINT when the progress of a fit shows epoch n, as from a terminal."""
    from fastmlp.console.progress_bar import Progress

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    show = Progress.show

    def interrupt_after(n_epochs):
        def shown(self, done, *others):
            show(self, done, *others)
            if done >= n_epochs:
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(Progress, "show", shown)

    yield interrupt_after
    signal.signal(signal.SIGINT, before)


def interrupt(*_, **__):
    signal.raise_signal(signal.SIGINT)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- Ctrl-C and divergence


@pytest.mark.parametrize("validation", [0, 0.2])
def test_ctrl_c_leaves_the_output_and_saves_the_unfinished_net(train, tmp_path, ctrl_c_after, validation):
    train()
    before = files(tmp_path)
    ctrl_c_after(3)
    said = train("--epochs", 100_000, "--validation", validation, code=130)
    assert "Interrupted after" in said
    assert "m.safetensors.interrupted" in said
    after = files(tmp_path)
    assert len(after.pop("m.safetensors.interrupted")) > 1000
    assert after == before
    net = net_of("m.safetensors.interrupted")
    assert net.history.stopped_by == "interrupt"
    assert net.history.epochs >= 2
    assert np.isfinite(net.params).all()
    run_command("predict", "m.safetensors.interrupted", "houses.csv")


def test_ctrl_c_within_the_first_epoch_writes_nothing(tmp_path):
    net = fastmlp.MLP((2, 1), random_state=0)
    net.history = history = History(net)
    history.stopped_by = "interrupt"
    trained = TableModel(Recipe())
    trained.nets, trained.history, trained.interrupted = net, history, True
    with pytest.raises(KeyboardInterrupt, match="before the end of the first epoch, so that nothing was saved"):
        train_job.leave_unfinished(trained, TrainOptions("t.csv", "y", output=tmp_path / "m.safetensors"))
    assert files(tmp_path) == {}


@pytest.mark.parametrize("where", ["read_training_table", "measure_parts"])
def test_ctrl_c_outside_training_exits_with_130(train, tmp_path, monkeypatch, where):
    before, saved = files(tmp_path), where == "measure_parts"
    monkeypatch.setattr(train_job, where, interrupt)
    said = train(code=130)
    assert ("the net is in" if saved else "nothing was written to") in said
    assert set(files(tmp_path)) - set(before) == ({"m.safetensors"} if saved else set())


@pytest.mark.parametrize(
    "place, n, options",
    [
        ("fastmlp.table_training.model.TableModel._calibrate", 1, ()),
        ("fastmlp.table_training.model.TableModel._calibrate", 1, ("--quality", "best")),
        ("fastmlp.table_training.folds.logits", 2, ("--quality", "best")),
    ],
    ids=["calibration", "calibration of folds", "between two folds"],
)
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_after_a_training_saves_the_nets_beside_the_output(train, tmp_path, monkeypatch, place, n, options):
    original, calls = pkgutil.resolve_name(place), []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) >= n:
            interrupt()
        return original(*arguments)

    monkeypatch.setattr(place, interrupted)
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "1")  # nets in turn
    before = files(tmp_path)
    assert "Interrupted after 2 epochs" in train(*options, code=130)
    assert set(files(tmp_path)) - set(before) == {"m.safetensors.interrupted"}
    net = net_of("m.safetensors.interrupted")
    assert getattr(net, "n_nets", 1) == {(): 1}.get(options, 10 if n == 1 else 2)
    assert np.isfinite(net.params).all()


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_the_output_is_saved_takes_effect_afterwards(train, monkeypatch):
    replace = os.replace

    def interrupted(source, target):
        if str(target).endswith("m.safetensors"):
            interrupt()
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    assert "the net is in" in train(code=130)
    assert net_of().history.epochs == 2


def test_second_ctrl_c_while_saving_leaves_no_broken_file(train, tmp_path, monkeypatch, ctrl_c_after):
    """Neither the output nor the file of the unfinished net may be broken."""
    train()
    before = files(tmp_path)
    ctrl_c_after(3)
    monkeypatch.setattr(os, "replace", interrupt)
    train("--epochs", 100_000, code=130)
    assert files(tmp_path) == before


@pytest.mark.parametrize("validation, n_nets", [(0, 1), (0.2, 1), (0.2, 3)])
def test_divergence_exits_with_1_and_leaves_the_output(train, tmp_path, validation, n_nets):
    """The message suggests an option of the command; nothing is saved of nets that have finished no epoch."""
    train()
    before = files(tmp_path)
    options = "--learning-rate", 1e30, "--epochs", 20, "--validation", validation, "--n-nets", n_nets
    said = train(*options, code=1)
    for words in ("stopped being finite before the end of the first epoch, so that nothing was saved", "(it is 1e+30)"):
        assert words in said
    assert files(tmp_path) == before


def test_divergence_after_some_epochs_saves_the_unfinished_net(tmp_path):
    """The message names the file, and the history states the divergence."""
    net = fastmlp.MLP((2, 1), random_state=0)
    history = net.fit(np.eye(2), [0, 1], epochs=3)
    history.stopped_by = "divergence"
    options, trained = TrainOptions("t.csv", "y", output=tmp_path / "m.safetensors"), TableModel(Recipe())
    trained.nets, trained.history = net, history
    with pytest.raises(RuntimeError, match=r"after 3 epochs; what was reached \(training loss .* in epoch 3\) is in"):
        train_job.leave_unfinished(trained, options)
    assert fastmlp.load(tmp_path / "m.safetensors.diverged").history.stopped_by == "divergence"
    history.loss[-1] = np.inf
    with pytest.raises(RuntimeError, match=r"after 3 epochs; what was reached is in .* Lower --learning-rate"):
        train_job.leave_unfinished(trained, options)


def test_the_same_command_goes_on_after_ctrl_c_to_the_same_net(train, tmp_path, ctrl_c_after, monkeypatch):
    train("--epochs", 30)
    params = net_of().params.copy()
    (tmp_path / "m.safetensors").unlink()
    monkeypatch.setattr("fastmlp.commands.train_options.EVERY", 1)
    options = "--epochs", 30, "--checkpoint", "run.ckpt", "--resume"
    ctrl_c_after(4)
    said = train(*options, code=130)
    assert "The same command with --resume goes on." in said
    assert "There is no checkpoint 'run.ckpt' yet: the fit starts anew." in said
    ctrl_c_after(10**9)
    assert "The fit goes on after epoch" in train(*options)
    assert (net_of().params == params).all()


def test_a_checkpoint_of_other_options_is_refused(train):
    options = "--epochs", 3, "--checkpoint", "run.ckpt"
    train(*options)
    assert "on the command line --resume" in train(*options, code=1)
    assert "and here it is" in train(*options, "--resume", "--learning-rate", 0.1, code=1)


# ---- the output


def test_replacing_an_earlier_net_is_announced(train):
    assert "replaced" not in train()
    said = train("--epochs", 3)
    assert net_of().history.epochs == 3
    assert "holds a net; it will be replaced when this training is done" in said
    assert "in place of the net that was there" in said


def test_output_that_is_no_net_is_not_replaced(train, tmp_path):
    model = tmp_path / "m.safetensors"
    for path in (model, tmp_path / "m.safetensors.interrupted"):
        path.write_text("a thesis")
        assert "is not a net that can be read, so it is left alone" in train(code=1)
        assert path.read_text() == "a thesis"
        path.unlink()
        assert not model.exists()
    model.write_text("")  # an empty file holds nothing that could be lost: mktemp makes one
    train()


def test_a_finished_net_is_saved_before_a_word_of_it(train, monkeypatch):
    """As in `fastmlp train ... | head`, which closes the output before the training ends."""

    def fail(*_):
        raise BrokenPipeError

    monkeypatch.setattr(train_job, "summary", fail)
    train("--epochs", 1, code=1)
    assert fastmlp.load("m.safetensors").n_iter_ == 1


def test_train_prints_rows_features_and_device(train):
    """The output does not explain a missing GPU, and nouns after 1 are in the singular."""
    said = train("--epochs", 1, "--drop", "id", "--drop", "age")
    assert "160 rows, 1 feature, on the CPU Trained 1 epoch in" in said
    assert "CuPy" not in said
    assert net_of().preprocessing.feature_names == ["size"]


# ---- ids, and values unseen in training


def predicted(table, *options):
    """Return the rows of `fastmlp predict`, its header first, as lists of cells."""
    result = CliRunner().invoke(app, ["predict", "m.safetensors", str(table), *options])
    assert result.exit_code == 0, result.output
    return list(csv.reader(result.stdout.splitlines()))


def test_id_columns_are_no_features_and_label_predictions(train, table):
    train("--id", "id")
    assert (net_of().preprocessing.ids, net_of().preprocessing.feature_names) == (("id",), ["size", "age"])
    rows = predicted(table)
    assert rows[0] == ["id", "prediction"]
    assert rows[8][0] == "00007", "an id is text: its zeros stay"
    ages = ["age", *pd.read_csv(table, dtype=str)["age"]]
    assert [row[0] for row in predicted(table, "--id", "age")] == ages, "ids are printed to the last digit"
    assert predicted(table, "--id", "price", "--id", "id")[0] == ["price", "id", "prediction"]
    assert predicted(table, "--id", "id", "--id", "id")[0] == ["id", "prediction"]


@LIMITS
def test_id_cells_that_look_missing_are_copied_unchanged(train, table, limit, monkeypatch):
    """Also those of an id that is an input, too."""
    monkeypatch.setattr(table_files, "PIECE_CELLS", 100)  # more than one piece
    cells = ["NA", "null", "?", "nan", "None", "N/A", "007", "1e3", ""]
    frame = pd.read_csv(table, dtype={"id": str})
    frame.loc[: len(cells) - 1, "id"] = cells
    frame["size"] = [f"{size:.3f}0" for size in frame["size"]]
    frame.to_csv(table, index=False)
    train("--id", "id")
    for ids in (["id"], ["id", "size"]):
        options = [word for name in ids for word in ("--id", name)]
        rows = predicted(table, *options, "--memory-limit", limit)
        assert [row[:-1] for row in rows[1:]] == frame[ids].to_numpy().tolist()


@LIMITS
@pytest.mark.parametrize("is_folder", [False, True], ids=["file", "folder"])
def test_ids_of_parquet_that_are_whole_numbers_stay_so(train, table, tmp_path, limit, is_folder, monkeypatch):
    """Also where cells are missing, for which pandas would make floats of them, and lose the last digits."""
    pa = pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet is read by pyarrow")
    monkeypatch.setattr("fastmlp.streams.record_batches.PIECE_CELLS", 200)  # some pieces have missing cells
    frame = pd.read_csv(table)
    frame["id"] = pd.array([2**62 + 1, None, *range(198)], "Int64")
    frame["age"] = pd.array(range(200), "Int64")
    frame.loc[::9, "age"] = pd.NA
    frame.to_csv(table, index=False)
    path = tmp_path / "houses.parquet"
    content = pa.Table.from_pandas(frame).replace_schema_metadata()  # as of a program that is not pandas
    if is_folder:
        path.mkdir()
        parquet.write_table(content[:90], path / "0.parquet")
        parquet.write_table(content[90:], path / "1.parquet")
    else:
        parquet.write_table(content, path)
    train("--id", "id")
    limits = "--memory-limit", limit
    for ids, columns in (((), ["id"]), (("--id", "id", "--id", "age"), ["id", "age"])):
        cells = frame[columns].astype(object).to_numpy()
        expected = [["" if pd.isna(cell) else str(cell) for cell in row] for row in cells]
        assert [row[:-1] for row in predicted(path, *limits, *ids)[1:]] == expected
    run_command("predict", "m.safetensors", path, *limits, "--output", "predictions.parquet")
    assert pd.read_parquet("predictions.parquet", dtype_backend="numpy_nullable")["id"].tolist() == frame["id"].tolist()


@pytest.mark.filterwarnings("default")  # the command shows warnings as sentences
def test_missing_id_columns_warn_or_fail(train, table):
    train("--id", "id")
    pd.read_csv(table).drop(columns="id").to_csv("other.csv", index=False)
    said = run_command("predict", "m.safetensors", "other.csv")
    assert "no column 'id', which training was told is an id" in said
    said = run_command("predict", "m.safetensors", "other.csv", "--id", "agge", code=1)
    assert "Unknown --id column 'agge'. Did you mean 'age'?" in said
    pd.read_csv(table).rename(columns={"id": "prediction"}).to_csv("other.csv", index=False)
    said = run_command("predict", "m.safetensors", "other.csv", "--id", "prediction", code=1)
    assert "'prediction' is an id and a column of the predictions" in said


@pytest.mark.filterwarnings("default")  # the command shows warnings as sentences
def test_prediction_warns_of_values_unseen_in_training(train, table):
    train()
    pd.read_csv(table).assign(age=np.nan).to_csv("other.csv", index=False)
    assert "Column 'age' is missing in" in run_command("predict", "m.safetensors", "other.csv")
    assert "Test part: Column 'age' is missing in" in train("--test", "other.csv")
