"""Fit and predict of the estimators against scikit-learn's, all settings at their defaults.

Run: FASTMLP_DATA=FOLDER python bench/accuracy/estimators.py [--rounds 3] [--epochs N] [--threads 1,2]
     [digits mnist adult covertype predict cv]

Fits alternate between the competitors, each in a process of its own: fastmlp with its default threads, scikit-learn
with one and with two BLAS threads, of which the faster counts. All get the same standardised inputs (MNIST: divided by
255) and the same random_state; epochs and test accuracy are printed to show that they did equal work. MNIST is limited
to 20 epochs, and --epochs limits all to N: the time of an epoch needs no whole fit. CPU time is printed beside wall
time, and says more when other processes are running.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from suite.clean_env import start_clean
from suite.data import data_folder
from suite.machine import machine

FITS = ("digits", "mnist", "adult", "covertype")
TARGETS = {"digits": 8.0, "mnist": 2.5, "adult": 6.0, "covertype": 6.0}
CALLS = 2000


def digits():
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    order = np.random.RandomState(0).permutation(len(X))
    return X[order[360:]], y[order[360:]], X[order[:360]], y[order[:360]]


def mnist():
    arrays = np.load(data_folder() / "mnist/mnist.npz")
    X, X_test = (arrays[f"x_{part}"].reshape(-1, 784) / 255.0 for part in ("train", "test"))
    return X, arrays["y_train"], X_test, arrays["y_test"]


def adult():
    import pandas as pd

    folder = data_folder() / "adult"
    parts = [pd.read_csv(folder / f"adult-{part}.csv.gz") for part in ("train", "test")]
    both = pd.get_dummies(pd.concat(parts).drop(columns="income"), dummy_na=True).to_numpy(float)
    n = len(parts[0])
    return both[:n], parts[0]["income"].to_numpy(), both[n:], parts[1]["income"].to_numpy()


def covertype():
    arrays = np.load(data_folder() / "covertype/covertype.npz")
    return arrays["x_train"].astype(float), arrays["y_train"], arrays["x_test"].astype(float), arrays["y_test"]


def data(name: str):
    X, y, X_test, y_test = {"digits": digits, "mnist": mnist, "adult": adult, "covertype": covertype}[name]()
    if name == "mnist":
        return _float32(X), y, _float32(X_test), y_test
    mean, std = X.mean(axis=0), X.std(axis=0)
    std[std == 0.0] = 1.0
    return _float32((X - mean) / std), y, _float32((X_test - mean) / std), y_test


def _float32(X: np.ndarray) -> np.ndarray:
    """X in float32; scikit-learn's nets then compute in float32 too."""
    return X.astype(np.float32)


def classifier(competitor: str):
    if competitor == "fastmlp":
        from fastmlp import MLPClassifier
    else:
        from sklearn.neural_network import MLPClassifier
    return MLPClassifier


def serve(competitor: str, name: str, epochs: str) -> None:
    """A worker process: reads a seed from each line, fits, and prints a line of results; so fits can alternate."""
    warnings.simplefilter("ignore")  # of reaching max_iter
    make, (X, y, X_test, y_test) = classifier(competitor), data(name)
    limit = {"max_iter": int(epochs)} if epochs != "0" else {"max_iter": 20} if name == "mnist" else {}
    make(max_iter=2).fit(X[:2000], y[:2000])  # compiles and loads, which is not timed
    for line in sys.stdin:
        model = make(random_state=int(line), **limit)
        start, cpu_start = time.perf_counter(), time.process_time()
        model.fit(X, y)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        print(json.dumps([seconds, cpu_seconds, model.n_iter_, model.loss_, model.score(X_test, y_test)]), flush=True)


def fits(name: str, rounds: int, epochs: int, blas_threads: list[int]) -> None:
    workers = {}
    for threads in (0, *blas_threads):
        competitor = f"sklearn, {threads} threads" if threads else "fastmlp"
        environment = dict(os.environ)
        if threads:
            environment |= {"OPENBLAS_NUM_THREADS": str(threads)}
        workers[competitor] = subprocess.Popen(
            [sys.executable, __file__, "--serve", competitor, name, str(epochs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
    results: dict[str, list] = {competitor: [] for competitor in workers}
    for seed in range(rounds):
        for competitor, worker in workers.items():
            worker.stdin.write(f"{seed}\n")
            worker.stdin.flush()
            results[competitor].append(json.loads(worker.stdout.readline()))
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    wall_per_epoch, cpu_per_epoch = {}, {}
    for competitor, rows in results.items():
        seconds, cpu_seconds, epochs, loss, score = np.array(rows).T
        wall_per_epoch[competitor], cpu_per_epoch[competitor] = (
            np.median(seconds / epochs),
            np.median(cpu_seconds / epochs),
        )
        print(
            f"{name:10} {competitor:19} {np.median(seconds):8.3f} s, {epochs.mean():5.1f} epochs of "
            f"{1e3 * wall_per_epoch[competitor]:8.3f} ms ({1e3 * cpu_per_epoch[competitor]:8.3f} of CPU time), "
            f"loss {loss.mean():.4f}, accuracy {score.mean():.4f}"
        )
    ratios = [
        min(per_epoch[k] for k in per_epoch if k != "fastmlp") / per_epoch["fastmlp"]
        for per_epoch in (wall_per_epoch, cpu_per_epoch)
    ]
    print(
        f"{name:10} {ratios[0]:.1f} times scikit-learn's speed per epoch, {ratios[1]:.1f} by CPU time, "
        f"target {TARGETS[name]}\n"
    )


def predict() -> None:
    """Print the CPU time of one call, in microseconds; the competitors alternate in blocks of calls."""
    from sklearn.neural_network import MLPClassifier as SklearnClassifier

    import fastmlp

    warnings.simplefilter("ignore")
    X, y, X_test, _ = data("digits")
    sklearn_net = SklearnClassifier(max_iter=20, random_state=0).fit(X, y)
    fastmlp_net = fastmlp.MLPClassifier(max_iter=20, random_state=0).fit(X, y)
    for n in (1, 10, 100, 360):
        for method in ("predict", "predict_proba"):
            rows, best = X_test[:n], {}
            for _ in range(5):
                for label, model in (("fastmlp", fastmlp_net), ("sklearn", sklearn_net)):
                    call = getattr(model, method)
                    call(rows)
                    start = time.process_time()
                    for _ in range(CALLS // 10):
                        call(rows)
                    microseconds = (time.process_time() - start) / (CALLS // 10) * 1e6
                    best.setdefault(label, []).append(microseconds)
            fastmlp_us, sklearn_us = (np.median(best[label]) for label in ("fastmlp", "sklearn"))
            print(f"{method:14} {n:4} rows: fastmlp {fastmlp_us:7.1f} us, scikit-learn {sklearn_us:7.1f} us")
    print()


def cv() -> None:
    """Cross-validation by fastmlp: all folds as one population, and one fit after another, on one core."""
    from sklearn.datasets import load_breast_cancer, load_iris, load_wine
    from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score

    import fastmlp

    warnings.simplefilter("ignore")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cases = [
        (load_iris, (4,), 30, 1),
        (load_iris, (10,), 30, 1),
        (load_wine, (10,), 32, 1),
        (load_breast_cancer, (4,), 32, 1),
        (load_iris, (4,), 30, 3),
        (load_iris, (10,), 30, 3),
        (load_wine, (10,), 32, 3),
        (load_iris, (10,), 30, 10),
    ]
    for load, hidden, batch, repeats in cases:
        X, y = load(return_X_y=True)
        X = (X - X.mean(axis=0)) / X.std(axis=0)
        model = fastmlp.MLPClassifier(hidden, batch_size=batch, max_iter=200, random_state=0, n_iter_no_change=np.inf)
        folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=repeats, random_state=0)
        cpu_seconds: dict[str, list[float]] = {"population": [], "in a row": []}
        for _ in range(6):
            for label, call in (("population", fastmlp.cross_val_population), ("in a row", cross_val_score)):
                start = time.process_time()
                call(model, X, y, cv=folds)
                cpu_seconds[label].append(time.process_time() - start)
        population, in_a_row = (np.median(cpu_seconds[label][1:]) for label in ("population", "in a row"))
        print(
            f"{5 * repeats:2} folds of {load.__name__[5:]}, hidden {hidden}: {1e3 * population:.1f} ms of CPU time as "
            f"a population, {1e3 * in_a_row:.1f} ms in a row, {in_a_row / population:.1f} times, target 3"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[], help=f"of {', '.join(FITS)}, predict, cv")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--threads", default="1,2", help="of BLAS, for scikit-learn")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.serve:
        serve(*settings.serve)
        return
    names = settings.names or (*FITS, "predict", "cv")
    if not {*names} <= {"digits", "predict", "cv"}:
        data_folder()  # exits at once if there are no data
    start_clean()
    print(machine([]))
    for name in names:
        if name in FITS:
            fits(name, settings.rounds, settings.epochs, [int(n) for n in settings.threads.split(",")])
        else:
            {"predict": predict, "cv": cv}[name]()


if __name__ == "__main__":
    main()
