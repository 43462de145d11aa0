"""Base class of TabularMLPClassifier and TabularMLPRegressor: encoding of tables, training, and prediction."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any, NoReturn

import numpy as np

from .base import BaseMLP  # noqa: F401  # raises the error that tells what to install

from sklearn.base import BaseEstimator  # isort: skip
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state, column_or_1d
from sklearn.utils.validation import check_consistent_length, validate_data

from ..callbacks import EarlyStopping, as_callbacks
from ..console.compile_notice import CompileNotices
from ..errors import checked_count, checked_number, counted
from ..initialization import UniformByFanIn
from ..mlp import MLP
from ..optimizers import AdamW
from ..persistence import save
from ..population import Population
from ..tables.column_encoders import Note, NumericEncoding
from ..tables.io import with_text_names
from ..tables.preprocessing import encode_columns, feature_names, fit_columns, with_numbers
from ..tables.target_encoder import Target
from .array_input import checked_weights, refuse_dates_among_columns
from .exporting import Exportable
from .interruption import trained_nets, warn_of_interrupted_history
from .parameters import hidden_sizes, warn_user
from .serialization import description_of, preprocessing_of
from .table_input import as_cells, as_frame, frame_of_array

CLIP_NORM = 1.0
FULL_BATCH_SIZE, SMALLEST_BATCH, STEPS = 256, 16, 32  # batch_size="auto": bounds, and steps an epoch aimed at
NOT_GIVEN = "deprecated"  # default of a parameter's former name, as in scikit-learn


class BaseTabular(Exportable, BaseEstimator, ABC):
    """Base class of the two tabular estimators. Subclasses define how y is encoded, split and predicted.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (256, 256, 256)
        Number of units in each hidden layer.
    activation : str, default "relu"
        Any hidden activation of fastmlp.MLP.
    dropout : float or sequence of float, default 0.2
        Fraction of hidden units dropped in each training step.
    learning_rate_init : float, default 0.003
        Peak learning rate of the schedule.
    weight_decay : float, default 0.1
        Weight decay of AdamW.
    batch_size : int or "auto", default "auto"
        Number of samples in a batch. "auto" is 256; for fewer than 8,192 rows it is smaller, down to 16.
    max_iter : int, default 40
        Largest number of epochs, and the length of the schedule.
    schedule : str, object or callable, default "one_cycle"
        A learning-rate schedule of fastmlp.schedules.
    n_iter_no_change : int, default 24
        Number of epochs without a lower validation loss after which training of a net stops. Its best parameters are
        kept.
    n_nets : int, default 5
        Number of nets. One net takes a fifth of the time of five.
    categorical_features : sequence of str or int, optional
        Names or numbers of columns to treat as categories although they hold numbers.
    numeric_encoding : {"auto", "piecewise_linear", "quantile", "standard"}, default "auto"
        Encoding of columns of numbers. "auto" gives columns of more than 32 distinct numbers a normal score and, where
        the targets leap, bins, in each of which the first layer has a slope of its own; it standardises other columns.
        "piecewise_linear" makes as many bins as it can, "quantile" none, with a normal score for all columns.
        "standard" standardises all.
    n_bins : int, default 48
        Largest number of bins of a column, from 2 to 1000. A decision tree on each column chooses the bins.
    callbacks : callable or sequence of callable, optional
        Called as callback(epoch, history) after each epoch; history.net is the MLP being trained. Training stops when a
        callback returns True. Only for n_nets=1.
    warm_start : bool, default False
        Whether the next fit continues from the parameters of the last fit. The encoding of columns and y that the first
        fit found, such as categories and quantiles, is kept.
    random_state : int, RandomState or None, default None
        Seed of the validation split, the initial weights, the order of samples and dropout.
    verbose : bool, default False
        Whether to show a progress bar.
    device : str, default "auto"
        Device for training and prediction: "auto", "cpu" or "cuda", as in fastmlp.MLP.
    dtype : {"float32", "float64"}, default "float32"
        Floating-point type of the nets.
    patience : int, optional
        Former name of n_iter_no_change; deprecated.

    Attributes
    ----------
    net_ : MLP or Population
        The trained net, or nets if n_nets > 1.
    history_ : History or PopulationResult
        What the fit of the net, or of the nets, returned.
    validation_loss_curve_ : list of float or None
        Loss on the held-out samples, one value per epoch; None without any. Only for n_nets=1.
    n_iter_ : int
        Number of epochs; of several nets, the largest.
    columns_ : tuple
        Encoders of the columns that are used.
    notes_ : tuple of str
        Sentences on columns that were left out, and on cells that count as missing, with reasons.
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

    hidden_layer_sizes: Any
    activation: str
    dropout: Any
    learning_rate_init: float
    weight_decay: float
    batch_size: Any
    max_iter: int
    schedule: Any
    n_iter_no_change: int
    validation_fraction: float
    n_nets: int
    categorical_features: Any
    numeric_encoding: str
    n_bins: int
    callbacks: Any
    warm_start: bool
    random_state: Any
    verbose: Any
    device: str
    dtype: str
    patience: Any
    _names: list[str]  # of the columns of X at fit
    _takes_more_columns = False  # whether a table may have columns that training did not use

    @abstractmethod
    def _set_targets(self, y: np.ndarray, training: np.ndarray) -> None:
        """Set the attributes that the encoding of y depends on, such as classes_ or mean and standard deviation.

        training : row numbers of the training samples
        """

    @abstractmethod
    def _encode(self, y: np.ndarray) -> np.ndarray:
        """Return y in the form that the nets are trained on: class indices or scaled numbers."""

    def _bin_targets(self, encoded: np.ndarray) -> np.ndarray:
        """Return encoded targets as the numbers (n_rows, n_outputs) that bins of columns depend on."""
        return encoded.reshape(len(encoded), -1)

    @abstractmethod
    def _net_settings(self) -> dict[str, Any]:
        """Return the keyword arguments of MLP and Population that depend on the kind of y."""

    @abstractmethod
    def _target(self, name: str) -> Target | None:
        """Return the target encoder to store in the file of the net, or None if a Target cannot describe y."""

    def fit(self, X, y, sample_weight=None, *, validation_data=None):
        """Train on a table X and targets y.

        Cells may be missing; columns that cannot be used are left out with a warning. Ctrl-C ends the fit with a
        warning. Of several nets, those that had begun are kept, and predict.

        Parameters
        ----------
        X : data frame of any library, or array_like of shape (n_samples, n_features)
            The table.
        y : array_like of shape (n_samples,)
            Classes or numbers; a regressor also takes (n_samples, n_outputs).
        sample_weight : array_like of shape (n_samples,), optional
            Weight of each sample in the loss. It also applies to samples that are held out from X.
        validation_data : tuple, optional
            (X, y) or (X, y, sample_weight), held-out samples to use instead of the fraction validation_fraction of X.
            class_weight applies to training samples and to both kinds of held-out samples, because the loss on held-out
            samples chooses the best epoch.

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
        stopping = self._check_settings()
        continues = bool(self.warm_start) and self.__sklearn_is_fitted__()
        table = self._table(X, reset=not continues)
        name = str(getattr(y, "name", None) or "y")
        y = self._checked_y(y)
        check_consistent_length(table, y)
        if len(table) < 2:
            raise ValueError(f"There is only {len(table)} sample: a net needs two or more to learn from.")
        rng = check_random_state(self.random_state)
        training, held = self._split(y, rng, validation_data is not None)
        if not continues:
            self._set_targets(y, training)
            table, notes = with_numbers(table)
            self._learn_columns(table.iloc[training], notes, self._bin_targets(self._encode(y[training])))
        features, targets = encode_columns(self.columns_, table, self.dtype), self._encode(y)
        self._weigh_classes(y)
        weights = self._weights(table, y, sample_weight)
        held_out: tuple[Any, ...] | None = None
        if validation_data is not None:
            held_out = self._held_out(validation_data)
        elif len(held):
            held_out = features[held], targets[held], None if weights is None else weights[held]
        weights = None if weights is None else weights[training]
        seed = int(rng.randint(2**31 - 1))
        with CompileNotices(True):
            self._train(features[training], targets[training], weights, held_out, seed, stopping, continues)
        target = self._target(name)
        self.net_.preprocessing = None if target is None else preprocessing_of(self, target)
        return self

    def _check_settings(self) -> EarlyStopping:
        """Check the parameters that MLP and Population either do not check, or know under other names.

        Returns the rule for early stopping.
        """
        checked_number("validation_fraction", self.validation_fraction, 0.0, 1.0, open_high=True)
        for name in ("n_nets", "max_iter", "n_iter_no_change"):
            checked_count(name, getattr(self, name))
        if self.batch_size != "auto":
            checked_count("batch_size", self.batch_size)
        if as_callbacks(self.callbacks) and self.n_nets > 1:
            raise ValueError(
                f"callbacks are for a single net, but n_nets is {self.n_nets}: set n_nets=1, or leave them out."
            )
        if self.patience == NOT_GIVEN:
            return EarlyStopping(self.n_iter_no_change)
        warn_user(
            f"patience has another name now, the one of MLPClassifier: write n_iter_no_change={self.patience!r}.",
            FutureWarning,
        )
        return EarlyStopping(checked_count("patience", self.patience))

    def _learn_columns(self, table: Any, notes: tuple[str, ...], bin_targets: np.ndarray) -> None:
        encoding = NumericEncoding(self.numeric_encoding, self.n_bins, bin_targets)
        self.columns_, further_notes = fit_columns(table, encoding, self._chosen_categories(table))
        self.notes_ = notes + further_notes
        if not self.columns_:
            raise ValueError("No column can be used to predict y: " + " ".join(self.notes_))
        if self.notes_:
            warn_user(" ".join(self.notes_))

    def _held_out(self, validation_data: Any) -> tuple[Any, ...]:
        """Return validation_data encoded for the nets: (features, targets, weights)."""
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            raise ValueError("validation_data must be (X, y) or (X, y, sample_weight).")
        features, y = self._encoded(validation_data[0], self.dtype), self._checked_y(validation_data[1])
        check_consistent_length(features, y)
        weights = self._weights(features, y, validation_data[2] if len(validation_data) == 3 else None)
        return features, self._encode(y), weights

    def _train(
        self,
        X: np.ndarray,
        y: np.ndarray,
        weights: Any,
        held_out: Any,
        seed: int,
        stopping: EarlyStopping,
        continues: bool,
    ) -> None:
        common = {
            "hidden_activation": self.activation,
            "dropout": self.dropout,
            "init": UniformByFanIn(),
            "dtype": self.dtype,
            "device": self.device,
            "random_state": seed,
            **self._net_settings(),
        }
        sizes = (X.shape[1], *hidden_sizes(self), self.n_outputs_)
        net: Any = MLP(sizes, **common) if self.n_nets == 1 else Population(sizes, self.n_nets, **common)
        if continues:
            self._continue_from_last(net)
        further = {"callbacks": self.callbacks} if isinstance(net, MLP) else {}
        history = net.fit(
            X,
            y,
            epochs=self.max_iter,
            batch_size=self._batch_size(len(X)),
            optimizer=AdamW(self.learning_rate_init, weight_decay=self.weight_decay, clip_norm=CLIP_NORM),
            schedule=self.schedule,
            sample_weight=weights,
            validation_data=held_out,
            early_stopping=None if held_out is None else stopping,
            verbose=self.verbose,
            **further,
        )
        if isinstance(net, MLP):
            warn_of_interrupted_history(history)
        elif history.interrupted:
            net = trained_nets(net, continues)
            history = net.result
        self.keep_net(net, history)
        self.n_iter_ = int(np.max(history.epochs))
        if isinstance(net, MLP):
            keys = "loss_curve_", "validation_loss_curve_"  # absent after a fit of several nets
            before = [self.__dict__.get(key) if continues else None for key in keys]
            self.loss_curve_: list[float] = [*(before[0] or []), *history.loss.tolist()]
            self.validation_loss_curve_: list[float] | None = before[1]
            if history.validation_loss is not None:
                self.validation_loss_curve_ = [*(before[1] or []), *history.validation_loss.tolist()]
        else:
            self.__dict__.pop("loss_curve_", None)
            self.__dict__.pop("validation_loss_curve_", None)

    def _continue_from_last(self, net: Any) -> None:
        """Copy the parameters of the last fit into a new net or population."""
        known, size = self.net_, self.net_.params.size
        if known.network.layer_sizes != net.network.layer_sizes or size != net.params.size:
            raise ValueError(
                f"Training goes on with {self._described(known)}, but the settings and data ask for "
                f"{self._described(net)}. Keep them as they were, or fit anew with warm_start=False."
            )
        net.params = known.params.reshape(net.params.shape)  # an interrupted fit may have kept a population of one net
        net.fits = known.fits  # so that batches and dropout masks differ from those of the previous fits

    @staticmethod
    def _described(net: Any) -> str:
        count = "" if isinstance(net, MLP) else f"{counted(net.n_nets, 'net')} of "
        return f"{count}layers {net.network.layer_sizes}"

    def keep_net(self, net: Any, history: Any) -> None:
        """Store a trained net or population as `net_`, and its records as `history_`.

        Parameters
        ----------
        net : MLP or Population
            What was trained.
        history : History, PopulationResult or None
            What its fit returned.
        """
        self.net_, self.history_ = net, history

    def _batch_size(self, n_samples: int) -> int:
        size = self.batch_size
        if size != "auto":
            return size
        return min(FULL_BATCH_SIZE, max(SMALLEST_BATCH, 1 << max(0, (n_samples // STEPS).bit_length() - 1)))

    def _split(self, y: np.ndarray, rng: np.random.RandomState, is_given: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return (row numbers of training samples, row numbers of held-out samples).

        is_given : whether the user passed validation_data; then all rows are training samples
        """
        share = self.validation_fraction
        rows = np.arange(len(y))
        if is_given or share == 0.0:
            return rows, rows[:0]
        n_held = min(max(1, round(share * len(y))), len(y) - 1)
        training, held = train_test_split(rows, test_size=n_held, random_state=rng, stratify=self._strata(y, n_held))
        return np.sort(training), np.sort(held)

    def _strata(self, y: np.ndarray, n_held: int) -> np.ndarray | None:
        return None

    def _weights(self, table: Any, y: np.ndarray, sample_weight: Any) -> np.ndarray | None:
        return None if sample_weight is None else checked_weights(sample_weight, table)

    def _weigh_classes(self, y: np.ndarray) -> None:
        """Set the weights of the classes from class_weight and y. A regressor has none."""

    def _checked_y(self, y: Any) -> np.ndarray:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        refuse_dates_among_columns(y)
        array = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        return column_or_1d(array, warn=True) if array.ndim == 2 and array.shape[1] == 1 else array

    def _table(self, X: Any, reset: bool) -> Any:
        """Return X as a DataFrame whose column names are text.

        reset : whether this is the fit that defines the column names. Otherwise X gets the names of that fit if its own
            are missing or different.
        """
        frame = as_frame(X)
        if frame is None:
            array = validate_data(self, as_cells(X), dtype=None, ensure_all_finite="allow-nan", reset=reset)
            table = frame_of_array(array)
        else:
            table = with_text_names(frame, "X")
            if not reset and self._takes_more_columns:
                frame = table = table[[name for name in self._names if name in table.columns]]
            validate_data(self, frame, reset=reset, skip_check_array=True)
            if len(frame) == 0:
                raise ValueError("X has no rows.")
        if reset:
            self._names = list(table.columns)
            self._takes_more_columns = False
        else:
            names = self._names
            if frame is None or set(names) != set(table.columns):  # validate_data has already checked the names
                table = table.set_axis(names, axis=1)
        return self._with_categories(table)

    def _with_categories(self, table: Any) -> Any:
        return table.assign(**{name: table[name].astype("category") for name in self._chosen_categories(table)})

    def _chosen_categories(self, table: Any) -> list[str]:
        """Return the names of the columns in categorical_features."""
        chosen = [] if self.categorical_features is None else self.categorical_features
        chosen = [chosen] if isinstance(chosen, str) else chosen
        names = [table.columns[key] if isinstance(key, (int, np.integer)) else str(key) for key in chosen]
        unknown = [name for name in names if name not in table.columns]
        if unknown:
            raise ValueError(f"categorical_features names {unknown[0]!r}, which is no column of X.")
        return names

    def __sklearn_is_fitted__(self) -> bool:
        return "net_" in self.__dict__

    def _not_fitted(self) -> NoReturn:
        raise NotFittedError(f"This {type(self).__name__} is not fitted yet: call fit first.")

    def _net(self) -> Any:
        """Return net_, or raise NotFittedError if there is none."""
        if not self.__sklearn_is_fitted__():
            self._not_fitted()
        return self.net_

    def _features(self, X: Any) -> np.ndarray:
        """Return X encoded as features (n_samples, n_inputs) for the nets."""
        if not self.__sklearn_is_fitted__():
            self._not_fitted()
        return self._encoded(X, self.net_.dtype.name)

    def _encoded(self, X: Any, dtype: str) -> np.ndarray:
        """Return X encoded as features, and warn of columns in which most cells are of a kind unseen in training."""
        notes: list[Note] = []
        features = encode_columns(self.columns_, self._table(X, reset=False), dtype, notes)
        if serious := [note.text for note in notes if note.is_serious]:
            warn_user(" ".join(serious))
        return features

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
            Indices into `classes_`, int (n_samples,); of a regressor, y in standard deviations from the mean of the
            training targets.
        """
        features, y = self._features(X), self._checked_y(y)
        check_consistent_length(features, y)
        return features, self._encode(y)

    def encoded_feature_names(self) -> list[str]:
        """Return the names of the encoded features that are the inputs of the nets, such as "colour = red".

        Returns
        -------
        list of str
        """
        if not self.__sklearn_is_fitted__():
            self._not_fitted()
        return feature_names(self.columns_)

    def notes_on(self, X: Any) -> tuple[str, ...]:
        """Return sentences on cells of X of a kind unseen in training: new categories, missing cells, text for numbers.

        predict warns only if most cells of a column are of such a kind; notes_on reports even a single cell.

        Parameters
        ----------
        X : data frame or array_like of shape (n_samples, n_features)
            The table.

        Returns
        -------
        tuple of str
        """
        if not self.__sklearn_is_fitted__():
            self._not_fitted()
        notes: list[Note] = []
        encode_columns(self.columns_, self._table(X, reset=False), self.net_.dtype.name, notes)
        return tuple(note.text for note in notes)

    def save(self, path: str | os.PathLike) -> None:
        """Write the fitted estimator to a file that `fastmlp.load` reads.

        The file has the format that `fastmlp train` writes, so `fastmlp predict` reads it too, except for estimators
        with several targets. A warning names parameters that cannot be written, such as functions. Writing is atomic.

        Parameters
        ----------
        path : str or path
            File to write. An existing file is replaced.

        Raises
        ------
        OSError
            If the file cannot be written; an existing file is then unchanged.
        ValueError
            If the classes are neither text nor numbers.
        """
        if not self.__sklearn_is_fitted__():
            self._not_fitted()
        save(self.net_, path, description_of(self))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags
