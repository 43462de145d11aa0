"""Search over settings: the populations of its configurations are trained and scored."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..console.nets_progress import SeveralFits
from ..console.progress_bar import Progress
from ..data.arrays import as_numbers
from ..data.targets import as_targets, metric_of
from ..devices import resolve
from ..errors import checked_count, counted
from ..fit.task import check_second_order
from ..interface.setting_checks import seed_of
from ..interface.user_warnings import warn_user
from ..kernels.structs import METRIC_NONE
from ..runtime.ctrl_c import stop_flag
from ..sampling import folds
from .space import configurations_of, default_loss, groups_of, is_second_order, population_of, warn_of_classes


class Group(NamedTuple):
    """Configurations whose nets are trained as one population."""

    number: int  # among the groups
    members: list[int]  # numbers of the configurations
    configurations: list[dict[str, Any]]
    seed: int  # of the population


class Search:
    """Search of `sweep`: its configurations, and the scores of those that are finished. Arguments are those of sweep.

    Raises
    ------
    ImportError, ValueError
        As sweep does.
    """

    def __init__(self, X, y, space, n, cv, epochs, batch_size, device, dtype, random_state):
        n_wanted = checked_count("n", n)
        self.cv = checked_count("cv", cv, 2)
        self.device, self.dtype, self.seed = device, dtype, seed_of(random_state)
        rng = np.random.default_rng(self.seed)
        self.targets = as_numbers(y, "y")
        self.rows = configurations_of(space, n_wanted, rng)
        self.n = n = len(self.rows)
        loss = default_loss(self.targets)
        self.defaults = {"loss": loss, "epochs": checked_count("epochs", epochs), "batch_size": batch_size}
        self.features = as_numbers(X, "X")
        if self.features.ndim != 2:
            raise ValueError(f"X must have shape (n_samples, n_features), but it has shape {self.features.shape}.")
        self.groups: list[Group] = []
        for members in groups_of(self.rows, self.defaults):
            configurations = [self.configuration(k) for k in members]
            self.groups.append(Group(len(self.groups), members, configurations, int(rng.integers(2**31))))
        for row in (row for group in self.groups for row in group.configurations if is_second_order(row)):
            pop, fit = population_of([row], self.features, self.targets, 1, device, dtype, 0)
            check_second_order(fit["optimizer"], pop.network, resolve("cpu" if device == "auto" else device))
        self.scoring = _scoring([group.configurations[0] for group in self.groups], self)
        strata = self.targets.reshape(-1) if loss != "squared_error" else None
        self.fold_weights = folds(len(self.features), self.cv, stratify=strata, random_state=self.seed % 2**32)
        self.fold_scores, self.losses = np.full((n, self.cv), np.nan), np.full(n, np.nan)
        self._is_finished, self.interrupted = np.zeros(n, bool), False
        self._file: Any = None
        if n < n_wanted:
            warn_user(
                f"The space has {counted(n, 'distinct configuration')}, fewer than n={n_wanted}: each is tried once."
            )
        if "loss" not in space:
            warn_of_classes(self.targets, loss)

    def run(self, verbose: int, executor: Any = None, file: Any = None) -> None:
        """Train the groups one after another; Ctrl-C ends the search.

        executor : object or None     where the nets of each group are trained, as for Population.fit
        file : SearchFile or None     where the populations have their checkpoints
        """
        self._file = file
        if file is not None:
            file.begin(self)
        with stop_flag() as flag, Progress(self.n, verbose, "configuration", bar=verbose < 2) as progress:
            fits = SeveralFits(progress)
            for group in self.groups:
                with fits.fit(group.number, len(group.members)):
                    self._train(group, verbose, executor)
                if self.interrupted or flag.is_set():
                    break
            self.interrupted |= flag.is_set()

    def _train(self, group: Group, verbose: int, executor: Any) -> None:
        """Train the nets of a group, and write the scores of its configurations."""
        pop, fit = population_of(
            group.configurations, self.features, self.targets, self.cv, self.device, self.dtype, group.seed
        )
        shape = len(group.members), self.cv
        weights = np.tile(self.fold_weights, (len(group.members), 1))
        if self._file is not None:
            fit |= self._file.options(group)
        result = pop.fit(self.features, self.targets, sample_weight=weights, verbose=verbose, executor=executor, **fit)
        figures = pop.evaluate(self.features, self.targets, sample_weight=1.0 - weights)
        score = figures["accuracy"] if self.scoring == "accuracy" else -figures["loss"]
        self.fold_scores[group.members] = np.where(np.isfinite(score), score, -np.inf).reshape(shape)
        self.losses[group.members] = result.loss.reshape(shape).mean(axis=1)
        self._is_finished[group.members] = (result.stopped_by != "interrupt").reshape(shape).all(axis=1)
        self.interrupted |= result.interrupted
        if self._file is not None and not result.interrupted:
            self._file.keep_last(group)

    def order(self) -> np.ndarray:
        """Return the numbers of the finished configurations, the best first."""
        finished = np.flatnonzero(self._is_finished)
        return finished[np.argsort(-self.fold_scores[finished].mean(axis=1), kind="stable")]

    def configuration(self, k: int) -> dict[str, Any]:
        """Return the settings of a configuration, with the defaults."""
        return {**self.defaults, **self.rows[k]}


def _scoring(configurations: list[dict[str, Any]], search: Search) -> str:
    """Return "accuracy" or "-loss", the score by which all configurations are compared.

    configurations : one configuration of each group

    Raises
    ------
    ValueError
        If the scores of the configurations cannot be compared.
    """
    scorings = {}
    for row in configurations:
        X, y = search.features, search.targets
        network = population_of([row], X, y, 1, search.device, search.dtype, 0)[0].network
        metric = metric_of(as_targets(y, network, np.dtype(search.dtype), len(X)), network)
        scoring = "-loss" if metric == METRIC_NONE else "accuracy"
        loss = "" if scoring == "accuracy" else f", {network.loss_row.name} {network.loss_constant:g}"
        scorings[scoring + loss] = scoring
    if len(scorings) > 1:
        raise ValueError(
            f"Scores of this space cannot be compared: {' and '.join(scorings)}. Search one loss and output "
            "activation at a time."
        )
    return next(iter(scorings.values()))
