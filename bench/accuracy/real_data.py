"""Accuracy on real data: figures of docs/guide/tables.md, beside those of scikit-learn's MLP.

Run: FASTMLP_DATA=FOLDER python bench/accuracy/real_data.py [adult california covertype mnist]

Tables go through `fastmlp train` with its defaults, MNIST through the API. FOLDER holds
adult/adult-{train,test}.csv.gz, california/california.csv.gz, covertype/covertype.npz and mnist/mnist.npz.
References: scikit-learn 1.9.1's MLPClassifier and MLPRegressor with defaults on the same split (California with
quantile-normal inputs).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from suite.data import data_folder

from fastmlp import MLP, Adam, EarlyStopping
from fastmlp.commands.train import train
from fastmlp.commands.train_settings import TrainSettings

REFERENCE = {
    "adult": "accuracy 0.8394",
    "california": "RMSE 0.5291",
    "covertype": "accuracy 0.6918",
    "mnist": "accuracy 0.9799",
}


def adult(folder: Path, scratch: Path) -> tuple[Path, Path, str]:
    return folder / "adult/adult-train.csv.gz", folder / "adult/adult-test.csv.gz", "income"


def california(folder: Path, scratch: Path) -> tuple[Path, Path, str]:
    """The fixed split: the first fifth of RandomState(0)'s permutation is the test part."""
    table = pd.read_csv(folder / "california/california.csv.gz")
    order = np.random.RandomState(0).permutation(len(table))
    n_test = round(0.2 * len(table))
    for name, rows in (("test", order[:n_test]), ("train", order[n_test:])):
        table.iloc[rows].to_csv(scratch / f"{name}.csv", index=False)
    return scratch / "train.csv", scratch / "test.csv", "MedHouseVal"


def covertype(folder: Path, scratch: Path) -> tuple[Path, Path, str]:
    """The official training records; test: every 50th record of the official test set."""
    arrays = np.load(folder / "covertype/covertype.npz")
    for name in ("train", "test"):
        table = pd.DataFrame(arrays[f"x_{name}"], columns=[f"c{j}" for j in range(54)])
        table["cover"] = arrays[f"y_{name}"]
        table.to_csv(scratch / f"{name}.csv", index=False)
    return scratch / "train.csv", scratch / "test.csv", "cover"


def mnist(folder: Path) -> float:
    arrays = np.load(folder / "mnist/mnist.npz")
    X, X_test = (arrays[f"x_{name}"].reshape(-1, 784).astype(np.float32) / 255 for name in ("train", "test"))
    net = MLP((784, 512, 512, 10), loss="softmax_cross_entropy", dropout=0.2, random_state=0)
    history = net.fit(
        X,
        arrays["y_train"],
        epochs=20,
        batch_size=128,
        optimizer=Adam(1e-3),
        schedule="cosine",
        validation_fraction=0.1,
        early_stopping=EarlyStopping(5, monitor="validation_accuracy"),
    )
    print(history)
    return net.evaluate(X_test, arrays["y_test"])["accuracy"]


TABLES = {"adult": adult, "california": california, "covertype": covertype}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[], help=f"of {', '.join(REFERENCE)}")
    names, folder = parser.parse_args().names, data_folder()
    for name in names or REFERENCE:
        start = time.perf_counter()
        print(f"== {name}, reference {REFERENCE[name]}", flush=True)
        if name in TABLES:
            with tempfile.TemporaryDirectory() as scratch:
                file, test, target = TABLES[name](folder, Path(scratch))
                train(file, TrainSettings(target), Path(scratch) / "model.safetensors", test, Console())
        else:
            print(f"test accuracy {mnist(folder):.4f}")
        print(f"{time.perf_counter() - start:.1f} seconds\n", flush=True)


if __name__ == "__main__":
    main()
