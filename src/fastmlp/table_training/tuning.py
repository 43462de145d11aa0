"""Search of a recipe's settings before the nets of a table are trained: random search with successive halving.

Random search: Bergstra and Bengio 2012. Successive halving: Jamieson and Talwalkar 2016; a third of the configurations
goes on to the next rung (Li et al. 2018), where each is trained anew with three times the epochs: one cycle of the
learning rate has to come to its end before nets can be compared. The recipe itself is in every rung, and stays unless
another configuration is better by more than chance. Configurations that differ only in settings of a net are trained
as one population. bench/log/tables.md#tabular-tune has figures.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from math import ceil, inf, nan
from typing import Any, NamedTuple

import numpy as np

from ..console.progress_bar import Progress
from ..errors import DivergenceWarning, checked_count, checked_verbose, counted
from ..fit.interrupt_warnings import was_interrupted
from ..mlp import MLP
from ..population import subset_of
from ..runtime.ctrl_c import StopFlag
from .encoded_rows import EncodedRows
from .fits_in_time import Budget, fit_nets
from .recipes import OF_CLASSES, Recipe
from .tuning_configurations import (
    SPACE,
    Settings,
    configurations,
    groups_of_recipes,
    joint_recipe,
    scores_of,
    standard_errors_apart,
)

FACTOR = 3  # a rung has a third of the configurations of the one before, and three times its epochs
MOST_RUNGS = 3
FEWEST_EPOCHS = 4  # of the first rung
LEAST_STANDARD_ERRORS = 1.0  # by which a configuration must be better than the preset (Breiman et al. 1984)
TUNING_SHARE = 0.5  # of the time that is left, which a search may take


class Tuning(NamedTuple):
    """Search of settings before the training.

    n : number of configurations
    given : fields of Recipe that the user has given, which are not searched
    names : the user's names of settings, by the fields, for messages
    title : what messages call the search
    """

    n: int
    given: Collection[str]
    names: Mapping[str, str]
    title: str

    @classmethod
    def of(
        cls, n: Any, name: str, recipe: Recipe, given: Collection[str], names: Mapping[str, str], has_held_out: bool
    ) -> Tuning:
        """Return a search after checks.

        name : of the user's parameter
        has_held_out : whether held-out rows are given apart from the table

        Raises
        ------
        ValueError
            If n is no number of configurations, or there are no held-out rows to compare them on.
        """
        checked_count(name, n, 2)
        title = setting_text(name, n)
        if not (has_held_out or recipe.n_folds > 1 or recipe.validation_fraction):
            raise ValueError(
                f"{title} needs held-out rows: set {names['validation_fraction']} above 0, or leave it out."
            )
        return cls(n, given, names, title)

    def searched(self, loss: str) -> list[str]:
        """Return the fields of Recipe that are searched for nets with this loss.

        Raises
        ------
        ValueError
            If there are none.
        """
        of_classes = {"label_smoothing"}  # several labels cannot be smoothed
        fields = [name for name in SPACE if name not in self.given and (loss == OF_CLASSES or name not in of_classes)]
        if not fields:
            raise ValueError(f"{self.title} has nothing to search, because all settings are given: leave one out.")
        return fields


@dataclass
class Trial:
    """A configuration, and what is known of it.

    settings : values by the names of Recipe's fields
    score : score in the last rung that it came to; larger is better, minus infinity if it diverged
    epochs : number of epochs in the last rung that it came to; 0 before the first
    losses : (n_rows,), of the held-out rows; None before the first rung
    """

    settings: Settings
    score: float = -inf
    epochs: int = 0
    losses: np.ndarray | None = None


def rungs_of(n: int, epochs: int) -> list[tuple[int, int]]:
    """Return the rungs of a search of n configurations: (number of configurations, epochs) of each.

    epochs : number of epochs in the last rung

    >>> rungs_of(20, 40)
    [(20, 5), (7, 14), (3, 40)]
    """
    n_rungs = 1
    while n_rungs < MOST_RUNGS and n >= FACTOR**n_rungs and epochs >= FEWEST_EPOCHS * FACTOR**n_rungs:
        n_rungs += 1
    return [(ceil(n / FACTOR**k), ceil(epochs / FACTOR ** (n_rungs - 1 - k))) for k in range(n_rungs)]


@dataclass
class Search:
    """Search of the settings of a recipe: its configurations, its rungs, and the best net so far.

    recipe : the preset with what the user has given
    searched : fields of Recipe
    seed : of the configurations and their nets
    encoded : returns rows in the encoding that a recipe asks for, with held-out ones; one object for equal ones
    make_nets : returns untrained nets for (number of features, seed, recipe, number of nets)
    budget : time that is left for all
    verbose : amount of output, as for Population.fit

    After run:

    recipe : the best one, or the one that was given
    trials : configurations that were trained, the chosen one first
    note : a sentence on what was searched and chosen
    interrupted : whether Ctrl-C ended the search
    net : the best net so far, an MLP or a population of one net
    """

    recipe: Recipe
    tuning: Tuning
    searched: list[str]
    seed: int
    encoded: Callable[[Recipe], EncodedRows]
    make_nets: Callable[[int, int, Recipe, int], Any]
    budget: Budget = field(default_factory=Budget)
    verbose: Any = 0
    interrupted: bool = field(default=False, init=False)
    out_of_time: bool = field(default=False, init=False)
    net: Any = field(default=None, init=False)
    net_score: float = field(default=-inf, init=False)

    def run(self, flag: StopFlag) -> Search:
        """Compare configurations, until Ctrl-C sets the flag or the time for the search is over; return the search.

        Raises
        ------
        KeyboardInterrupt
            If no net has been trained before Ctrl-C.
        """
        n, recipe = self.tuning.n, self.recipe
        self._rng, self._budget = np.random.default_rng([self.seed, n]), Budget(TUNING_SHARE * self.budget.left())
        n_rows = self.encoded(recipe).training.n_rows
        self.trials = [Trial(row) for row in configurations(recipe, self.searched, n, n_rows, self._rng)]
        try:
            self._train_rungs(flag)
        except KeyboardInterrupt:  # Ctrl-C before the first step of a population
            self.interrupted = True
        if self.interrupted and self.net is None:
            raise KeyboardInterrupt
        best = self.best()
        self.note = self._sentence(best)
        self.recipe = self.net_recipe if self.interrupted else replace(recipe, **best.settings)
        tried = [trial for trial in self.trials if trial.epochs]
        self.trials = sorted(tried, key=lambda trial: (trial is not best, -trial.epochs, -trial.score))
        return self

    def _train_rungs(self, flag: StopFlag) -> None:
        members, n_done, verbose = list(range(len(self.trials))), 0, checked_verbose(self.verbose)
        rungs = rungs_of(len(self.trials), self.recipe.epochs)
        total = sum(n + (k > 0) for k, (n, _) in enumerate(rungs))  # at most
        best_score = lambda: f"best score {self.net_score:.5g}" if self.net_score > -inf else ""
        with Progress(total, verbose, "tuning", bar=verbose < 2) as bar:
            for number, (n, epochs) in enumerate(rungs):
                by_score = sorted(members, key=lambda k: -self.trials[k].score)  # stable
                members = sorted({0, *by_score[:n]})  # the best of the last rung, and the preset
                if verbose > 1:
                    of_rung = f"{counted(len(members), 'configuration')} of {counted(epochs, 'epoch')}"
                    start = f"tuning {number + 1}/{len(rungs)}: {of_rung}"
                    print(f"{start}, {best_score()}" if best_score() else start, flush=True)
                recipes = [self._recipe_of(k, epochs) for k in members]
                encodings = [self.encoded(recipe) for recipe in recipes]
                for group in groups_of_recipes(recipes, list(map(id, encodings))):
                    self._train_group([members[k] for k in group], [recipes[k] for k in group], encodings[group[0]])
                    n_done += len(group)
                    bar.show(n_done, nan, best_score)
                    self.interrupted |= flag.is_set()
                    if self.interrupted or self.out_of_time:
                        return

    def _recipe_of(self, k: int, epochs: int) -> Recipe:
        recipe = replace(self.recipe, **self.trials[k].settings)
        return replace(recipe, n_nets=1, n_folds=1, epochs=epochs, patience=min(recipe.patience, epochs))

    def _train_group(self, members: list[int], recipes: list[Recipe], data: EncodedRows) -> None:
        """Train configurations as one population, and take their scores if they have come to their end."""
        recipe, held_out = joint_recipe(recipes), data.held_out
        assert held_out is not None
        seed = int(self._rng.integers(2**31))
        nets = self.make_nets(data.training.n_features, seed, recipe, len(members))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DivergenceWarning)  # such a configuration is one of the bad ones
            result = fit_nets(nets, data.training, held_out, recipe, budget=self._budget, verbose=0)
        reasons, epochs = (np.atleast_1d(values) for values in (result.stopped_by, result.epochs))
        self.interrupted, self.out_of_time = was_interrupted(result), "time_limit" in reasons
        scores, losses = scores_of(nets, held_out)
        scores = np.where(epochs > 0, scores, -inf)
        self._weights = held_out.weights
        if scores.max() > self.net_score:
            k = int(np.argmax(scores))
            self.net = nets if isinstance(nets, MLP) else subset_of(nets, np.array([k]))
            self.net_score, self.net_recipe = float(scores[k]), recipes[k]
        for place, (k, reason) in enumerate(zip(members, reasons.tolist(), strict=True)):
            if reason not in ("interrupt", "time_limit"):
                self.trials[k] = Trial(self.trials[k].settings, float(scores[place]), recipe.epochs, losses[place])

    def best(self) -> Trial:
        """Return the best configuration of those that were trained for as long as the first one, the preset.

        It is the first one unless the best is better by more than chance: of several, one is always a little better.
        """
        first, best = self.trials[0], self.leader()
        if first.losses is None or best.losses is None or first.score == -inf:
            return best
        is_clear = standard_errors_apart(first.losses, best.losses, self._weights) > LEAST_STANDARD_ERRORS
        return best if is_clear else first

    def leader(self) -> Trial:
        """Return the configuration with the best score of those that were trained for as long as the first one."""
        n_epochs = self.trials[0].epochs
        return max((trial for trial in self.trials if trial.epochs == n_epochs), key=lambda trial: trial.score)

    def _sentence(self, best: Trial) -> str:
        """Return what was searched and chosen, for the notes of a model."""
        (n, _, names, title), first = self.tuning, self.trials[0]
        n_tried = len([trial for trial in self.trials if trial.epochs])
        tried = f"{n_tried} of {counted(n, 'configuration')}" if n_tried < n else counted(n, "configuration")
        if self.interrupted:
            when = f"after {tried}" if n_tried else "while its first configurations were trained"
            return f"The search of settings ({title}) was interrupted {when}; the net is the best one so far."
        why = ", until its share of the time limit was over" if self.out_of_time else ""
        begin = f"{title} compared {tried} by a score of held-out rows (larger is better){why}: "
        if best.score == -inf:
            return f"{begin}none can be compared with the preset, which is used."
        if best is first:
            other = "" if self.leader() is first else f"; the best other one had {self.leader().score:.5g}"
            return f"{begin}none was clearly better than the preset, which had {first.score:.5g}{other}."
        changes = ", ".join(
            setting_text(names.get(name, name), value)
            for name, value in best.settings.items()
            if value != first.settings[name]
        )
        return f"{begin}{changes} had {best.score:.5g}, the preset {first.score:.5g}."


def setting_text(name: str, value: Any) -> str:
    """Return a setting as the user would write it: dropout=0.1 of an estimator, --dropout 0.1 of a command."""
    text = f"{value:.3g}" if isinstance(value, float) else repr(value)
    if not name.startswith("--"):
        return f"{name}={text}"
    return f"{name} {','.join(map(str, value)) if isinstance(value, tuple) else text.strip(chr(39))}"
