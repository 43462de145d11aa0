"""Real tables with fixed splits into training and test rows, in the folder that FASTMLP_DATA names."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

TEST_SHARE = 0.2


class Split(NamedTuple):
    """Training and test rows: inputs and targets of each."""

    X: pd.DataFrame
    y: pd.Series
    X_test: pd.DataFrame
    y_test: pd.Series


def fixed_split(X: pd.DataFrame, y: pd.Series, seed: int = 0) -> Split:
    """Return the split whose test part is the first fifth of RandomState(seed)'s permutation."""
    order = np.random.RandomState(seed).permutation(len(X))
    n_test = round(TEST_SHARE * len(X))
    return Split(X.iloc[order[n_test:]], y.iloc[order[n_test:]], X.iloc[order[:n_test]], y.iloc[order[:n_test]])


def without_test(split: Split) -> Split:
    """Return a split of the training rows alone, in which a fifth of them takes the place of the test rows."""
    return fixed_split(split.X, split.y, seed=1)


def adult(folder: Path) -> Split:
    """The official split."""
    train, test = (pd.read_csv(folder / f"adult/adult-{part}.csv.gz") for part in ("train", "test"))
    return Split(train.drop(columns="income"), train["income"], test.drop(columns="income"), test["income"])


def california(folder: Path) -> Split:
    table = pd.read_csv(folder / "california/california.csv.gz")
    return fixed_split(table.drop(columns="MedHouseVal"), table["MedHouseVal"])


def magic(folder: Path) -> Split:
    table = pd.read_csv(folder / "magic/magic.csv.gz")
    return fixed_split(table.drop(columns="class"), table["class"])


def bank_marketing(folder: Path) -> Split:
    """Without the column `duration`, which is known only when the answer is."""
    table = pd.read_csv(folder / "bank_marketing/bank-additional-full.csv.gz")
    return fixed_split(table.drop(columns=["y", "duration"]), table["y"])


def covertype(folder: Path) -> Split:
    """The records of all parts of the file, pooled: the official parts differ in their class frequencies."""
    arrays = np.load(folder / "covertype/covertype.npz")
    X, y = (np.concatenate([arrays[f"{kind}_{part}"] for part in ("train", "val", "test")]) for kind in "xy")
    return fixed_split(pd.DataFrame(X).rename(columns=str), pd.Series(y))


def wine(folder: Path) -> Split:
    """White wine; its quality as a number."""
    table = pd.read_csv(folder / "wine_quality/winequality-white.csv.gz")
    return fixed_split(table.drop(columns="quality"), table["quality"].astype(float))


def higgs_7k(folder: Path) -> Split:
    """The rows of both files, pooled: the 500 test rows alone are too few to tell tools apart."""
    table = pd.concat([pd.read_csv(folder / f"higgs_7k/higgs-{part}.csv.gz") for part in ("train", "test")])
    return fixed_split(table.drop(columns="label"), table["label"])


SETS = {row.__name__: row for row in (california, adult, magic, bank_marketing, covertype, wine, higgs_7k)}
DEVELOPMENT = ("california", "adult", "magic", "bank_marketing")  # chose the defaults of the tabular estimators
REGRESSIONS = ("california", "wine")


def metric_of(name: str) -> str:
    return "RMSE" if name in REGRESSIONS else "accuracy"


def error_of(name: str, predicted: np.ndarray, y_test: pd.Series) -> float:
    """Return the RMSE, or the accuracy, of predictions for a set."""
    truth = y_test.to_numpy()
    if name in REGRESSIONS:
        return float(np.sqrt(np.mean((np.asarray(predicted, np.float64) - truth) ** 2)))
    return float((np.asarray(predicted) == truth).mean())
