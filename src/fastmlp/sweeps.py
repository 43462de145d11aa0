"""Random search over settings, with cross-validation: nets of one architecture are trained as one population."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from .checks import seed_of
from .console.compile_notice import CompileNotices
from .console.progress_bar import Progress, checked_verbose
from .console.stopwatch import Stopwatch, format_time
from .data.arrays import as_numbers
from .data.finiteness import checked_finite
from .data.targets import as_targets, metric_of
from .errors import checked_count, counted, install_command, is_distribution, unknown_name
from .html_display import html_table
from .kernels.structs import METRIC_NONE
from .mlp import MLP
from .optimizers import OPTIMIZERS, Optimizer, optimizer_from_name
from .population import Population
from .sampling import folds

NET_SETTINGS = ("hidden_activation", "output_activation", "loss", "label_smoothing", "huber_delta", "init")
PER_NET = ("dropout", "l2", "init_scale")
FIT_SETTINGS = ("epochs", "batch_size", "schedule", "shuffle")
OPTIMIZER_SETTINGS = tuple(dict.fromkeys(f.name for cls in OPTIMIZERS.values() for f in fields(cls)))
PER_LAYER = ("hidden_layer_sizes", "hidden_activation")  # settings for which a tuple is one value, not choices
HTML_ROWS = 20  # configurations that a notebook shows
MANY_CLASSES = 50  # whole numbers from this one on are taken for quantities, not classes
GROUPS_AT_A_TIME = 8  # populations whose tasks an executor has at a time
POLL = 0.2  # seconds between two looks at them
KNOWN = ("hidden_layer_sizes", "optimizer", *NET_SETTINGS, *PER_NET, *FIT_SETTINGS, *OPTIMIZER_SETTINGS)


@dataclass(frozen=True, eq=False)
class SweepResult:
    """Result of `sweep`: configurations and their scores, the best configuration first.

    `sweep` makes it; users do not.

    Parameters
    ----------
    settings : list of dict
        Settings of each configuration.
    scores : ndarray of float64, shape (n,)
        Mean score over the held-out folds; larger is better.
    fold_scores : ndarray of float64, shape (n, cv)
        Score on each held-out fold.
    train_losses : ndarray of float64, shape (n,)
        Training loss of the last epoch, mean over the folds.
    scoring : str
        "accuracy", or "-loss" for regression.
    best : MLP
        Net trained with the best settings on all samples.
    seconds : float
        Wall time in seconds, compiling included.
    interrupted : bool, default False
        Whether Ctrl-C left configurations out, or ended the training of `best`.
    compile_seconds : float, default 0.0
        Part of `seconds` in which kernels were compiled or loaded.

    Attributes
    ----------
    best_settings : dict
        Settings of the best configuration, the first of `settings`.

    Examples
    --------
    >>> import fastmlp
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 2)); y = (X[:, 0] > 0).astype(int)
    >>> found = fastmlp.sweep(X, y, {"learning_rate": [0.01, 0.1]}, n=3, epochs=20, random_state=0)
    >>> found.best_settings == found.settings[0], found.fold_scores.shape
    (True, (3, 3))
    """

    settings: list[dict[str, Any]]
    scores: np.ndarray
    fold_scores: np.ndarray
    train_losses: np.ndarray
    scoring: str
    best: MLP
    seconds: float
    interrupted: bool = False
    compile_seconds: float = 0.0

    @property
    def best_settings(self) -> dict[str, Any]:
        """Settings of the best configuration."""
        return self.settings[0]

    def to_frame(self) -> Any:
        """Return a pandas DataFrame with a row per configuration, the best first.

        Returns
        -------
        pandas.DataFrame
            The score, its standard deviation over the folds, the training loss, and the settings.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(f"to_frame needs pandas: {install_command('table')}.") from error
        frame = pd.DataFrame([{key: _rounded(value) for key, value in row.items()} for row in self.settings])
        frame.insert(0, self.scoring, self.scores)
        frame.insert(1, "SD", self.fold_scores.std(axis=1, ddof=1))
        frame.insert(2, "train loss", self.train_losses)
        return frame

    def summary(self, top: int = 10) -> str:
        """Return the best configurations as text, ready to print.

        Parameters
        ----------
        top : int, default 10
            Number of configurations.

        Returns
        -------
        str
        """
        end = ", interrupted" if self.interrupted else ""
        lines = [
            f"{len(self.scores)} configurations in {format_time(self.seconds, self.compile_seconds)}{end}; "
            f"{self.scoring}, mean over folds and SD"
        ]
        for row, score, scores_of_folds in list(zip(self.settings, self.scores, self.fold_scores, strict=True))[:top]:
            text = ", ".join(f"{key}={_rounded(value)}" for key, value in row.items())
            lines.append(f"{score:9.4f} {scores_of_folds.std(ddof=1):7.4f}  {text}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        names = list(dict.fromkeys(name for row in self.settings for name in row))
        ranked = zip(self.scores, self.fold_scores, self.settings, strict=True)
        rows = [
            [float(score), float(of_folds.std(ddof=1)), *(_rounded(row.get(name, "")) for name in names)]
            for score, of_folds, row in list(ranked)[:HTML_ROWS]
        ]
        n, time = len(self.scores), format_time(self.seconds, self.compile_seconds)
        title = f"{counted(n, 'configuration')} in {time}{', interrupted' if self.interrupted else ''}"
        note = f"the best {HTML_ROWS} of {n:,}; to_frame() has all" if n > HTML_ROWS else ""
        return html_table(title, [self.scoring, "SD over folds", *names], rows, note)

    def __repr__(self) -> str:
        return (
            f"SweepResult(n={len(self.scores)}, best {self.scoring}={self.scores[0]:.4g}, seconds={self.seconds:.3g})"
        )


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _draw_choice(name: str, choices: Any, rng: np.random.Generator) -> Any:
    if is_distribution(f"space[{name!r}]", choices):
        value = choices.rvs(random_state=rng)
        return value.item() if hasattr(value, "item") else value
    if isinstance(choices, (list, range, np.ndarray)) or (isinstance(choices, tuple) and name not in PER_LAYER):
        if not len(choices):
            raise ValueError(f"space[{name!r}] is empty: give at least one choice, or leave it out.")
        value = choices[rng.integers(len(choices))]
        return value.item() if isinstance(value, np.generic) else value
    return choices


def _configurations(space: Mapping[str, Any], n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    if not isinstance(space, Mapping):
        raise ValueError(f"space must be a dictionary {{setting: choices}}, but it is a {type(space).__name__}.")
    for name in space:
        if name not in KNOWN:
            raise unknown_name("setting in space", name, KNOWN)
    return [{name: _draw_choice(name, choices, rng) for name, choices in space.items()} for _ in range(n)]


def _default_loss(y: np.ndarray) -> str:
    """Return the loss for targets: whole numbers from 0 to below MANY_CLASSES in one column are classes."""
    are_whole = y.size > 0 and (y.ndim == 1 or y.shape[1:] == (1,)) and np.array_equal(y, np.floor(y))
    if not are_whole or y.min() < 0 or y.max() >= MANY_CLASSES:
        return "squared_error"
    return "binary_cross_entropy" if y.max() <= 1 else "softmax_cross_entropy"


def _n_outputs(loss: str, y: np.ndarray) -> int:
    if y.ndim == 2 and y.shape[1] > 1:
        return y.shape[1]
    if loss == "softmax_cross_entropy":
        return max(2, int(y.max()) + 1)
    return int(y.max()) + 1 if loss == "binary_cross_entropy" and y.max() > 1 else 1


def _optimizer(row: Mapping[str, Any]) -> Optimizer:
    base = optimizer_from_name(row.get("optimizer", "adam"))
    settings = {name: row[name] for name in OPTIMIZER_SETTINGS if name in row}
    names = {f.name for f in fields(base)}
    if unknown := [name for name in settings if name not in names]:
        raise ValueError(
            f"space has {unknown[0]!r}, but {type(base).__name__} has no such setting. "
            f"It has {', '.join(sorted(names))}."
        )
    return type(base)(**{**{f.name: getattr(base, f.name) for f in fields(base)}, **settings})


def sweep(
    X: Any,
    y: Any,
    space: Mapping[str, Any],
    *,
    n: int = 50,
    cv: int = 3,
    epochs: int = 100,
    batch_size: int | None = 32,
    device: str = "auto",
    dtype: Any = "float32",
    random_state: Any = None,
    verbose: int = 1,
    executor: Any = None,
) -> SweepResult:
    """Train n configurations drawn at random from a space of settings, and refit the best one on all samples.

    Nets are trained as one population if they differ only in dropout, l2, init_scale and numeric settings of the
    optimiser. Ctrl-C ends the search; the result has the configurations that were finished.

    Parameters
    ----------
    X : array_like of shape (n_samples, n_features)
        Inputs.
    y : array_like of shape (n_samples, n_outputs) or (n_samples,)
        Targets, as for MLP.fit.
    space : dict
        {setting: a list of choices, a frozen SciPy distribution, or one value}. Settings are hidden_layer_sizes (a
        tuple with the units of each hidden layer), hidden_activation, output_activation, loss, label_smoothing,
        huber_delta, init, dropout, l2 and init_scale of MLP, optimizer and its settings such as learning_rate, and
        epochs, batch_size, schedule and shuffle of fit. The default loss depends on y: whole numbers from 0 to 49 are
        classes.
    n : int, default 50
        Number of configurations.
    cv : int, default 3
        Number of cross-validation folds; each configuration is trained cv times and scored on the fold that was held
        out.
    epochs : int, default 100
        Number of passes over the data, for configurations whose space has no such setting.
    batch_size : int or None, default 32
        Number of samples per step, for configurations whose space has no such setting; None takes all in one batch.
    device : str, default "auto"
        Where to train, as for MLP.
    dtype : {"float32", "float64"}, default "float32"
        Data type of the parameters and of all computations.
    random_state : int, numpy.random.Generator or RandomState, optional
        Seed of the configurations, the folds and the nets. By default the seed is random.
    verbose : {0, 1, 2}, default 1
        As for Population.fit.
    executor : object, optional
        Where to train the configurations, as for Population.fit; populations are then trained side by side, and the
        scores have the same bits. The best configuration is refitted in this process.

    Returns
    -------
    SweepResult

    Raises
    ------
    ValueError
        If a setting is unknown, a list of choices is empty, or the configurations have losses that cannot be compared;
        and as MLP and its fit do.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(90, 2)); y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> space = {"hidden_layer_sizes": [(4,), (8,)], "learning_rate": loguniform(1e-3, 1e-1)}
    >>> found = sweep(X, y, space, n=6, epochs=50, random_state=0)
    >>> len(found.settings), found.scoring, found.best.network.layer_sizes[0]
    (6, 'accuracy', 2)
    """
    verbose = checked_verbose(verbose)
    with CompileNotices(verbose > 0):
        search = Search(X, y, space, n, cv, epochs, batch_size, device, dtype, random_state)
        return _search(search, executor, verbose)


class Group(NamedTuple):
    """Configurations whose nets are trained as one population."""

    members: list[int]  # numbers of the configurations
    configurations: list[dict[str, Any]]
    seed: int  # of the population


class Search:
    """Search of `sweep`: its configurations, and the scores of those that are finished. Arguments are those of sweep.

    Raises
    ------
    ValueError
        As sweep does.
    """

    def __init__(self, X, y, space, n, cv, epochs, batch_size, device, dtype, random_state):
        n, self.cv = checked_count("n", n), checked_count("cv", cv, 2)
        self.device, self.dtype, self.seed = device, dtype, seed_of(random_state)
        rng = np.random.default_rng(self.seed)
        self.targets = as_numbers(y, "y")
        checked_finite(self.targets, "y")
        self.rows = _configurations(space, n, rng)
        loss = _default_loss(self.targets)
        self.defaults = {"loss": loss, "epochs": epochs, "batch_size": batch_size}
        self.features = as_numbers(X, "X")
        if self.features.ndim != 2:
            raise ValueError(f"X must have shape (n_samples, n_features), but it has shape {self.features.shape}.")
        if len(self.targets) != len(self.features):
            raise ValueError(
                f"y has {counted(len(self.targets), 'sample')}, but X has {len(self.features)}: they must have the "
                "same length."
            )
        strata = self.targets.reshape(-1) if loss != "squared_error" else None
        self.fold_weights = folds(len(self.features), cv, stratify=strata, random_state=self.seed % 2**32)
        self.groups = [
            Group(members, [{**self.defaults, **self.rows[k]} for k in members], int(rng.integers(2**31)))
            for members in _groups(self.rows, self.defaults)
        ]
        firsts = [group.configurations[0] for group in self.groups]
        self.scoring = _scoring(firsts, self.features, self.targets, device, dtype)
        self.fold_scores, self.losses = np.full((n, self.cv), np.nan), np.full(n, np.nan)
        self._is_finished, self.interrupted = np.zeros(n, bool), False

    def run(self, verbose: int, executor: Any = None, show: Callable[[], None] = lambda: None) -> None:
        """Train the groups one after another or, with an executor, side by side; Ctrl-C ends the search.

        show : function that is called after each group
        """
        try:
            if executor is not None:
                self._run_on_workers(verbose, executor, show)
                return
            for group in self.groups:
                self._train(group, verbose)
                show()
                if self.interrupted:
                    break
        except KeyboardInterrupt:  # outside of a fit, such as in an evaluation
            self.interrupted = True

    def _run_on_workers(self, verbose: int, executor: Any, show: Callable[[], None]) -> None:
        """Train groups side by side, each by a thread that waits for its tasks."""
        from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

        from .executors.tasks import NOTICE
        from .executors.workers import workers_of

        self.features = np.ascontiguousarray(self.features, self.dtype)  # all groups then share one array
        pool, bar = ThreadPoolExecutor(GROUPS_AT_A_TIME), Progress(len(self.rows), verbose, "configuration")
        with workers_of(executor) as workers, pool as threads, bar as progress:
            waiting = {threads.submit(self._train, group, 0, workers) for group in self.groups}
            try:
                while waiting:
                    done, waiting = wait(waiting, POLL, FIRST_COMPLETED)
                    for future in done:
                        future.result()
                        show()
                    progress.show(int(self._is_finished.sum()), float("nan"))
                    if self.interrupted:  # Ctrl-C has reached a worker
                        raise KeyboardInterrupt
            except BaseException as error:
                workers.stop.set()
                for future in waiting:
                    future.cancel()
                if verbose and isinstance(error, KeyboardInterrupt):
                    print(f"\n{NOTICE}", file=sys.stderr)
                try:
                    wait(waiting)
                except KeyboardInterrupt:
                    workers.leave.set()
                raise

    def _train(self, group: Group, verbose: int, executor: Any = None) -> None:
        """Train the nets of a group, and write the scores of its configurations."""
        pop, fit = _population(
            group.configurations, self.features, self.targets, self.cv, self.device, self.dtype, group.seed
        )
        shape = len(group.members), self.cv
        weights = np.tile(self.fold_weights, (len(group.members), 1))
        result = pop.fit(self.features, self.targets, sample_weight=weights, verbose=verbose, executor=executor, **fit)
        figures = pop.evaluate(self.features, self.targets, sample_weight=1.0 - weights)
        score = figures["accuracy"] if self.scoring == "accuracy" else -figures["loss"]
        self.fold_scores[group.members] = np.where(np.isfinite(score), score, -np.inf).reshape(shape)
        self.losses[group.members] = result.loss.reshape(shape).mean(axis=1)
        self._is_finished[group.members] = (result.stopped_by != "interrupt").reshape(shape).all(axis=1)
        self.interrupted |= result.interrupted

    def order(self) -> np.ndarray:
        """Return the numbers of the finished configurations, the best first."""
        finished = np.flatnonzero(self._is_finished)
        return finished[np.argsort(-self.fold_scores[finished].mean(axis=1), kind="stable")]

    def configuration(self, k: int) -> dict[str, Any]:
        """Return the settings of a configuration, with the defaults."""
        return {**self.defaults, **self.rows[k]}


def _search(search: Search, executor: Any, verbose: int) -> SweepResult:
    watch = Stopwatch()
    search.run(verbose, executor)
    order = search.order()
    if not order.size:
        raise KeyboardInterrupt
    row = search.configuration(order[0])
    best = _refit(row, search.features, search.targets, search.device, search.dtype, search.seed, verbose)
    seconds, compile_seconds = watch.read()
    return SweepResult(
        settings=[search.rows[k] for k in order],
        scores=search.fold_scores.mean(axis=1)[order],
        fold_scores=search.fold_scores[order],
        train_losses=search.losses[order],
        scoring=search.scoring,
        best=best,
        seconds=seconds,
        interrupted=search.interrupted or (best.history is not None and best.history.stopped_by == "interrupt"),
        compile_seconds=compile_seconds,
    )


def _scoring(configurations: list[dict[str, Any]], X: np.ndarray, y: np.ndarray, device: str, dtype: Any) -> str:
    """Return "accuracy" or "-loss", the score by which all configurations are compared.

    configurations : one configuration of each group

    Raises
    ------
    ValueError
        If the scores of the configurations cannot be compared.
    """
    scorings = {}
    for row in configurations:
        network = _population([row], X, y, 1, device, dtype, 0)[0].network
        metric = metric_of(as_targets(y, network, np.dtype(dtype), len(X)), network)
        scoring = "-loss" if metric == METRIC_NONE else "accuracy"
        loss = "" if scoring == "accuracy" else f", {network.loss_row.name} {network.loss_constant:g}"
        scorings[scoring + loss] = scoring
    if len(scorings) > 1:
        raise ValueError(
            f"Scores of this space cannot be compared: {' and '.join(scorings)}. Search one loss and output "
            "activation at a time."
        )
    return next(iter(scorings.values()))


def _groups(rows: Sequence[dict[str, Any]], defaults: dict[str, Any]) -> list[list[int]]:
    """Return lists of row numbers, one per population: rows that differ only in settings that may differ per net."""
    groups: dict[str, list[int]] = {}
    for k, row in enumerate(rows):
        settings = {**defaults, **row}
        optimizer = _optimizer(settings)
        shared_settings = {
            name: value for name, value in settings.items() if name not in (*PER_NET, *OPTIMIZER_SETTINGS)
        }
        key = repr((sorted(shared_settings.items(), key=str), type(optimizer).__name__, optimizer.rule.name))
        groups.setdefault(key, []).append(k)
    return list(groups.values())


def _layer_sizes(row: Mapping[str, Any], X: np.ndarray, y: np.ndarray) -> tuple[int, ...]:
    hidden = row.get("hidden_layer_sizes", (32,))
    hidden = (hidden,) if isinstance(hidden, (int, np.integer)) else tuple(hidden)
    return (X.shape[1], *hidden, _n_outputs(row["loss"], y))


def _population(configurations, X, y, cv, device, dtype, seed) -> tuple[Population, dict[str, Any]]:
    """Return a population with cv nets for each configuration of `configurations`, and the arguments of its fit."""
    shared = configurations[0]
    repeated = lambda values: np.repeat(np.asarray(values, np.float64), cv)
    net_settings: dict[str, Any] = {
        name: repeated([row[name] for row in configurations]) for name in PER_NET if name in shared
    }
    settings: dict[str, Any] = {name: shared[name] for name in NET_SETTINGS if name in shared}
    pop = Population(
        _layer_sizes(shared, X, y),
        len(configurations) * cv,
        **settings,
        **net_settings,
        device=device,
        dtype=dtype,
        random_state=seed,
    )
    optimizers = [_optimizer(row) for row in configurations]
    base, varied_settings = optimizers[0], {}
    for field in fields(base):
        values = [getattr(optimizer, field.name) for optimizer in optimizers]
        if any(value != values[0] for value in values):
            varied_settings[field.name] = repeated(values)
    optimizer = type(base)(**{**{f.name: getattr(base, f.name) for f in fields(base)}, **varied_settings})
    return pop, {"optimizer": optimizer, **{name: shared[name] for name in FIT_SETTINGS if name in shared}}


def _refit(row, X, y, device, dtype, seed, verbose) -> MLP:
    settings = {name: row[name] for name in (*NET_SETTINGS, *PER_NET) if name in row}
    net = MLP(_layer_sizes(row, X, y), **settings, device=device, dtype=dtype, random_state=seed)
    fit = {name: row[name] for name in FIT_SETTINGS if name in row}
    net.fit(X, y, optimizer=_optimizer(row), verbose=verbose, **fit)
    return net
