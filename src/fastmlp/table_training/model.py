"""TableModel: nets that learn targets from a table by a recipe.

The estimators for tables and `fastmlp train` are adapters: they check what a user gives, hand over a data frame and
targets, and make attributes or files of what is found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from ..class_probabilities import MOST_ROWS, fit_temperature, logits
from ..execution.dispatch import IN_TURN
from ..fit.interrupt_warnings import was_interrupted
from ..kernels.jit.compile_time import notices
from ..mlp import MLP
from ..population import Population, subset_of
from ..population_result import PopulationResult
from ..runtime.ctrl_c import StopFlag
from ..tables.base_column import Column
from ..tables.bins import class_indicators
from ..tables.features import encode_columns, fit_columns, with_numbers
from ..tables.number_columns import NumericEncoding
from ..tables.target import check_range
from .encoded_rows import MOST_SEED, EncodedRows, FileRows, Rows, Targets, fold_numbers, held_out_rows
from .fits_in_time import LEAST_WITH_TRIAL, Budget, FitsInTime, fit_nets, make_nets, planned_in_time
from .folds import fit_each, folds_at_once
from .recipes import OF_CLASSES, OF_LABELS, OF_NUMBERS, Recipe
from .tuning import Search, Tuning

DTYPE = "float32"  # of the nets


@dataclass
class TableModel:
    """Nets that learn targets from a table by a recipe.

    recipe : Recipe; after fit, with what a search has chosen and as many epochs and nets as there was time for
    generator : of random numbers: which rows are held out, initial parameters, order of rows, dropout
    name : what messages call the targets
    tell : called with a sentence on what is left out for want of time
    saved : returns arguments of the fit of a net about its checkpoints: of net k, or of all for None

    After fit:

    nets, history : MLP or Population, and its History or PopulationResult
    n_epochs : number of epochs; of several nets, the largest
    columns, problems, notes : encoders of the columns, sentences on those with problems, and on all and the search
    mean, std : by which targets that are numbers were scaled
    temperature : divisor of logits that calibrates class probabilities
    data : EncodedRows
    out_of_fold : logits (n_nets_of_a_fold, n_rows, n_outputs) of each row by the nets of its fold, NaN where there are
        none; None without folds
    n_wanted, left_out : number of nets that there were to train and, if some have not come to their end, their result
        with the number of those that had begun
    searched, found : fields of Recipe that a search compares, and the search; None without one
    interrupted : whether Ctrl-C has ended the search or the training, or came while the nets were calibrated
    """

    recipe: Recipe
    generator: np.random.RandomState = field(default_factory=np.random.RandomState)
    device: str = "auto"
    budget: Budget = field(default_factory=Budget)
    verbose: Any = 0
    name: str = "y"
    tuning: Tuning | None = None
    tell: Callable[[str], Any] = lambda _: None
    saved: Callable[[int | None], dict[str, Any]] = lambda _: {}

    nets: Any = field(init=False)
    history: Any = field(init=False)
    searched: list[str] | None = field(default=None, init=False)
    found: Search | None = field(default=None, init=False)
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
    ) -> EncodedRows:
        """Learn columns from a table, and return its rows as the nets take them.

        table : pandas DataFrame whose column names are text
        weights : (n_rows,), also of rows that are held out, or None
        held_out : returns held-out rows instead of a part of the table, encoded by the columns of the model

        Raises
        ------
        ValueError
            If no column can be used.
        """
        self.recipe, self.loss, self.n_outputs = self.recipe.with_own_folds(len(table)), targets.loss, targets.n_outputs
        if self.tuning is not None:
            self.searched = self.tuning.searched(self.loss)
        has_folds = self.recipe.n_folds > 1 and held_out is None
        fraction = 0.0 if has_folds or held_out is not None else self.recipe.validation_fraction
        y, classes = targets.values, targets.values if targets.loss == OF_CLASSES else None
        training, held = held_out_rows(classes, len(table), fraction, self.generator)
        if self.loss == OF_NUMBERS:  # scaled by the rows to train on
            self.learn_scale(y[training])
            y = self.scaled(y)
        table, notes = with_numbers(table)
        learn = partial(self.learn_columns, table.iloc[training], y[training], notes)

        def encode() -> EncodedRows:
            rows = Rows(encode_columns(self.columns, table, DTYPE), y, weights)
            if held_out is not None:
                return EncodedRows(rows, held_out(self))
            return EncodedRows(rows.take(training), rows.take(held)) if len(held) else EncodedRows(rows)

        learn()
        data = encode()
        if has_folds:
            data = data._replace(folds=fold_numbers(classes, len(y), self.recipe.n_folds, self.generator))
        self.seed = int(self.generator.randint(MOST_SEED))
        if self.tuning is not None:
            self._again = learn, lambda: encode()._replace(folds=data.folds)
        return data

    def train(self, data: EncodedRows, flag: StopFlag) -> None:
        """Train nets on encoded rows, and calibrate them; before, search settings.

        flag : of the whole fit, which Ctrl-C sets
        """
        make = partial(make_nets, self.n_outputs, {"loss": self.loss, "dtype": DTYPE, "device": self.device})
        with notices(True):
            if self.tuning is not None and self.searched is not None:
                data = self._search(self.tuning, self.searched, data, make, flag)
            if self.found is not None and self.found.interrupted:  # the best net so far
                self.data, self.nets, self.n_wanted = data.without(0), self.found.net, 1
                self.history = self.nets.history if isinstance(self.nets, MLP) else self.nets.result
            else:
                self._train(data, make, flag)
            self.n_epochs = int(np.max(self.history.epochs))
            self._calibrate()
            self.interrupted = flag.is_set() or was_interrupted(self.history)

    def learn_scale(self, y: np.ndarray) -> None:
        """Learn mean and standard deviation of targets that are numbers."""
        std = y.std(axis=0)
        check_range(y.min(axis=0), y.max(axis=0), std, self.name)
        self.mean, self.std = y.mean(axis=0), np.where(std > 0.0, std, 1.0)

    def scaled(self, y: np.ndarray) -> np.ndarray:
        """Return targets that are numbers as the nets take them."""
        return (y - self.mean) / self.std

    # ---- columns

    def learn_columns(self, table: Any, y: np.ndarray, notes: tuple[str, ...] = ()) -> None:
        """Learn how columns are encoded.

        table, y : rows to learn from, with targets as the nets take them
        notes : sentences on columns with problems, before those that are found

        Raises
        ------
        ValueError
            If no column can be used.
        """
        targets = class_indicators(y, self.n_outputs) if self.loss == OF_CLASSES else y.reshape(len(y), -1)
        encoding = NumericEncoding(self.recipe.numeric_encoding, targets, self.budget.seconds >= LEAST_WITH_TRIAL)
        self.columns, problems, choices = fit_columns(table, encoding)
        self.problems = notes + problems
        self.notes = self.problems + choices
        if not self.columns:
            reasons = " ".join(self.problems) or "there is no other column."
            raise ValueError(f"No column can be used to predict {self.name}: {reasons}")

    # ---- search of settings

    def _search(
        self, tuning: Tuning, searched: list[str], data: EncodedRows, make: Callable[..., Any], flag: StopFlag
    ) -> EncodedRows:
        """Search settings, take the best ones, and return the rows in their encoding."""
        recipe, (learn, encode) = self.recipe, self._again
        encodings = {recipe.numeric_encoding: (self.columns, self.notes, data, data.without(0))}

        def encoding_of(kind: str) -> tuple[tuple[Column, ...], tuple[str, ...], EncodedRows, EncodedRows]:
            """Return (columns, notes, rows, rows with held-out ones apart) in a numeric encoding."""
            if kind not in encodings:
                self.recipe = replace(recipe, numeric_encoding=kind)
                learn()
                rows = next((of for columns, _, *of in encodings.values() if columns == self.columns), None)
                if rows is None:
                    rows = [found := encode(), found.without(0)]
                encodings[kind] = self.columns, self.notes, rows[0], rows[1]
            return encodings[kind]

        encoded = lambda wanted: encoding_of(wanted.numeric_encoding)[3]
        search = Search(recipe, tuning, searched, self.seed, encoded, make, self.budget, self.verbose)
        self.found = search.run(flag)
        self.columns, notes, data, _ = encoding_of(self.found.recipe.numeric_encoding)
        self.recipe, self.notes = self.found.recipe, (*notes, self.found.note)
        return data

    # ---- training

    def _train(self, data: EncodedRows, make: Callable[..., Any], flag: StopFlag) -> None:
        """Train nets on encoded rows, as many and for as many epochs as there is time for."""
        wanted = planned = self.recipe
        make = partial(make, data.training.n_features, self.seed)
        nets, at_once = make(wanted), IN_TURN
        if data.folds is not None:
            at_once = folds_at_once(nets, wanted, data.training)
        if self.budget.is_limited:
            planned, note, at_once = planned_in_time(wanted, make, data, at_once, self.budget)
            if note:
                self.tell(note)
            nets = make(planned)
        if planned.n_folds == 1:  # perhaps for want of time
            data = data.without(0)
        self.recipe, self.data, self.n_wanted = planned, data, getattr(nets, "n_nets", 1)
        in_file = isinstance(data.training, FileRows) and isinstance(nets, Population) and not self.saved(None)
        if data.folds is not None or in_file:
            fits = FitsInTime(self.budget, self.n_wanted, planned, wanted, at_once.n_fits)

            def fit_one(net: MLP, rows: EncodedRows, k: int) -> Any:
                return fits.fit(k, lambda recipe, budget: self._fit(net, rows, recipe, budget, k))

            self.nets, n_begun, self.out_of_fold = fit_each(nets, data, fit_one, flag, at_once, self.verbose)
            self.history = self.nets.result
        else:
            self.history = self._fit(nets, data, planned, self.budget)
            self.nets, n_begun = nets, int(np.count_nonzero(self.history.epochs))
        if isinstance(nets, Population):
            result = self.history
            if result.interrupted or n_begun < self.n_wanted or not result.epochs.all():
                self.left_out = result, n_begun
                if self.nets is nets and 0 < n_begun < nets.n_nets:
                    self.nets = subset_of(nets, np.flatnonzero(result.epochs))
                    self.history = self.nets.result
            if not (data.folds is not None or in_file):
                return  # each net of several that are trained together has had as much time as the others
        n_epochs, is_limited = int(np.max(self.history.epochs)), self.budget.is_limited
        if is_limited and 0 < n_epochs < planned.epochs and "time_limit" in np.atleast_1d(self.history.stopped_by):
            self.tell(
                f"The time of the fit was over after {n_epochs} of {planned.epochs} epochs: they were slower than "
                "those that were measured before. The best parameters so far are kept."
            )

    def _fit(self, nets: Any, data: EncodedRows, recipe: Recipe, budget: Budget, k: int | None = None) -> Any:
        return fit_nets(nets, data.training, data.held_out, recipe, budget, verbose=self.verbose, **self.saved(k))

    # ---- calibration

    def _calibrate(self) -> None:
        """Set the temperature of class probabilities by rows that nets have not seen, if there are some."""
        if self.loss == OF_NUMBERS:
            return
        if self.out_of_fold is not None:
            predicted = np.flatnonzero(np.isfinite(self.out_of_fold).all(axis=(0, 2)))
            z, held_out = self.out_of_fold[:, predicted], self.data.training.take(predicted)
        elif self.data.held_out is None:
            return
        else:
            held_out = self.data.held_out.at_most(MOST_ROWS)
            z = logits(self.nets, held_out.X)
        z = z if z.ndim == 3 else z[None]
        self.temperature = fit_temperature(z, held_out.y, held_out.weights, self.nets.network, self.loss == OF_LABELS)
