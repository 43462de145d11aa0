"""What each choice of the recipe for tables is worth: a net of 256-256-256 for 40 epochs, and with one choice changed.

Run: FASTMLP_DATA=FOLDER python bench/accuracy/ablation.py [--results FILE] [--sets NAME ...] [--choices NAME ...]
     [--seeds 3] [--workers 2]

Nets are trained with the plain API: MLP and its fit, on the features of a tabular estimator. The sets are those that
chose the presets, without their test rows: a fifth of the training rows takes their place, and a fifth of the others
stops the training early. Each fit has one thread, and goes into FILE, a JSON file, at once: the same command goes on
where it was stopped. At the end the table of docs/guide/tables.md is printed. Choices and their sources are in CHOICES.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from accuracy.table_sets import DEVELOPMENT, REGRESSIONS, SETS, Split, fixed_split, without_test
from suite.clean_env import CLEARED
from suite.data import data_folder

RESULTS = Path(__file__).with_name("ablation.json")
BASELINE = "preset"  # a net of the preset "good" with the settings of ONE_NET, by its name in the file of results
ONE_NET = {
    "hidden": (256, 256, 256),
    "dropout": 0.2,
    "learning_rate": 0.003,
    "n_nets": 1,
    "own_folds": False,
    "epochs": 40,
    "patience": 24,
}
DECIMALS = 5


class Settings(NamedTuple):
    """Arguments of what is trained, beside those of the baseline, in whose place they are."""

    encoding: dict[str, Any] = {}  # noqa: RUF012  # of the estimator; read only
    net: dict[str, Any] = {}  # noqa: RUF012
    optimizer: dict[str, Any] = {}  # noqa: RUF012
    fit: dict[str, Any] = {}  # noqa: RUF012


class Choice(NamedTuple):
    """A row of CHOICES: its title in the table, and the settings for layers of these sizes."""

    title: str
    settings: Callable[[tuple[int, ...]], Settings]


def constant(**settings: dict[str, Any]) -> Callable[[tuple[int, ...]], Settings]:
    return lambda sizes: Settings(**settings)


def neural_tangent(sizes: tuple[int, ...]) -> Settings:
    """NTK parametrisation, as docs/guide/training.md describes it, with a learning rate that belongs to it."""
    factors = {(k, "weights"): n**-0.5 for k, n in enumerate(sizes[:-1])}
    return Settings(net={"init": "lecun_normal"}, optimizer={"learning_rate": 0.04, "learning_rate_factors": factors})


# Most are of RealMLP (Holzmüller et al. 2024, arXiv:2407.04491); all else is as in the baseline.
CHOICES = {
    BASELINE: Choice("no choice changed", constant()),
    "ntk": Choice("neural tangent parametrisation", neural_tangent),
    "coslog4": Choice("schedule coslog4", constant(fit={"schedule": "coslog4"})),
    "one_cycle": Choice("schedule one_cycle", constant(fit={"schedule": "one_cycle"})),
    "epochs": Choice('80 epochs, as in "good"', constant(fit={"epochs": 80, "early_stopping": 48})),
    "dropout_schedule": Choice("dropout with schedule flat_cosine", constant(fit={"dropout_schedule": "flat_cosine"})),
    "decay_schedule": Choice(
        "weight decay with schedule flat_cosine", constant(optimizer={"weight_decay_schedule": "flat_cosine"})
    ),
    "no_smoothing": Choice("no label smoothing", constant(net={"label_smoothing": 0.0})),
    "bias_rate": Choice(
        "a tenth of the learning rate for biases", constant(optimizer={"learning_rate_factors": {"biases": 0.1}})
    ),
    "beta2": Choice("beta2 of 0.95", constant(optimizer={"beta2": 0.95})),
    "relu": Choice("activation relu", constant(net={"hidden_activation": "relu"})),
    "silu": Choice("activation silu", constant(net={"hidden_activation": "silu"})),
    "selu": Choice("activation selu", constant(net={"hidden_activation": "selu"})),
    "quantile": Choice("no bins", constant(encoding={"numeric_encoding": "quantile"})),
    "no_dropout": Choice("no dropout", constant(net={"dropout": 0.0})),
    "no_decay": Choice("no weight decay", constant(optimizer={"weight_decay": 0.0})),
}


class Run(NamedTuple):
    """Result of one net; without numbers if the choice is for tables of another kind."""

    error: float | None = None  # RMSE, or log loss of calibrated probabilities, on the rows that stand for test rows
    error_rate: float | None = None  # of classes
    seconds: float | None = None  # of the training on one thread, without the encoding of columns and compiling
    n_inputs: int | None = None  # of the net


def train(name: str, choice: str, seed: int) -> Run:
    """Train one net on a set, and return its result."""
    from fastmlp import MLP, AdamW, TabularMLPClassifier, TabularMLPRegressor
    from fastmlp.estimators.tabular.weights_and_calibration import calibrate
    from fastmlp.initialization import UniformByFanIn
    from fastmlp.table_training.recipes import QUALITIES
    from fastmlp.table_training.rows_in_memory import Rows

    warnings.simplefilter("ignore")
    recipe, is_regression = replace(QUALITIES["good"], **ONE_NET), name in REGRESSIONS
    rows = without_test(SETS[name](data_folder()))
    parts = fixed_split(rows.X, rows.y, seed=100 + seed)  # its test part stops the training
    kind = TabularMLPRegressor if is_regression else TabularMLPClassifier
    encoding = CHOICES[choice].settings((1, 1)).encoding
    estimator = kind(n_nets=1, max_iter=1, random_state=seed, device="cpu", **encoding)
    estimator.fit(parts.X, parts.y, validation_data=(parts.X_test, parts.y_test))
    (X, y), held_out = (estimator.encoded_samples(*pair) for pair in ((parts.X, parts.y), (parts.X_test, parts.y_test)))
    sizes = (X.shape[1], *recipe.hidden, estimator.n_outputs_)
    settings = CHOICES[choice].settings(sizes)
    if _changes_nothing(choice, is_regression):
        return Run()
    loss = "squared_error" if is_regression else "softmax_cross_entropy"
    net = MLP(
        sizes,
        **{
            "hidden_activation": recipe.activation_for(loss),
            "dropout": recipe.dropout,
            "loss": loss,
            "label_smoothing": recipe.label_smoothing_for(loss),
            "init": UniformByFanIn(),
            "random_state": seed,
            "device": "cpu",
            **settings.net,
        },
    )
    optimizer = {
        "learning_rate": recipe.learning_rate,
        "weight_decay": recipe.weight_decay,
        "clip_norm": recipe.clip_norm,
        **settings.optimizer,
    }
    fit = {"schedule": recipe.schedule, "epochs": recipe.epochs, "early_stopping": recipe.patience, **settings.fit}
    history = net.fit(
        X,
        y,
        batch_size=recipe.batch_rows(len(X)),
        optimizer=AdamW(**optimizer),
        validation_data=held_out,
        verbose=0,
        **fit,
    )
    estimator.keep_net(net, history)
    calibrate(estimator, Rows(*held_out), recipe)
    seconds = round(history.training_seconds, 2)
    if is_regression:
        rmse = np.sqrt(np.mean((estimator.predict(rows.X_test) - rows.y_test.to_numpy()) ** 2))
        return Run(round(float(rmse), DECIMALS), None, seconds, sizes[0])
    log_loss, error_rate = _errors_of_classes(estimator, rows)
    return Run(round(log_loss, DECIMALS), round(error_rate, DECIMALS), seconds, sizes[0])


def _changes_nothing(choice: str, is_regression: bool) -> bool:
    """Whether a choice is for tables of another kind, so that the net would be the baseline's."""
    # relu is the baseline's for numbers, silu for classes
    return choice in ("no_smoothing", "relu", "silu") and is_regression == (choice != "silu")


def _errors_of_classes(estimator: Any, rows: Split) -> tuple[float, float]:
    """Return (log loss, error rate) of the rows that stand for test rows."""
    of_class = np.searchsorted(estimator.classes_, rows.y_test.to_numpy())
    probabilities = estimator.predict_proba(rows.X_test)
    own = probabilities[np.arange(len(of_class)), of_class]
    return float(-np.mean(np.log(np.maximum(own, 1e-15)))), float((probabilities.argmax(axis=1) != of_class).mean())


Runs = dict[str, Run]  # by "choice/set/seed"


def runs_of(runs: Runs, choice: str, name: str) -> dict[str, Run]:
    """Return the runs of a choice on a set by their seeds, without those that have no numbers."""
    start = f"{choice}/{name}/"
    return {key[len(start) :]: run for key, run in runs.items() if key.startswith(start) and run.error is not None}


def changes(runs: Runs, choice: str, name: str, figure: str = "error") -> np.ndarray:
    """Return by how many percent a choice changes a figure of the baseline, for each seed that both have."""
    new, base = runs_of(runs, choice, name), runs_of(runs, BASELINE, name)
    pairs = [(getattr(new[seed], figure), getattr(base[seed], figure)) for seed in new if seed in base]
    return np.array([100.0 * (a / b - 1.0) for a, b in pairs if b is not None])


def mean_and_error(values: np.ndarray) -> str:
    """Return a mean with its standard error.

    >>> mean_and_error(np.array([1.0, 2.0, 3.0]))
    '+2.0 ± 0.6'
    """
    if len(values) < 2:
        return f"{values[0]:+.1f}" if len(values) else ""
    return f"{values.mean():+.1f} ± {values.std(ddof=1) / len(values) ** 0.5:.1f}"


def markdown(runs: Runs) -> str:
    """Return the table: the baseline's error, and by how many percent each choice changes it."""
    titles = [f"{name.replace('_', ' ')}, {'RMSE' if name in REGRESSIONS else 'log loss'}" for name in DEVELOPMENT]
    lines = [f"| choice | {' | '.join(titles)} | mean | error rate, mean |", "|---" * (len(DEVELOPMENT) + 3) + "|"]
    base = [[run.error for run in runs_of(runs, BASELINE, name).values()] for name in DEVELOPMENT]
    means = [f"{np.mean(errors):.4f}" if errors else "" for errors in base]
    lines.append(f"| {CHOICES[BASELINE].title} | {' | '.join(means)} | | |")
    for choice in CHOICES:
        if choice != BASELINE:
            found = [changes(runs, choice, name) for name in DEVELOPMENT]
            rates = [changes(runs, choice, name, "error_rate") for name in DEVELOPMENT]
            cells = [*map(mean_and_error, found), _mean_of_sets(found), _mean_of_sets(rates)]
            lines.append(f"| {CHOICES[choice].title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean_of_sets(found: list[np.ndarray]) -> str:
    """Return the mean over the sets, each of which counts alike, with its standard error over the seeds."""
    found = [values for values in found if len(values)]
    if not found:
        return ""
    mean = np.mean([values.mean() for values in found])
    variances = [values.var(ddof=1) / len(values) for values in found if len(values) > 1]
    return f"{mean:+.1f} ± {np.sqrt(np.sum(variances)) / len(found):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON file of errors, read and written")
    parser.add_argument("--sets", nargs="+", choices=DEVELOPMENT, default=[*DEVELOPMENT])
    parser.add_argument("--choices", nargs="+", choices=CHOICES, default=[*CHOICES])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    settings = parser.parse_args()
    data_folder()
    from fastmlp.runtime.output_files import write_text

    os.environ.update({f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")})
    for variable in CLEARED:
        os.environ.pop(variable, None)
    runs = (
        {k: Run(**v) for k, v in json.loads(settings.results.read_text()).items()} if settings.results.exists() else {}
    )
    tasks = [(n, c, s) for s in range(settings.seeds) for n in settings.sets for c in settings.choices]
    with ProcessPoolExecutor(settings.workers, get_context("spawn")) as pool:
        begun = {pool.submit(train, *task): task for task in tasks if f"{task[1]}/{task[0]}/{task[2]}" not in runs}
        for future in as_completed(begun):
            name, choice, seed = begun[future]
            runs[f"{choice}/{name}/{seed}"] = future.result()
            as_dicts = {key: run._asdict() for key, run in runs.items()}
            write_text(settings.results, json.dumps(as_dicts, indent=1, sort_keys=True) + "\n")
    print(markdown(runs))


if __name__ == "__main__":
    main()
