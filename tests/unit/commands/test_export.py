"""`fastmlp export`: a trained net to a file, by its suffix, and the sentences for mistakes."""

import numpy as np
import pytest
from exported_outputs import c_outputs, cells_for, onnx_session
from typer.testing import CliRunner

import fastmlp
from fastmlp.commands.cli import app

pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn", reason="pip install 'fastmlp[sklearn]' has scikit-learn")


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path, monkeypatch, rng):
    """The current folder, with a table things.csv and a net things.safetensors that was trained on it."""
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"size": rng.normal(size=120).round(3), "colour": rng.choice(["red", "blue"], 120)})
    table["kind"] = np.where((table["size"] > 0) == (table["colour"] == "red"), "A", "B")
    table.loc[::9, "size"] = np.nan
    table.to_csv("things.csv", index=False)
    quick = "--n-nets", 1, "--hidden", 8, "--epochs", 2
    done = run("train", "things.csv", "--target", "kind", *quick, "--output", "things.safetensors")
    assert done.exit_code == 0, done.stderr
    return tmp_path


def assert_exported_as_predicted(model):
    """Compare what onnxruntime computes of things.csv with what `fastmlp predict` writes."""
    done = run("export", model, "things.onnx")
    assert (done.exit_code, done.stdout) == (0, "Wrote things.onnx\n"), done.stderr
    session, table = onnx_session("things.onnx"), pd.read_csv("things.csv")
    label, p = session.run(["label", "probabilities"], cells_for(session, table))
    assert run("predict", model, "things.csv", "--output", "predictions.csv").exit_code == 0
    predictions = pd.read_csv("predictions.csv")
    np.testing.assert_array_equal(label, predictions["prediction"])
    np.testing.assert_allclose(p, predictions[["probability_A", "probability_B"]], atol=2e-6)


def test_a_net_of_fastmlp_train(folder):
    assert_exported_as_predicted("things.safetensors")


def test_the_nets_of_fastmlp_train_by_default(folder):
    """Without --n-nets it trains several, and the model has the mean of their probabilities."""
    done = run("train", "things.csv", "--target", "kind", "--hidden", 8, "--epochs", 2, "--output", "nets.safetensors")
    assert done.exit_code == 0, done.stderr
    assert len(fastmlp.load("nets.safetensors").net_) > 1
    assert_exported_as_predicted("nets.safetensors")


def test_populations_and_prefixes(tmp_path, rng):
    X, pop = rng.normal(size=(5, 2)).astype(np.float32), fastmlp.Population((2, 3, 1), 4, random_state=0)
    pop.save(tmp_path / "nets.safetensors")
    for arguments, prefix in (([], ""), (["--prefix", "spam"], "spam")):
        path = tmp_path / f"nets{prefix}.h"
        assert run("export", tmp_path / "nets.safetensors", path, *arguments).exit_code == 0
        np.testing.assert_allclose(c_outputs(path, X, 4, prefix), pop.predict(X)[:, :, 0].T, atol=1e-5)


def test_ctrl_c_leaves_the_file_that_is_there(folder, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    (folder / "net.h").write_text("/* Written by fastmlp */")
    monkeypatch.setattr("fastmlp.loading.load", interrupted)
    done = run("export", "things.safetensors", "net.h")
    assert (done.exit_code, done.stderr) == (130, "fastmlp: Interrupted; 'net.h' is as it was.\n")
    assert (folder / "net.h").read_text() == "/* Written by fastmlp */"


MISTAKES = [
    ("things.safetensors things.pt", "should end in .onnx, for ONNX, or .h, for C, but it is 'things.pt'"),
    ("things.safetensors things.h", "numbers only, but these columns hold text: 'colour'"),
    ("things.safetensors things.onnx --prefix a", "prefix is 'a', but only a C file"),
    ("things.safetensors none/things.onnx", "There is no folder 'none'"),
    ("none.safetensors things.onnx", "There is no file 'none.safetensors'"),
    ("things.csv things.onnx", "'things.csv' should be a net saved by fastmlp"),
    ("link.h things.h --prefix 1", "prefix should begin names in C"),
    ("link.h link.h", "is the same file as the input"),
    ("link.h work.h", "'work.h' is there and was not written by fastmlp, so it is left alone"),
]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_mistakes(folder):
    pytest.importorskip("onnx", reason="pip install 'fastmlp[onnx]' has onnx")
    fastmlp.MLP((2, 1), random_state=0).save("link.h")
    (folder / "work.h").write_text("int work;\n")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for command, message in MISTAKES:
        done = run("export", *command.split())
        assert done.exit_code == 1, command
        assert message in " ".join(done.stderr.split()), command
        assert done.stderr.startswith("fastmlp: "), command
        assert {path: path.read_bytes() for path in folder.iterdir()} == before, command
