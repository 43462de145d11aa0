"""TableModel: nets that learn targets from a table by a recipe.

The estimators for tables and `fastmlp train` are adapters: they check what a user gives, hand over a data frame and
targets, and make attributes or files of what is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ..class_probabilities import logits
from ..execution.dispatch import IN_TURN, FitsAtOnce
from ..fit.interruption import was_interrupted
from ..kernels.jit.compile_time import notices
from ..mlp import MLP
from ..population import Population, subset_of
from ..population_result import PopulationResult
from ..runtime.ctrl_c import StopFlag
from ..tables.base_column import Column
from ..tables.features import encode_columns, fit_columns, with_numbers
from ..tables.number_columns import NumericEncoding, class_indicators
from ..tables.target import check_range
from .epochs_in_time import FitsInTime, planned_in_time
from .folds import TrainedNets, fit_each, fit_folds, fit_folds_on_workers, folds_at_once, predicted_rows
from .recipe_fit import Budget, continue_from, fit_nets, fit_temperature, history_or_result, make_nets
from .recipes import OF_CLASSES, OF_LABELS, OF_NUMBERS, TEMPERATURE, Recipe
from .rows import MOST_ROWS, MOST_SEED, EncodedRows, FileRows, Rows, Targets, fold_numbers, held_out_rows
from .tuning import Found, Tuning, TuningTask, tuned

DTYPE = "float32"  # of the nets


class Known(NamedTuple):
    """Nets that are trained further, with their encoding of columns and targets."""

    nets: Any
    columns: tuple[Column, ...]
    notes: tuple[str, ...]
    mean: Any = 0.0
    std: Any = 1.0


def _silently(*_: Any) -> None:
    """Tell nobody."""


@dataclass
class TableModel:
    """Nets that learn targets from a table by a recipe.

    recipe : Recipe; after fit, with what a search has chosen and as many epochs and nets as there was time for
    generator : of random numbers: which rows are held out, initial parameters, order of rows, dropout
    name : what messages call the targets
    categories : columns of numbers that stand for categories
    tell : called with a sentence on what is left out for want of time
    tell_of_columns : called with (sentences on columns with problems, sentences on what was chosen)
    saved : returns arguments of the fit of a net about its checkpoints: of net k, or of all for None

    After fit:

    nets, history : MLP or Population, and its History or PopulationResult
    columns, notes : encoders of the columns, and sentences on them and on the search
    mean, std : by which targets that are numbers were scaled
    temperature : divisor of logits that calibrates class probabilities
    data : EncodedRows
    out_of_fold : logits (n_nets_of_a_fold, n_rows, n_outputs) of each row by the nets of its fold, NaN where there are
        none; None without folds
    n_wanted, left_out : number of nets that there were to train and, if some have not come to their end, their result
        with the number of those that had begun
    found : Found of the search, or None
    interrupted : whether Ctrl-C has ended the search or the training, or came while the nets were calibrated
    """

    recipe: Recipe
    generator: np.random.RandomState = field(default_factory=np.random.RandomState)
    device: str = "auto"
    budget: Budget = field(default_factory=Budget)
    verbose: Any = 0
    name: str = "y"
    categories: Iterable[str] = ()
    tuning: Tuning | None = None
    executor: Any = None
    tell: Callable[[str], Any] = _silently
    tell_of_columns: Callable[[tuple[str, ...], tuple[str, ...]], Any] = _silently
    saved: Callable[[int | None], dict[str, Any]] = lambda _: {}

    known: Known | None = field(default=None, init=False)
    found: Found | None = field(default=None, init=False)
    out_of_fold: np.ndarray | None = field(default=None, init=False)
    left_out: tuple[PopulationResult, int] | None = field(default=None, init=False)
    temperature: float = field(default=1.0, init=False)
    mean: Any = field(default=0.0, init=False)
    std: Any = field(default=1.0, init=False)
    interrupted: bool = field(default=False, init=False)

    def prepare(
        self,
        table: Any,
        targets: Targets,
        weights: np.ndarray | None = None,
        held_out: Callable[[TableModel], Rows] | None = None,
        known: Known | None = None,
    ) -> EncodedRows:
        """Learn columns from a table, and return its rows as the nets take them.

        table : pandas DataFrame whose column names are text
        weights : (n_rows,), also of rows that are held out, or None
        held_out : returns held-out rows instead of a part of the table, encoded by the columns of the model
        known : nets to train further

        Raises
        ------
        ValueError
            If no column can be used.
        """
        self.recipe, self.known = self.recipe.with_own_folds(len(table)), known
        has_folds = self.recipe.n_folds > 1 and held_out is None
        fraction = 0.0 if has_folds or held_out is not None else self.recipe.validation_fraction
        classes = targets.classes
        training, held = held_out_rows(classes, len(table), fraction, self.generator)
        y = self._encoded_targets(targets, training)
        if known is not None:
            self.columns, self.notes = known.columns, known.notes
        else:
            table, notes = with_numbers(table)
            learn = lambda: self._learned(table.iloc[training], y[training], notes)
            self.set_columns(*learn())

        def encode() -> EncodedRows:
            rows = Rows(encode_columns(self.columns, table, DTYPE), y, weights)
            if held_out is not None:
                return EncodedRows(rows, held_out(self))
            return EncodedRows(rows.take(training), rows.take(held)) if len(held) else EncodedRows(rows)

        data = encode()
        if has_folds:
            data = data._replace(folds=fold_numbers(classes, len(y), self.recipe.n_folds, self.generator))
        self.seed = int(self.generator.randint(MOST_SEED))
        if self.tuning is not None and known is None:
            self._again = learn, lambda: encode()._replace(folds=data.folds)
        return data

    def train(self, data: EncodedRows, flag: StopFlag) -> TableModel:
        """Train nets on encoded rows, and calibrate them; before, search settings.

        flag : of the whole fit, which Ctrl-C sets
        """
        with notices(True):
            if self.tuning is not None:
                data = self._search(self.tuning, data, flag)
            if self.found is not None and self.found.interrupted:  # the best net so far
                self.data = data.first_fold_apart()
                self.nets, self.history, self.n_wanted = self.found.net, history_or_result(self.found.net), 1
            else:
                self._train(data, flag)
            self._calibrate()
            self.interrupted = flag.is_set() or was_interrupted(self.history)
        return self

    def _encoded_targets(self, targets: Targets, training: np.ndarray) -> np.ndarray:
        """Return targets as the nets take them; numbers are scaled by the rows to train on."""
        self.loss, self.n_outputs = targets.loss, targets.n_outputs
        if targets.loss != OF_NUMBERS:
            return targets.values
        if self.known is not None:
            self.mean, self.std = self.known.mean, self.known.std
        else:
            y = targets.values[training]
            std = y.std(axis=0)
            check_range(y.min(axis=0), y.max(axis=0), std, self.name)
            self.set_scale(y.mean(axis=0), std)
        return self.scaled(targets.values)

    def set_scale(self, mean: Any, std: Any) -> None:
        self.mean, self.std = mean, np.where(std > 0.0, std, 1.0)

    def scaled(self, y: np.ndarray) -> np.ndarray:
        """Return targets that are numbers as the nets take them."""
        return (y - self.mean) / self.std

    # ---- columns

    def encoding(self, y: np.ndarray) -> NumericEncoding:
        """Return how columns are encoded; y : targets of the rows to learn from, as the nets take them"""
        targets = class_indicators(y, self.n_outputs) if self.loss == OF_CLASSES else y.reshape(len(y), -1)
        seconds = self.budget.trial_seconds
        return NumericEncoding(self.recipe.numeric_encoding, targets=targets, trial_seconds=seconds)

    def _learned(self, table: Any, y: np.ndarray, notes: tuple[str, ...]) -> tuple[Any, tuple, tuple]:
        """Return (encoders, sentences on columns with problems, sentences on what was chosen)."""
        found = fit_columns(table, self.encoding(y), self.categories)
        return found.columns, notes + found.notes, found.choices

    def set_columns(self, columns: tuple[Column, ...], problems: tuple[str, ...], choices: tuple[str, ...]) -> None:
        self.columns, self.notes = columns, problems + choices
        if not columns:
            reasons = " ".join(problems) or "there is no other column."
            raise ValueError(f"No column can be used to predict {self.name}: {reasons}")
        self.tell_of_columns(problems, choices)

    # ---- search of settings

    def _search(self, tuning: Tuning, data: EncodedRows, flag: StopFlag) -> EncodedRows:
        """Search settings, take the best ones, and return the rows in their encoding."""
        recipe, (learn, encode) = self.recipe, self._again
        encodings = {recipe.numeric_encoding: (self.columns, self.notes, data, data.first_fold_apart())}

        def encoding_of(wanted: Recipe) -> tuple[tuple[Column, ...], tuple[str, ...], EncodedRows, EncodedRows]:
            """Return (columns, notes, rows, rows with held-out ones apart) in the encoding of a recipe."""
            kind = wanted.numeric_encoding
            if kind not in encodings:
                self.recipe = replace(recipe, numeric_encoding=kind)
                self.columns, problems, choices = learn()
                same = next((known for known in encodings.values() if known[0] == self.columns), None)
                rows = encode() if same is None else same[2]
                apart = rows.first_fold_apart() if same is None else same[3]
                encodings[kind] = self.columns, problems + choices, rows, apart
            return encodings[kind]

        encoded = lambda wanted: encoding_of(wanted)[3]
        self.found = tuned(TuningTask(recipe, tuning, self.seed, encoded, self._make, self.budget, self.verbose), flag)
        self.columns, notes, data, _ = encoding_of(self.found.recipe)
        self.recipe, self.notes = self.found.recipe, (*notes, self.found.note)
        return data

    # ---- training

    def _make(self, n_features: int, recipe: Recipe, n_nets: int, seed: int) -> Any:
        settings = {"loss": self.loss, "dtype": DTYPE, "device": self.device, "random_state": seed}
        return make_nets(n_features, self.n_outputs, recipe, settings, n_nets)

    def _train(self, data: EncodedRows, flag: StopFlag) -> None:
        """Train nets on encoded rows, as many and for as many epochs as there is time for."""
        planned = wanted = self.recipe if self.known is None else self.recipe.continued(self.known.nets.network)
        make = lambda recipe: self._make(data.training.n_features, recipe, recipe.n_nets_of_all_folds, self.seed)
        nets, at_once = make(wanted), IN_TURN
        if data.folds is not None and self.executor is None:
            at_once = folds_at_once(nets, wanted, data.in_memory)
        if self.budget.is_limited:
            planned, note, at_once = planned_in_time(wanted, make, data, at_once, self.budget)
            if self.known is not None:  # all nets go on
                planned = replace(planned, n_nets=wanted.n_nets, n_folds=wanted.n_folds)
            if note:
                self.tell(note)
            nets = make(planned)
        self.recipe = planned
        self.data = data if planned.n_folds > 1 else data.first_fold_apart()  # no time for a net of each fold
        if self.known is not None:
            continue_from(nets, self.known.nets)
        self.n_wanted = getattr(nets, "n_nets", 1)
        limited = self.budget.is_limited
        fits = FitsInTime(self.budget, self.n_wanted, planned, wanted, at_once.n_fits) if limited else None

        def fit_one(net: MLP, data: EncodedRows, k: int) -> Any:
            if fits is None:
                return self._fit(net, data, k, planned, self.budget)
            return fits.fit(k, lambda *planned: self._fit(net, data, k, *planned))

        if self.data.folds is not None:
            self._train_folds(nets, fit_one, at_once, flag)
        elif isinstance(data.training, FileRows) and isinstance(nets, Population) and not self.saved(None):
            monitor = "loss" if self.data.held_out is None else "validation_loss"
            fit_whole = lambda net, k: fit_one(net, self.data, k)
            self._keep(fit_each(nets, fit_whole, flag, monitor, verbose=self.verbose))
        else:
            self._train_together(nets)
        if limited:
            self._tell_of_slow_epochs()

    def _fit(self, nets: Any, data: EncodedRows, k: int | None, recipe: Recipe, budget: Budget, **further: Any) -> Any:
        further |= self.saved(k)
        return fit_nets(nets, data.training, data.held_out, recipe, budget, verbose=self.verbose, **further)

    def _train_folds(
        self, nets: Population, fit_one: Callable[[MLP, EncodedRows, int], Any], at_once: FitsAtOnce, flag: StopFlag
    ) -> None:
        """Train nets that are each without one fold, and keep the predictions of each row by the others."""
        assert self.data.folds is not None
        fit = lambda net, rows, held_out, k: fit_one(net, EncodedRows(rows, held_out), k)
        given = nets, self.data.in_memory, self.data.folds
        if self.executor is not None:
            found, z = fit_folds_on_workers(self.executor, *given, self.recipe, flag, self.verbose)
        else:
            found, z = fit_folds(*given, fit, flag, at_once, self.verbose)
        self._keep(found)
        self.out_of_fold = z

    def _keep(self, found: TrainedNets) -> None:
        """Take nets that were trained one after another."""
        result = found.nets.result
        assert result is not None, "fit_each sets it"
        self.nets, self.history = found.nets, result
        if found.interrupted or found.n_begun < self.n_wanted or not result.epochs.all():
            self.left_out = result, found.n_begun

    def _train_together(self, nets: Any) -> None:
        """Train one net, or several as one population, of which only those that have begun are kept."""
        further = {} if self.executor is None else {"executor": self.executor}
        self.history = self._fit(nets, self.data, None, self.recipe, self.budget, **further)
        self.nets = nets
        if isinstance(nets, MLP) or not (self.history.interrupted or not self.history.epochs.all()):
            return
        begun = np.flatnonzero(self.history.epochs > 0)
        self.left_out = self.history, len(begun)
        nets.fits += self.known is not None  # the earlier fit, which has trained all nets
        if self.known is None and 0 < len(begun) < nets.n_nets:
            self.nets = subset_of(nets, begun)
            self.history = self.nets.result

    def _tell_of_slow_epochs(self) -> None:
        """Say that a time limit has cut off a net, unless it is one of several that were trained together."""
        n_epochs = self.n_epochs
        is_alone = self.n_wanted == 1 or isinstance(self.data.training, FileRows)
        is_alone |= self.data.folds is not None and self.executor is None
        if "time_limit" in np.atleast_1d(self.history.stopped_by) and is_alone and 0 < n_epochs < self.recipe.epochs:
            self.tell(
                f"The time of the fit was over after {n_epochs} of {self.recipe.epochs} epochs: they were slower than "
                "those that were measured before. The best parameters so far are kept."
            )

    @property
    def n_epochs(self) -> int:
        """Number of epochs; of several nets, the largest."""
        return int(np.max(self.history.epochs))

    # ---- calibration

    def _calibrate(self) -> None:
        """Set the temperature of class probabilities by rows that nets have not seen, if there are some."""
        if self.loss == OF_NUMBERS or self.recipe.calibration != TEMPERATURE:
            return
        if self.out_of_fold is not None:
            predicted = predicted_rows(self.out_of_fold)
            z, held_out = self.out_of_fold[:, predicted], self.data.in_memory.take(predicted)
        elif self.data.held_out is None:
            return
        else:
            held_out = self.data.held_out.at_most(MOST_ROWS)
            z = logits(self.nets, held_out.X)
        z = z if z.ndim == 3 else z[None]
        self.temperature = fit_temperature(z, held_out.y, held_out.weights, self.nets.network, self.loss == OF_LABELS)
