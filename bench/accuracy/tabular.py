"""Accuracy of the tabular estimators, all settings at their defaults, beside the published plain nets.

Run: FASTMLP_DATA=FOLDER python bench/accuracy/tabular.py [--seeds 5] [adult california] [magic wine covertype]

Adult: the official test set. California housing: the first fifth of RandomState(0)'s permutation is the test part.
Published: plain MLPs, each tuned to its data set, mean of 15 seeds, and the mean of five-net ensembles, from the logs
of Gorishniy et al., TabM (yandex-research/tabm at 28e47ae3, exp/mlp). The defaults were chosen while looking at these
two data sets. The other three had no part in that; they are compared with scikit-learn's MLP on standardised columns
and with its histogram gradient boosting, both with defaults and one seed.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from suite.clean_env import start_clean
from suite.data import data_folder

from fastmlp.benchmarks.machine import machine

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


def fixed_split(X, y):
    order = np.random.RandomState(0).permutation(len(X))
    n_test = round(0.2 * len(X))
    return X.iloc[order[n_test:]], y.iloc[order[n_test:]], X.iloc[order[:n_test]], y.iloc[order[:n_test]]


def magic(folder: Path):
    table = pd.read_csv(folder / "magic/magic.csv.gz")
    return fixed_split(table.drop(columns="class"), table["class"])


def wine(folder: Path):
    table = pd.read_csv(folder / "wine_quality/winequality-white.csv.gz")
    return fixed_split(table.drop(columns="quality"), table["quality"].astype(float))


def covertype(folder: Path):
    arrays = np.load(folder / "covertype/covertype.npz")
    frames = [
        (pd.DataFrame(arrays[f"x_{part}"]).rename(columns=str), pd.Series(arrays[f"y_{part}"]))
        for part in ("train", "test")
    ]
    return (*frames[0], *frames[1])


DATA = {"adult": adult, "california": california, "magic": magic, "wine": wine, "covertype": covertype}
REGRESSIONS = ("california", "wine")


def error_of(name: str, predicted, y_test) -> float:
    if name in REGRESSIONS:
        return float(np.sqrt(np.mean((predicted - y_test.to_numpy()) ** 2)))
    return float((predicted == y_test.to_numpy()).mean())


def print_sklearn(name: str, split) -> None:
    from sklearn import ensemble, neural_network
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    X, y, X_test, y_test = split
    kind = "Regressor" if name in REGRESSIONS else "Classifier"
    net = getattr(neural_network, f"MLP{kind}")(random_state=0)
    trees = getattr(ensemble, f"HistGradientBoosting{kind}")(random_state=0)
    for label, model in (("scikit-learn's MLP", make_pipeline(StandardScaler(), net)), ("gradient boosting", trees)):
        with threadpool_limits(1):  # two threads of BLAS are slower for the net
            predicted = model.fit(X, y).predict(X_test)
        print(f"{name:11} {label}: {error_of(name, predicted, y_test):.4f}", flush=True)


def figure(name: str, n_nets: int, seed: int, split) -> tuple[float, float]:
    """(accuracy or RMSE on the test part, seconds of the fit)"""
    from fastmlp import TabularMLPClassifier, TabularMLPRegressor

    X, y, X_test, y_test = split
    model = (TabularMLPRegressor if name in REGRESSIONS else TabularMLPClassifier)(n_nets=n_nets, random_state=seed)
    start = time.perf_counter()
    model.fit(X, y)
    seconds = time.perf_counter() - start
    return error_of(name, model.predict(X_test), y_test), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[], help=f"of {', '.join(DATA)}")
    parser.add_argument("--seeds", type=int, default=5)
    settings = parser.parse_args()
    start_clean()
    print(machine([]))
    folder = data_folder()
    for name in settings.names or PUBLISHED:
        kind, *published = PUBLISHED.get(name, ("RMSE" if name in REGRESSIONS else "accuracy", None, None))
        split = DATA[name](folder)
        if name not in PUBLISHED:
            warnings.simplefilter("ignore")  # scikit-learn's MLP does not converge
            print_sklearn(name, split)
        for n_nets, reference in zip((1, 5), published, strict=True):
            runs = np.array([figure(name, n_nets, seed, split) for seed in range(settings.seeds)])
            values, seconds = runs.T
            print(
                f"{name:11} {n_nets} net{'s' if n_nets > 1 else ' '}: {kind} {values.mean():.4f}, "
                f"SD {values.std():.4f}, {f'published {reference:.4f}; ' if reference else ''}{seconds.mean():.1f} s; "
                f"{' '.join(f'{value:.4f}' for value in values)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
