"""`fastmlp train` and `fastmlp predict` with tables that are larger than --memory-limit."""

import numpy as np
import pytest
from command_runs import run_command as run
from command_runs import with_defaults
from interrupted_fits import interrupted_epochs
from large_tables import LIMIT, N, make_table

pd = pytest.importorskip("pandas", reason="tables are data frames of pandas")
pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow")

from fastmlp.commands.train_options import TrainOptions  # noqa: E402
from fastmlp.commands.train_table import TrainingPieces  # noqa: E402
from fastmlp.loading import load_net  # noqa: E402
from fastmlp.table_training.model import TableModel  # noqa: E402
from fastmlp.table_training.recipes import Recipe  # noqa: E402

SMALL = ["--hidden", "16", "--epochs", "2", "--device", "cpu"]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    table = make_table()
    table.loc[[7, 20_000], "kind"] = None
    table.loc[N - 9 :, "kind"] = "maybe"
    path = tmp_path_factory.mktemp("tables") / "table.parquet"
    table.assign(id=np.arange(N)).to_parquet(path, row_group_size=9_000)
    return path


@pytest.fixture(scope="module")
def trained(path):
    model = path.with_name("model.safetensors")
    arguments = "--target", "kind", "--drop", "value", "--id", "id", "--n-nets", 2, "--memory-limit", LIMIT
    output = run("train", path, *arguments, *SMALL, "--output", model)
    return model, output


def test_a_large_table_is_trained_on_in_pieces(trained):
    model, output = trained
    assert "2 rows whose target 'kind' is missing: left out." in output
    assert "in pieces, since a fit in memory would take about" in output
    assert "read from disk in each epoch" in output
    net = load_net(model)
    assert net.preprocessing.target.classes == ("maybe", "no", "yes")
    assert "colour = blue" in net.preprocessing.feature_names
    assert net.preprocessing.ids == ("id",)
    assert net.n_nets == 2


@pytest.mark.parametrize("name", [pytest.param("p.csv", marks=pytest.mark.full), "p.csv.gz", "p.parquet"])
def test_predictions_in_pieces_are_those_in_memory(name, trained, path, tmp_path):
    whole, pieces = tmp_path / f"whole_{name}", tmp_path / f"pieces_{name}"
    for output, limit in ((whole, "1TB"), (pieces, LIMIT)):
        run("predict", trained[0], path, "--output", output, "--memory-limit", limit, "--device", "cpu")
    read = pd.read_parquet if "parquet" in name else pd.read_csv
    pd.testing.assert_frame_equal(read(pieces), read(whole))
    assert len(read(pieces)) == N


def test_numbers_of_a_csv_file_are_predicted(path, tmp_path):
    table = pd.read_parquet(path).drop(columns=["kind", "id", "day"])
    table.to_csv(file := tmp_path / "table.csv", index=False)
    arguments = "--target", "value", "--quality", "fast", "--memory-limit", LIMIT, "--test", file
    output = run("train", file, *arguments, *SMALL, "--output", tmp_path / "m.safetensors")
    assert "regression of 'value'" in output
    target = load_net(tmp_path / "m.safetensors").preprocessing.target
    assert (target.mean, target.std) == pytest.approx(
        (table.value.mean(), table.value.std()), abs=0.15 * table.value.std()
    )
    assert f"│ {N:,}" in output, "the test part"


def test_a_table_within_the_limit_gives_the_nets_of_one_in_memory(path, tmp_path):
    make_table(1_500).to_parquet(file := tmp_path / "small.parquet")
    found = []
    for limit in ("1TB", "20MB"):  # by the number of cells, and after a pass
        output = tmp_path / f"{limit}.safetensors"
        text = run("train", file, "--target", "kind", *SMALL, "--memory-limit", limit, "--output", output)
        assert "in pieces" not in text
        found.append(load_net(output).params)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--quality", "best"], "--quality best cannot be used with a table that takes more than --memory-limit"),
        (["--class-weight", "balanced"], "--class-weight cannot be used"),
        (["--target", "kinds"], "Did you mean 'kind'?"),
    ],
)
def test_mistakes_are_sentences(options, message, path, tmp_path):
    output = tmp_path / "m.safetensors"
    given = with_defaults(["--target", "kind", "--memory-limit", LIMIT, "--output", str(output)], options)
    text = run("train", path, *given, code=1)
    assert message in text
    assert "In rows" not in text
    assert not output.exists()


@pytest.mark.parametrize("n_nets, n_calls", [pytest.param(1, 3, marks=pytest.mark.full), (2, 5)])
def test_the_same_command_goes_on_after_ctrl_c_to_the_same_nets(tmp_path, monkeypatch, n_nets, n_calls):
    """Ctrl-C after the last block of an epoch of the only net, and of the second of two."""
    make_table(20_000).to_parquet(file := tmp_path / "table.parquet")
    options = "train", file, "--target", "value", "--n-nets", n_nets, "--memory-limit", "1MB"
    options = *options, *with_defaults(SMALL, ["--epochs", 3])
    models = [tmp_path / "whole.safetensors", tmp_path / "resumed.safetensors"]
    text = run(*options, "--output", models[0])
    assert "read from disk in each epoch" in text
    saving = "--checkpoint", tmp_path / "run.ckpt", "--resume", "--output", models[1]
    with interrupted_epochs(n_calls, monkeypatch):
        text = run(*options, *saving, code=130)
    assert "The same command with --resume goes on." in text
    text = run(*options, *saving)
    assert "The fit goes on" in text
    np.testing.assert_array_equal(*(load_net(model).params for model in models))


def test_a_checkpoint_without_a_memory_limit_has_all_rows_in_memory(tmp_path, monkeypatch):
    """The default limit is a share of the free memory, which the same command may find to be another one later."""
    monkeypatch.setattr("fastmlp.commands.train.read_in_pieces", None)  # would raise
    make_table(300).to_parquet(file := tmp_path / "table.parquet")
    files = "--checkpoint", tmp_path / "run.ckpt", "--output", tmp_path / "m.safetensors"
    run("train", file, "--target", "value", "--quality", "fast", *SMALL, *files)


def test_a_target_without_a_cell_is_refused(tmp_path):
    make_table().assign(kind=None).to_parquet(file := tmp_path / "t.parquet")
    text = run(
        "train", file, "--target", "kind", "--memory-limit", LIMIT, "--output", tmp_path / "m.safetensors", code=1
    )
    assert "All cells of the target column 'kind' are missing" in text


def learned(tmp_path, y, task="auto"):
    """Return a table after the first pass, and its model; y : targets, in pieces of two rows"""
    pd.DataFrame({"x": range(len(y)), "y": y}).to_parquet(file := tmp_path / "t.parquet", row_group_size=2)
    model = TableModel(Recipe())
    fit = TrainingPieces(model, TrainOptions(file, "y", task=task), 10**6)
    fit.learn(0.0)
    return fit, model


def test_target_columns_are_fitted_by_all_cells(tmp_path):
    fit, _ = learned(tmp_path, [1, 2, 1, 3, 1, 1])
    assert (fit.target.classes, fit.class_counts) == ((1, 2, 3), [4, 1, 1])
    fit, model = learned(tmp_path, values := np.arange(100) / 3)
    assert (model.mean, model.std) == (pytest.approx(values.mean()), pytest.approx(values.std()))
    assert (fit.notes, fit.class_counts) == ((), None)
    with pytest.raises(ValueError, match="should hold numbers, but holds 'x'"):
        learned(tmp_path, [*map(str, range(100)), *["x"] * 30], "regression")


def test_categories_without_a_row_are_no_classes(tmp_path):
    fit, _ = learned(tmp_path, pd.Categorical(["a", "b", "a"], categories=["a", "b", "c"]))
    assert fit.target.classes == ("a", "b")
    with pytest.raises(ValueError, match="target column 'y' should hold numbers or classes, but it holds mixed"):
        learned(tmp_path, [["a"], ["b", "c"]])


def test_a_missing_test_file_is_noticed_before_the_table_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("fastmlp.commands.train.read_in_pieces", None)
    (tmp_path / "t.csv").write_text("a,y\n1,2\n2,3\n")
    assert "There is no file" in run(
        "train", tmp_path / "t.csv", "--target", "y", "--test", tmp_path / "none.csv", code=1
    )


@pytest.mark.parametrize("limit", [pytest.param("1TB", marks=pytest.mark.full), LIMIT])
def test_folders_of_parquet_files_are_tables(limit, path, tmp_path):
    table = pd.read_parquet(path).dropna(subset="kind")
    folder = tmp_path / "rows"
    folder.mkdir()
    for k in range(2):
        table[k::2].to_parquet(folder / f"{k}.parquet")
    joined = pd.concat([table[::2], table[1::2]], ignore_index=True)
    joined.to_parquet(file := tmp_path / "rows.parquet")
    found = []
    for source in (folder, file):
        model, output = tmp_path / f"{source.name}.safetensors", tmp_path / f"{source.name}.csv"
        limits = "--memory-limit", limit, "--device", "cpu"
        arguments = "--target", "kind", "--drop", "value", "--id", "id", "--n-nets", 1, "--hidden", 8, "--epochs", 1
        text = run("train", source, *arguments, *limits, "--output", model)
        assert ("in pieces" in text) == (limit == LIMIT)
        text = run("predict", model, source, *limits, "--output", output)
        found.append((load_net(model).params, output.read_bytes()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
    assert pd.read_csv(output).id.tolist() == joined.id.tolist()


def test_folders_without_tables_are_refused(path, trained, tmp_path):
    text = run("train", tmp_path, "--target", "kind", "--output", tmp_path / "m.safetensors", code=1)
    assert "has no files *.parquet" in text
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "0.parquet").write_bytes(path.read_bytes())
    for name in ("1.parquet", "1.PARQUET"):  # one of the folder, too, on some systems
        text = run("predict", trained[0], folder, "--output", folder / name, code=1)
        assert "would be a table of the folder" in text
    assert [file.name for file in folder.iterdir()] == ["0.parquet"]
