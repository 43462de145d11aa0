"""`fastmlp train`: output files and messages after success, Ctrl-C and divergence."""

from __future__ import annotations

import csv
import os
import pkgutil
import signal

import numpy as np
import pytest
from command_runs import with_defaults
from typer.testing import CliRunner

import fastmlp
from fastmlp.commands import train as train_job
from fastmlp.commands.cli import app
from fastmlp.commands.train_options import TrainOptions
from fastmlp.history import History
from fastmlp.table_training.model import TableModel
from fastmlp.table_training.recipes import Recipe

pd = pytest.importorskip("pandas")
QUICK = ["--n-nets", "1", "--hidden", "8", "--learning-rate", "0.01", "--device", "cpu"]


@pytest.fixture
def table(tmp_path, rng):
    x = rng.normal(size=(200, 2))
    path = tmp_path / "houses.csv"
    pd.DataFrame(
        {"id": [f"{k:05d}" for k in range(200)], "size": x[:, 0], "age": x[:, 1], "price": x[:, 0] - x[:, 1] ** 2}
    ).to_csv(path, index=False)
    return path


@pytest.fixture
def train(table, tmp_path):
    """A function that runs the command on the table, with m.safetensors beside it as output."""

    def run(*options):
        arguments = ["train", str(table), "--target", "price", "--output", str(tmp_path / "m.safetensors")]
        return CliRunner().invoke(app, [*arguments, *with_defaults(QUICK, options)])

    return run


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


def error_line(result):
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.output
    assert lines[0].startswith("fastmlp: ")
    return lines[0]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("validation", [0, 0.2])
def test_ctrl_c_leaves_the_output_and_saves_the_unfinished_net(train, tmp_path, ctrl_c_after, validation):
    assert train("--epochs", 2).exit_code == 0
    before = files(tmp_path)
    ctrl_c_after(3)
    result = train("--epochs", 100_000, "--validation", validation)
    assert result.exit_code == 130
    assert "Interrupted after" in error_line(result)
    assert "m.safetensors.interrupted" in result.stderr
    after = files(tmp_path)
    reached = after.pop("m.safetensors.interrupted")
    assert after == before
    assert len(reached) > 1000
    net = fastmlp.load(tmp_path / "m.safetensors.interrupted").net_
    assert net.history.stopped_by == "interrupt"
    assert net.history.epochs >= 2
    assert np.isfinite(net.params).all()
    predict = ["predict", str(tmp_path / "m.safetensors.interrupted"), str(tmp_path / "houses.csv")]
    assert CliRunner().invoke(app, predict).exit_code == 0


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
    def interrupt(*_, **__):
        signal.raise_signal(signal.SIGINT)

    before = files(tmp_path)
    monkeypatch.setattr(train_job, where, interrupt)
    result = train("--epochs", 2)
    assert result.exit_code == 130
    saved = where == "measure_parts"
    assert ("the net is in" if saved else "nothing was written to") in error_line(result)
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
        if len(calls) < n:
            return original(*arguments)
        signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(place, interrupted)
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "1")  # nets in turn
    before = files(tmp_path)
    result = train("--epochs", 2, *options)
    assert result.exit_code == 130
    assert "Interrupted after 2 epochs" in error_line(result)
    assert set(files(tmp_path)) - set(before) == {"m.safetensors.interrupted"}
    net = fastmlp.load(tmp_path / "m.safetensors.interrupted").net_
    n_nets = {(): 1}.get(options, 10 if n == 1 else 2)
    assert getattr(net, "n_nets", 1) == n_nets
    assert np.isfinite(net.params).all()


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_the_output_is_saved_takes_effect_afterwards(train, tmp_path, monkeypatch):
    replace = os.replace

    def interrupted(source, target):
        if str(target).endswith("m.safetensors"):
            signal.raise_signal(signal.SIGINT)
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    result = train("--epochs", 2)
    assert result.exit_code == 130
    assert "the net is in" in error_line(result)
    assert fastmlp.load(tmp_path / "m.safetensors").net_.history.epochs == 2


def test_second_ctrl_c_while_saving_leaves_no_broken_file(train, tmp_path, monkeypatch, ctrl_c_after):
    """Neither the output nor the file of the unfinished net may be broken."""
    assert train("--epochs", 2).exit_code == 0
    before = files(tmp_path)
    ctrl_c_after(3)

    def interrupt(*_, **__):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(os, "replace", interrupt)
    result = train("--epochs", 100_000)
    assert result.exit_code == 130
    error_line(result)
    assert files(tmp_path) == before


@pytest.mark.parametrize("validation, n_nets", [(0, 1), (0.2, 1), (0.2, 3)])
def test_divergence_exits_with_1_and_leaves_the_output(train, tmp_path, validation, n_nets):
    """The message suggests an option of the command; nothing is saved of nets that have finished no epoch."""
    assert train("--epochs", 2).exit_code == 0
    before = files(tmp_path)
    result = train("--learning-rate", 1e30, "--epochs", 20, "--validation", validation, "--n-nets", n_nets)
    assert result.exit_code == 1, result.output
    message = error_line(result)
    for words in ("stopped being finite", "Lower --learning-rate (it is 1e+30)"):
        assert words in message
    assert "before the end of the first epoch, so that nothing was saved" in message
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


def test_replacing_an_earlier_net_is_announced(train, tmp_path):
    first = train("--epochs", 2)
    assert "replaced" not in first.stdout
    second = train("--epochs", 3)
    assert second.exit_code == 0
    saved = fastmlp.load(tmp_path / "m.safetensors").net_
    assert saved.history.epochs == 3
    assert "holds a net; it will be replaced when this training is done" in second.stdout
    assert "in place of the net that was there" in second.stdout


def test_output_that_is_no_net_is_not_replaced(train, tmp_path):
    model = tmp_path / "m.safetensors"
    model.write_text("a thesis")
    result = train("--epochs", 2)
    assert result.exit_code == 1
    assert "is not a net that can be read, so it is left alone" in error_line(result)
    assert model.read_text() == "a thesis"
    model.unlink()
    beside = tmp_path / "m.safetensors.interrupted"
    beside.write_text("another thesis")
    result = train("--epochs", 2)
    assert result.exit_code == 1
    assert "is not a net that can be read, so it is left alone" in error_line(result)
    assert (beside.read_text(), model.exists()) == ("another thesis", False)
    beside.unlink()
    model.write_text("")  # an empty file holds nothing that could be lost: mktemp makes one
    assert train("--epochs", 2).exit_code == 0


def test_train_prints_rows_features_and_device(train, tmp_path):
    """The output does not explain a missing GPU, and nouns after 1 are in the singular."""
    result = train("--epochs", 1, "--drop", "id", "--drop", "age")
    assert "160 rows, 1 feature, on the CPU\n" in result.stdout
    assert "Trained 1 epoch in" in result.stdout
    assert fastmlp.load(tmp_path / "m.safetensors").net_.preprocessing.feature_names == ["size"]
    assert "CuPy" not in result.stdout


def test_id_columns_are_no_features_and_label_predictions(train, table, tmp_path):
    assert train("--epochs", 1, "--id", "id").exit_code == 0
    model = str(tmp_path / "m.safetensors")
    preprocessing = fastmlp.load(model).net_.preprocessing
    assert (preprocessing.ids, preprocessing.feature_names) == (("id",), ["size", "age"])
    predict = lambda *options: CliRunner().invoke(app, ["predict", model, str(table), *options]).stdout.splitlines()
    lines = predict()
    assert lines[0] == "id,prediction"
    assert lines[8].startswith("00007,"), "an id is text: its zeros stay"
    assert predict("--id", "age")[0] == "age,prediction"
    ages = pd.read_csv(table, dtype=str)["age"].tolist()
    assert [line.split(",")[0] for line in predict("--id", "age")[1:]] == ages, "ids are printed to the last digit"
    assert predict("--id", "price", "--id", "id")[0] == "price,id,prediction"
    assert predict("--id", "id", "--id", "id")[0] == "id,prediction"


@pytest.mark.parametrize("memory_limit", ["1GB", "1MB"], ids=["in memory", "in pieces"])
def test_id_cells_that_look_missing_are_copied_unchanged(train, table, tmp_path, memory_limit):
    cells = ["NA", "null", "?", "nan", "None", "N/A", "007", "1e3", ""]
    frame = pd.read_csv(table, dtype={"id": str})
    frame.loc[: len(cells) - 1, "id"] = cells
    frame.to_csv(table, index=False)
    assert train("--epochs", 1, "--id", "id").exit_code == 0
    command = ["predict", str(tmp_path / "m.safetensors"), str(table), "--memory-limit", memory_limit]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    rows = list(csv.reader(result.stdout.splitlines()))
    assert [row[0] for row in rows[1:]] == frame["id"].tolist()


@pytest.mark.parametrize("memory_limit", ["1GB", "1MB"], ids=["in memory", "in pieces"])
@pytest.mark.parametrize("is_folder", [False, True], ids=["file", "folder"])
def test_ids_of_parquet_that_are_whole_numbers_stay_so(train, table, tmp_path, memory_limit, is_folder, monkeypatch):
    """Also where cells are missing, for which pandas would make floats of them, and lose the last digits."""
    pa = pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet is read by pyarrow")
    monkeypatch.setattr("fastmlp.streams.table_sources.PIECE_CELLS", 200)  # some pieces have missing cells
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
    assert train("--epochs", 1, "--id", "id").exit_code == 0
    command = ["predict", str(tmp_path / "m.safetensors"), str(path), "--memory-limit", memory_limit]
    for ids, columns in (((), ["id"]), (("--id", "id", "--id", "age"), ["id", "age"])):
        result = CliRunner().invoke(app, [*command, *ids])
        assert result.exit_code == 0, result.output
        rows = list(csv.reader(result.stdout.splitlines()))
        expected = [
            ["" if pd.isna(cell) else str(cell) for cell in row] for row in frame[columns].astype(object).values
        ]
        assert [row[:-1] for row in rows[1:]] == expected
    output = tmp_path / "predictions.parquet"
    assert CliRunner().invoke(app, [*command, "--output", str(output)]).exit_code == 0
    assert pd.read_parquet(output, dtype_backend="numpy_nullable")["id"].tolist() == frame["id"].tolist()


def test_a_finished_net_is_saved_before_a_word_of_it(train, tmp_path, monkeypatch):
    """As in `fastmlp train ... | head`, which closes the output before the training ends."""

    def fail(*_):
        raise BrokenPipeError

    monkeypatch.setattr(train_job, "summary", fail)
    assert train("--epochs", 1).exit_code != 0
    assert fastmlp.load(tmp_path / "m.safetensors").n_iter_ == 1


@pytest.mark.filterwarnings("default")  # the command shows warnings as sentences
def test_missing_id_columns_warn_or_fail(train, table, tmp_path):
    assert train("--epochs", 1, "--id", "id").exit_code == 0
    model, other = str(tmp_path / "m.safetensors"), tmp_path / "other.csv"
    pd.read_csv(table).drop(columns="id").to_csv(other, index=False)
    result = CliRunner().invoke(app, ["predict", model, str(other)])
    assert result.exit_code == 0
    assert result.stdout.startswith("prediction\n")
    assert "no column 'id', which training was told is an id" in error_line(result)
    result = CliRunner().invoke(app, ["predict", model, str(other), "--id", "agge"])
    assert result.exit_code == 1
    assert "no --id column 'agge'. Did you mean 'age'?" in error_line(result)
    pd.read_csv(table).rename(columns={"id": "prediction"}).to_csv(other, index=False)
    result = CliRunner().invoke(app, ["predict", model, str(other), "--id", "prediction"])
    assert "'prediction' is an id and a column of the predictions" in error_line(result)


@pytest.mark.filterwarnings("default")  # the command shows warnings as sentences
def test_prediction_warns_of_values_unseen_in_training(train, table, tmp_path):
    assert train("--epochs", 1).exit_code == 0
    other = tmp_path / "other.csv"
    pd.read_csv(table).assign(age=np.nan).to_csv(other, index=False)
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "m.safetensors"), str(other)])
    assert result.exit_code == 0
    assert "Column 'age' is missing in" in error_line(result)
    result = train("--epochs", 1, "--test", other)
    assert "Test part: Column 'age' is missing in" in result.stdout


def test_the_same_command_goes_on_after_ctrl_c_to_the_same_net(train, tmp_path, ctrl_c_after, monkeypatch):
    expected = train("--epochs", 30)
    assert expected.exit_code == 0
    params = fastmlp.load(tmp_path / "m.safetensors").net_.params.copy()
    (tmp_path / "m.safetensors").unlink()
    monkeypatch.setattr("fastmlp.commands.train_options.EVERY", 1)
    options = "--epochs", 30, "--checkpoint", tmp_path / "run.ckpt", "--resume"
    ctrl_c_after(4)
    stopped = train(*options)
    assert stopped.exit_code == 130
    assert "The same command with --resume goes on." in stopped.output
    assert f"There is no checkpoint {str(tmp_path / 'run.ckpt')!r} yet: the fit starts anew." in stopped.output
    ctrl_c_after(10**9)
    resumed = train(*options)
    assert resumed.exit_code == 0
    assert "The fit goes on after epoch" in resumed.output
    assert (fastmlp.load(tmp_path / "m.safetensors").net_.params == params).all()


def test_a_checkpoint_of_other_options_is_refused(train, tmp_path):
    options = "--epochs", 3, "--checkpoint", tmp_path / "run.ckpt"
    assert train(*options).exit_code == 0
    again = train(*options)
    assert again.exit_code == 1
    assert "on the command line --resume" in " ".join(again.output.split())
    other = train(*options, "--resume", "--learning-rate", 0.1)
    assert other.exit_code == 1
    assert "and here it is" in " ".join(other.output.split())
