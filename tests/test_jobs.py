"""fastmlp.jobs: the held-out part. What the jobs do as a whole is in test_cli.py."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

<<<<<<< HEAD
import fastmlp
from fastmlp import jobs
from fastmlp.jobs import split_rows
=======
from fastmlp import History
from fastmlp.jobs import TrainSettings, split_rows, summary, train
from fastmlp.kernels.cpu import backend
>>>>>>> side-A

pd = pytest.importorskip("pandas")


def test_rows_are_parted():
    target = pd.Series(np.linspace(0, 1, 50))
    held_out, kept = split_rows(target, "regression", 0.2, 0)
    assert len(held_out) == 10
    assert sorted([*held_out, *kept]) == list(range(50))
    assert (np.diff(kept) > 0).all()
    again = split_rows(target, "regression", 0.2, 0)
    np.testing.assert_array_equal(held_out, again[0])
    assert not np.array_equal(held_out, split_rows(target, "regression", 0.2, 1)[0])


def test_each_class_gives_its_share_and_keeps_a_row():
    target = pd.Series(["a"] * 60 + ["b"] * 30 + ["c"])
    held_out, kept = split_rows(target, "classification", 0.9, 0)
    assert target.iloc[held_out].value_counts().to_dict() == {"a": 54, "b": 27}
    assert target.iloc[kept].value_counts().to_dict() == {"a": 6, "b": 3, "c": 1}


def test_no_validation():
    held_out, kept = split_rows(pd.Series(range(5)), "regression", 0.0, 0)
    assert len(held_out) == 0
    assert kept.tolist() == list(range(5))


def test_a_share_that_holds_out_nothing():
    with pytest.raises(ValueError, match=r"share of 0\.2 of 2 rows leaves none to validate on"):
        split_rows(pd.Series([1.5, 2.5]), "regression", 0.2, 0)


<<<<<<< HEAD
def test_the_sentence_about_a_training_tells_compiling_apart():
    history = fastmlp.History()
    history.loss = np.ones(80)
    history.seconds, history.compile_seconds = 13.7, 12.1
    assert jobs.summary(history) == (
        "Trained 80 epochs in 1.6 s, after 12.1 s of compiling, once for this kind of net."
    )
    history.compile_seconds, history.best_epoch = 0.0, 63
    assert jobs.summary(history).startswith("Trained 80 epochs in 13.7 s; the parameters of epoch 64 are kept")
=======
def test_an_interrupted_training_says_which_epoch_is_kept():
    history = History()
    history.loss, history.seconds, history.stopped_by, history.best_epoch = np.ones(9), 1.5, "interrupt", 4
    assert summary(history) == (
        "Trained 9 epochs in 1.5 s (interrupted); the parameters of epoch 5 are kept, the best on the validation part."
    )
    history.best_epoch = None
    assert summary(history) == "Trained 9 epochs in 1.5 s (interrupted)."


def test_a_training_that_was_interrupted_before_its_first_epoch_overwrites_nothing(tmp_path, monkeypatch):
    """As by Ctrl-C while kernels are compiled."""

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(backend, "train", interrupted)
    table, output = tmp_path / "table.csv", tmp_path / "model.safetensors"
    table.write_text("a,b\n" + "".join(f"{k},{k % 7}\n" for k in range(40)))
    output.write_text("a good model")
    with pytest.raises(RuntimeError, match="there is nothing to save"):
        train(table, TrainSettings("b", device="cpu"), output, None, Console(file=io.StringIO()))
    assert output.read_text() == "a good model"
>>>>>>> side-A
