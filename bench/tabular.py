"""Accuracy of the tabular estimators, all settings at their defaults, beside the published plain nets.

Run: FASTMLP_DATA=FOLDER python bench/tabular.py [--seeds 5] [adult california]

Adult: the official test set. California housing: the first fifth of RandomState(0)'s permutation is the test part.
Published: plain MLPs, each tuned to its data set, mean of 15 seeds, and the mean of five-net ensembles, from the logs
of Gorishniy et al., TabM (yandex-research/tabm at 28e47ae3, exp/mlp).
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from environment import machine, print_machine, start_clean

PUBLISHED = {"adult": ("accuracy", 0.8540, 0.8559), "california": ("RMSE", 0.4948, 0.4880)}


def adult(folder: Path):
    train, test = (pd.read_csv(folder / f"adult/adult-{part}.csv.gz") for part in ("train", "test"))
    return train.drop(columns="income"), train["income"], test.drop(columns="income"), test["income"]


def california(folder: Path):
    table = pd.read_csv(folder / "california/california.csv.gz")
    order = np.random.RandomState(0).permutation(len(table))
    n_test = round(0.2 * len(table))
    X, y = table.drop(columns="MedHouseVal"), table["MedHouseVal"]
    return X.iloc[order[n_test:]], y.iloc[order[n_test:]], X.iloc[order[:n_test]], y.iloc[order[:n_test]]


def figure(name: str, n_nets: int, seed: int, parts) -> tuple[float, float]:
    """(accuracy or RMSE on the test part, seconds of the fit)"""
    from fastmlp import TabularMLPClassifier, TabularMLPRegressor

    X, y, X_test, y_test = parts
    made = (TabularMLPClassifier if name == "adult" else TabularMLPRegressor)(n_nets=n_nets, random_state=seed)
    start = time.perf_counter()
    made.fit(X, y)
    seconds = time.perf_counter() - start
    predicted = made.predict(X_test)
    if name == "adult":
        return float((predicted == y_test.to_numpy()).mean()), seconds
    return float(np.sqrt(np.mean((predicted - y_test.to_numpy()) ** 2))), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[], help=f"of {', '.join(PUBLISHED)}")
    parser.add_argument("--seeds", type=int, default=5)
    settings = parser.parse_args()
    start_clean()
    print_machine(machine())
    folder = Path(os.environ["FASTMLP_DATA"])
    for name in settings.names or PUBLISHED:
        kind, *published = PUBLISHED[name]
        parts = {"adult": adult, "california": california}[name](folder)
        for n_nets, reference in zip((1, 5), published, strict=True):
            runs = np.array([figure(name, n_nets, seed, parts) for seed in range(settings.seeds)])
            values, seconds = runs.T
            print(
                f"{name:11} {n_nets} net{'s' if n_nets > 1 else ' '}: {kind} {values.mean():.4f}, "
                f"SD {values.std():.4f}, published {reference:.4f}; {seconds.mean():.1f} s; "
                f"{' '.join(f'{value:.4f}' for value in values)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
