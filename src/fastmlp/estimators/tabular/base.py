"""Base class of TabularMLPClassifier and TabularMLPRegressor: encoding of tables, training, and prediction."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length

from ...export.export_to_file import Exportable
from ...fit.interrupt_warnings import was_interrupted
from ...interface.docstrings import with_entries_of
from ...interface.keywords import explains_names
from ...interface.user_warnings import warn_user
from ...mlp import MLP
from ...persistence.saved_net import save
from ...runtime.ctrl_c import stop_flag
from ...runtime.memory_limits import checked_memory_limit
from ...streams.source_kinds import is_source
from ...table_training.encoded_rows import EncodedRows, Rows, Targets
from ...table_training.fits_in_time import Budget
from ...table_training.model import TableModel
from ...table_training.training_summary import summary
from ...tables.base_column import as_lines
from ...tables.features import Preprocessing
from ...tables.target import Target
from ..array_input import missing_targets_named
from ..serialization import description_of
from .checks_and_warnings import (
    PARAMETERS,
    estimator_recipe,
    warn_of_interrupted_history,
    warn_of_missing_nets,
    warn_of_other_order,
    warn_of_target_copies,
    warn_of_targets,
)
from .parameters import TabularParameters
from .source_fit import SourceFit
from .table_data import TableData, names_target, target_apart

if TYPE_CHECKING:
    from typing_extensions import Self


@with_entries_of(TabularParameters)
@dataclass(eq=False, repr=False)
class BaseTabular(Exportable, TableData, TabularParameters, ABC):
    """Base class of the two tabular estimators. Subclasses define how y is encoded, split and predicted.

    Attributes
    ----------
    net_ : MLP or Population
        The trained net, or nets if there are several.
    n_nets_ : int
        Number of nets in `net_`, fewer than n_nets if a time limit or Ctrl-C has left some out.
    history_ : History or PopulationResult
        What the fit of the net, or of the nets, returned.
    validation_loss_curve_ : list of float or None
        Loss on the held-out samples, one value per epoch; None without any. Only for a single net.
    oof_prediction_ : ndarray of float64, shape (n_samples, n_classes), (n_samples,) or (n_samples, n_outputs)
        Only with folds: out-of-fold predictions, class probabilities or numbers, of the training rows by the nets that
        were trained without them. NaN in rows of folds that an interrupted fit has not reached.
    best_settings_ : dict
        With tune, the chosen values of the parameters that were searched, which another estimator takes as they are.
    tuning_results_ : list of dict
        With tune, a dict for each configuration that was compared, the chosen one first: its "settings", its "score" on
        the held-out rows (larger is better) and its "epochs" in the last comparison that it came to.
    n_iter_ : int
        Number of epochs; of several nets, the largest.
    columns_ : tuple
        Encoders of the columns that are used.
    notes_ : tuple of str
        Sentences on columns that were left out, on cells that count as missing, and on the choice of bins, with
        reasons.
    n_outputs_ : int
        Number of outputs of a net.
    n_features_in_ : int
        Number of columns of the table.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Names of the columns, if the table had names that are text.

    Raises
    ------
    ImportError
        If scikit-learn or, in fit, pandas is not installed.
    ValueError
        In fit, if a setting is invalid, or no column can be used.

    References
    ----------
    Gorishniy, Rubachev, Khrulkov and Babenko 2021, "Revisiting deep learning models for tabular data",
    arXiv:2106.11959.

    Kadra, Lindauer, Hutter and Grabocka 2021, "Well-tuned simple nets excel on tabular datasets", arXiv:2106.11189.
    """

    @property
    def n_nets_(self) -> int:
        return getattr(self.net_, "n_nets", 1)

    @abstractmethod
    def _set_targets(self, y: np.ndarray) -> None:
        """Set the attributes that classes or the number of outputs need."""

    @abstractmethod
    def _predictions_of(self, logits: np.ndarray) -> np.ndarray:
        """Return the predictions that belong to logits of several nets: probabilities of classes, or numbers.

        logits : (n_nets, n_samples, n_outputs), before the output activation
        """

    @abstractmethod
    def _target(self, name: str) -> Target | None:
        """Return the target encoder to store in the file of the net, or None if a Target cannot describe y."""

    @explains_names
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        validation_data: Any = None,
        memory_limit: int | str | None = None,
    ) -> Self:
        """Train on a table X and targets y.

        Cells may be missing; columns that cannot be used are left out with a warning. Ctrl-C ends the fit with a
        warning. Of several nets, those that had begun are kept, and predict. Before the first net has begun, while
        columns are learned, there is none to keep: Ctrl-C raises KeyboardInterrupt, and like after an error, the
        estimator is as it was before the call.

        Parameters
        ----------
        X : data frame of any library, array_like of shape (n_samples, n_features), path, or source of rows
            The table. The path of a Parquet or CSV file or of a folder of Parquet files, a memory map, an array of h5py
            or zarr, an Arrow stream, a dataset of pyarrow, or an iterable or list of pieces is read piece by piece, so
            that it need not fit into memory.
        y : array_like of shape (n_samples,) or (n_samples, n_outputs), or str
            Classes or numbers; of a classifier, several columns hold 0 and 1, whether a row has the label of the
            column (multilabel classification). The name of a column of X that holds them, or a source of as many rows
            beside a source X; None if X is an iterable or list of pairs (X, y).
        sample_weight : array_like of shape (n_samples,), optional
            Weight of each sample in the loss. It also applies to samples that are held out from X.
        validation_data : tuple, optional
            (X, y) or (X, y, sample_weight), held-out samples to use instead of the fraction validation_fraction of X.
            X may be a source of rows, and y the name of its column.
            class_weight applies to training samples and to both kinds of held-out samples, because the loss on held-out
            samples chooses the best epoch.
        memory_limit : int or str, optional
            Bytes that the data of a source may take in memory, as a number or as text such as "300MB"; by default a
            share of the memory that is free. A table within it is trained on as in memory, to the same bits.

        Returns
        -------
        TabularMLPClassifier or TabularMLPRegressor
            The estimator itself.

        Raises
        ------
        ImportError
            If pandas is not installed.
        ValueError
            If settings or data are invalid.
        """
        before = self.__dict__.copy()
        try:
            for name in before:
                if name.endswith("_"):  # of the last fit
                    del self.__dict__[name]
            self._fit(X, y, sample_weight, validation_data, memory_limit)
        except BaseException:  # columns of this fit do not go with nets of the last one
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        if self.verbose:
            print(summary(self.history_), flush=True)
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any, validation_data: Any, memory_limit: Any) -> None:
        recipe, tuning = estimator_recipe(self, validation_data is not None)
        budget, data, limit = Budget(self.time_limit), None, None
        if is_source(X) or memory_limit is not None:  # an invalid limit is an error for data in memory, too
            limit = checked_memory_limit(memory_limit)
        model = TableModel(
            recipe, device=self.device, budget=budget, verbose=self.verbose, tuning=tuning, tell=warn_user
        )
        name = str(getattr(y, "name", None) or "y")
        if isinstance(y, str) and names_target(X, y):
            name, (X, y) = y, target_apart(X, y)
        elif limit is not None and is_source(X):
            in_memory = {
                "sample_weight": sample_weight,
                "class_weight": getattr(self, "class_weight", None),
                "n_folds above 1 (quality='best')": recipe.n_folds > 1 and validation_data is None,
                "tune": self.tune,
            }
            source = SourceFit(self, model, X, y, validation_data, limit)
            data, name = source.rows(in_memory), source.name
            if data is None:
                X, y = source.in_memory()
        if data is None:
            data = self._prepare(model, X, y, sample_weight, validation_data)
        with stop_flag() as flag:  # from here on, Ctrl-C leaves nets
            try:
                model.train(data, flag)
            finally:
                data.close()
            self._finish(model, name)
            was_cut = model.found is not None and model.found.interrupted
            if flag.is_set() and not was_cut and not was_interrupted(model.history):
                warn_user(
                    "The fit was interrupted after its nets were trained. They are kept, and predict; what was still "
                    "to be done, if anything, such as a training on all rows, is left out."
                )

    def _prepare(self, model: TableModel, X: Any, y: Any, sample_weight: Any, validation_data: Any) -> EncodedRows:
        """Return the rows of a table in memory as the nets of a model take them, after checks of all data."""
        table, given = self._table(X, reset=True), y
        with missing_targets_named(given):
            y = self._checked_y(given)
        check_consistent_length(table, y)
        if len(table) < 2:
            raise ValueError(f"There is only {len(table)} sample: a net needs two or more to learn from.")
        warn_of_other_order(X, {"y": given, "sample_weight": sample_weight})
        warn_of_target_copies(table, y, given, self._is_classifier)
        warn_of_targets(y, self._is_classifier, given)
        self._set_targets(y)
        targets, weights = Targets(self._codes(y), self._loss, self.n_outputs_), self._weights(table, y, sample_weight)
        held_out = None
        if validation_data is not None:
            self._check_held_out(validation_data)
            names = "y of validation_data", "sample_weight of validation_data"
            warn_of_other_order(validation_data[0], dict(zip(names, validation_data[1:], strict=False)))

            def held_out(model: TableModel) -> Rows:
                self.columns_ = model.columns
                if not self._is_classifier:
                    self._mean, self._std = model.mean, model.std
                return self._held_out(validation_data)

        model.generator = check_random_state(self.random_state)
        data = model.prepare(table, targets, weights, held_out)
        if model.problems:
            warn_user(as_lines(model.problems, "notes_"))
        return data

    def _finish(self, model: TableModel, name: str) -> None:
        """Set the fitted attributes, and warn of what has ended early; name : of y"""
        search, net, history = model.found, model.nets, model.history
        self.columns_, self.notes_, self.n_iter_ = model.columns, model.notes, model.n_epochs
        self.net_, self.history_ = net, history
        if self._is_classifier:
            self.temperature_ = model.temperature
        else:
            self._mean, self._std = model.mean, model.std
        if model.out_of_fold is not None:
            with np.errstate(invalid="ignore"):  # of rows without a prediction, after Ctrl-C
                self.oof_prediction_ = self._predictions_of(model.out_of_fold)
        if isinstance(net, MLP) and not (search is not None and search.interrupted):
            self.loss_curve_, held_out = history.loss.tolist(), history.validation_loss
            self.validation_loss_curve_ = None if held_out is None else held_out.tolist()
            warn_of_interrupted_history(history)
        target = self._target(name)
        net.preprocessing = None if target is None else Preprocessing(self.columns_, target, self.notes_)
        if search is not None and model.searched is not None:
            self.tuning_results_ = [
                {
                    "settings": {PARAMETERS[field]: value for field, value in trial.settings.items()},
                    "score": trial.score,
                    "epochs": trial.epochs,
                }
                for trial in search.trials
            ]
            self.best_settings_ = {PARAMETERS[field]: getattr(search.recipe, field) for field in model.searched}
            if search.interrupted or not search.trials:
                warn_user(search.note)
        if model.left_out is not None:
            warn_of_missing_nets(*model.left_out, model.n_wanted)

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the outputs of the net, or the mean over the nets: float64 (n_samples, n_outputs)."""
        features = self._features(X)
        outputs = self.net_.predict(features) if isinstance(self.net_, MLP) else self.net_.ensemble_predict(features)
        return outputs.astype(np.float64)

    def encoded_samples(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return a table and its targets as `net_` takes them, for `fastmlp.plots` and own computations.

        Parameters
        ----------
        X : data frame of any library, or array_like of shape (n_samples, n_features)
            A table like that of the training.
        y : array_like of shape (n_samples,) or (n_samples, n_outputs)
            Its classes or numbers.

        Returns
        -------
        features : ndarray of shape (n_samples, n_inputs)
            Inputs of the nets, named by `encoded_feature_names`.
        targets : ndarray
            Indices into `classes_`, int (n_samples,), or 0 and 1 (n_samples, n_labels); of a regressor, y in standard
            deviations from the mean of the training targets.
        """
        features, y = self._features(X), self._checked_y(y)
        check_consistent_length(features, y)
        return features, self._encode(y)

    def save(self, path: str | os.PathLike) -> None:
        """Write the fitted estimator to a file that `fastmlp.load` reads.

        The file has the format that `fastmlp train` writes, so `fastmlp predict` reads it too, except for estimators
        with several targets. A warning names parameters that cannot be written, such as functions. Writing is atomic.
        No data of the training are in the file, and so `oof_prediction_` is not.

        Parameters
        ----------
        path : str or path
            File to write. An existing file is replaced.

        Raises
        ------
        OSError
            If the file cannot be written; an existing file is then unchanged.
        ValueError
            If the classes are neither text nor numbers nor dates.
        """
        save(self._net(), path, description_of(self))
