"""Tables from real data sets, trained and predicted by the command, as a user would.

The folder that FASTMLP_DATA names must hold the files that TABLES lists; without it, the tests are skipped.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

import fastmlp

FOLDER = os.environ.get("FASTMLP_DATA")
pytestmark = pytest.mark.skipif(not FOLDER, reason="FASTMLP_DATA names no folder of real data sets")


class Table(NamedTuple):
    """A table with its target.

    train, test : paths below the folder; the same path twice for a table without an official split
    bound : accuracy or, for numbers, root mean squared error that has to be beaten. For "good" it is that of
        scikit-learn 1.9.1's MLPClassifier with default settings on the same split, mean over seeds; for "fast", a
        little worse than what the preset has had (bench/log/tables.md#tabular-bin-trial), by more than seeds differ
    quality : preset
    """

    train: str
    test: str
    target: str
    bound: float
    quality: str = "good"
    is_regression: bool = False


TABLES = {
    "adult": Table("adult/adult-train.csv.gz", "adult/adult-test.csv.gz", "income", 0.860, "fast"),
    "bank_marketing": Table(*["bank_marketing/bank-additional-full.csv.gz"] * 2, "y", 0.9066),
    "california": Table(*["california/california.csv.gz"] * 2, "MedHouseVal", 0.460, "fast", is_regression=True),
    "magic": Table(*["magic/magic.csv.gz"] * 2, "class", 0.8766),
    "white wine": Table(*["wine_quality/winequality-white.csv.gz"] * 2, "quality", 0.745, "fast", is_regression=True),
}


def split_of(table):
    """Return the tables of training and test rows: the official split, or one fifth of the rows for the test."""
    if table.train != table.test:
        return pd.read_csv(Path(FOLDER) / table.train), pd.read_csv(Path(FOLDER) / table.test)
    rows = pd.read_csv(Path(FOLDER) / table.train, sep=None, engine="python")
    order = np.random.RandomState(0).permutation(len(rows))
    n_test = round(0.2 * len(rows))
    return rows.iloc[order[n_test:]], rows.iloc[order[:n_test]]


def run(*arguments):
    """Run `fastmlp` in a process of its own and return what it printed."""
    done = subprocess.run([sys.executable, "-m", "fastmlp", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", TABLES)
def test_command_is_as_accurate_as_it_was_and_loaded_model_agrees(name, tmp_path):
    table = TABLES[name]
    train, test = split_of(table)
    train.to_csv(tmp_path / "train.csv", index=False)
    test.drop(columns=table.target).to_csv(tmp_path / "test.csv", index=False)
    task = "regression" if table.is_regression else "classification"
    model = str(tmp_path / "model.safetensors")
    options = "--target", table.target, "--task", task, "--quality", table.quality, "--output", model
    run("train", str(tmp_path / "train.csv"), *options)
    run("predict", model, str(tmp_path / "test.csv"), "--output", str(tmp_path / "predicted.csv"))

    predicted = pd.read_csv(tmp_path / "predicted.csv")["prediction"].to_numpy()
    truth = test[table.target].to_numpy()
    assert len(predicted) == len(truth)
    if table.is_regression:
        error = float(np.sqrt(np.mean((predicted - truth) ** 2)))
        assert error < table.bound
    else:
        assert float(np.mean(predicted == truth)) > table.bound

    loaded = fastmlp.load(model).predict(test)
    if table.is_regression:
        np.testing.assert_allclose(predicted, loaded, rtol=1e-5)
    else:
        assert (predicted == loaded).all()


def test_reproduced_test_errors_agree_with_published_ones():
    """Proben1: of 18 published figures, 40 nets each may miss a fifth."""
    command = [
        sys.executable,
        str(Path(__file__).parents[2] / "bench/accuracy/published.py"),
        "proben1",
        "--nets",
        "40",
    ]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    verdicts = [words[-1] for line in printed.splitlines() if (words := line.split()) and words[-1] in ("yes", "no")]
    assert len(verdicts) == 18
    assert verdicts.count("yes") >= 0.8 * len(verdicts)
