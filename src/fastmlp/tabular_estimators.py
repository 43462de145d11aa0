"""TabularMLPClassifier and TabularMLPRegressor: settings that the literature finds to work for plain nets on tables.

Quantile-normal numbers and one-hot categories (columns.py), dropout, AdamW with clipped gradients, patience on a
validation part (Gorishniy et al. 2021, arXiv:2106.11959; Kadra et al. 2021, arXiv:2106.11189), one cycle of the learning
rate (Smith and Topin 2019), and the mean of a few nets. bench/tabular.py measures it; bench/LOG.md has the figures.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .estimator_base import BaseMLP  # noqa: F401  # its error says what to install

from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin  # isort: skip
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, validate_data

from .callbacks import EarlyStopping
from .errors import checked_count, checked_number
from .initialization import UniformByFanIn
from .mlp import MLP
from .optimizers import AdamW
from .population import Population
from .tabular import encode_columns, feature_names, fit_columns, import_pandas

CLIP_NORM = 1.0
FULL_BATCH_SIZE, SMALLEST_BATCH, STEPS = 256, 16, 32  # "auto": so many steps an epoch, as long as there are rows


class BaseTabular(BaseEstimator):
    """What the two share. A subclass says how y is encoded, split, and predicted."""

    def _keep(self, settings: dict[str, Any]) -> None:
        """Store constructor arguments under their names, untouched."""
        for name, value in settings.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    def _learn(self, y: np.ndarray, training: np.ndarray) -> None:
        raise NotImplementedError

    def _encode(self, y: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _net_settings(self) -> dict[str, Any]:
        raise NotImplementedError

    def fit(self, X, y, sample_weight=None, *, validation_data=None):
        """Train on a table X, a DataFrame or an array (n_samples, n_features), and y (n_samples,).

        Cells may be missing; columns that cannot be used are left out with a warning.

        sample_weight : (n_samples,)
        validation_data : (X, y), in place of a share validation_fraction of the samples, whose weights count there too

        Raises
        ------
        ImportError
            If pandas is not installed.
        ValueError
            For impossible settings or data.
        """
        settings: Any = self
        checked_number("validation_fraction", settings.validation_fraction, 0.0, 1.0, open_high=True)
        for name in ("n_nets", "max_iter", "patience"):
            checked_count(name, getattr(self, name))
        if settings.batch_size != "auto":
            checked_count("batch_size", settings.batch_size)
        table = self._table(X, reset=True)
        y = self._checked_y(y)
        check_consistent_length(table, y)
        if len(table) < 2:
            raise ValueError(f"There is only {len(table)} sample: a net needs two or more to learn from.")
        rng = check_random_state(settings.random_state)
        training, held = self._split(y, rng, validation_data is not None)
        self._learn(y, training)
        weights = self._weights(table, y, sample_weight)
        self.columns_, self.notes_ = fit_columns(table.iloc[training])
        if not self.columns_:
            raise ValueError("No column can be used to predict y: " + " ".join(self.notes_))
        if self.notes_:
            warnings.warn(" ".join(self.notes_), stacklevel=2)
        features = encode_columns(self.columns_, table, settings.dtype)
        targets = self._encode(y)
        held_out = None
        if validation_data is not None:
            X_held, y_held = validation_data
            held_out = encode_columns(self.columns_, self._table(X_held, reset=False), settings.dtype)
            held_out = held_out, self._encode(self._checked_y(y_held))
        elif len(held):
            held_out = features[held], targets[held], None if weights is None else weights[held]
        weights = None if weights is None else weights[training]
        self._train(features[training], targets[training], weights, held_out, int(rng.randint(2**31 - 1)))
        return self

    def _train(self, X: np.ndarray, y: np.ndarray, weights: Any, held_out: Any, seed: int) -> None:
        s: Any = self
        hidden = tuple(s.hidden_layer_sizes) if hasattr(s.hidden_layer_sizes, "__iter__") else (s.hidden_layer_sizes,)
        common = {
            "hidden_activation": s.activation, "dropout": s.dropout, "init": UniformByFanIn(), "dtype": s.dtype,
            "device": s.device, "random_state": seed, **self._net_settings(),
        }  # fmt: skip
        sizes = (X.shape[1], *hidden, self.n_outputs_)
        net: Any = MLP(sizes, **common) if s.n_nets == 1 else Population(sizes, s.n_nets, **common)
        self.history_ = net.fit(
            X, y, epochs=s.max_iter, batch_size=self._batch_size(len(X)),
            optimizer=AdamW(s.learning_rate_init, weight_decay=s.weight_decay, clip_norm=CLIP_NORM),
            schedule=s.schedule, sample_weight=weights, validation_data=held_out,
            early_stopping=None if held_out is None else EarlyStopping(s.patience), verbose=int(s.verbose),
        )  # fmt: skip
        self.net_ = net
        self.n_iter_ = int(np.max(self.history_.epochs))
        if isinstance(net, MLP):
            self.history_.net = None  # it is net_, and a pickle would hold it twice

    def _batch_size(self, n_samples: int) -> int:
        size = self.batch_size  # type: ignore[attr-defined]
        if size != "auto":
            return size
        return min(FULL_BATCH_SIZE, max(SMALLEST_BATCH, 1 << max(0, (n_samples // STEPS).bit_length() - 1)))

    def _split(self, y: np.ndarray, rng: np.random.RandomState, is_given: bool) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers (training, held out)."""
        share = self.validation_fraction  # type: ignore[attr-defined]
        rows = np.arange(len(y))
        if is_given or share == 0.0:
            return rows, rows[:0]
        n_held = min(max(1, round(share * len(y))), len(y) - 1)
        training, held = train_test_split(rows, test_size=n_held, random_state=rng, stratify=self._strata(y, n_held))
        return np.sort(training), np.sort(held)

    def _strata(self, y: np.ndarray, n_held: int) -> np.ndarray | None:
        return None

    def _weights(self, table: Any, y: np.ndarray, sample_weight: Any) -> np.ndarray | None:
        return None if sample_weight is None else _check_sample_weight(sample_weight, table, dtype=np.float64)

    def _checked_y(self, y: Any) -> np.ndarray:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        array = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        return column_or_1d(array, warn=True) if array.ndim == 2 and array.shape[1] == 1 else array

    def _table(self, X: Any, reset: bool) -> Any:
        """X as a DataFrame whose columns have text as names."""
        pandas = import_pandas()
        if hasattr(X, "to_pandas") and not isinstance(X, pandas.DataFrame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            X = pandas.DataFrame({name: X[name].to_numpy() for name in X.columns})
        elif isinstance(X, pandas.DataFrame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            if len(X) == 0:
                raise ValueError("X has no rows.")
        else:
            X = validate_data(self, X, dtype=None, ensure_all_finite="allow-nan", reset=reset)
            X = pandas.DataFrame(X)
            if X.dtypes.eq(object).any():
                X = X.infer_objects()
        if X.columns.duplicated().any():
            raise ValueError(f"Two columns are named {X.columns[X.columns.duplicated()][0]!r}: give each its own name.")
        table = X.rename(columns=str)
        return self._with_categories(table)

    def _with_categories(self, table: Any) -> Any:
        chosen = self.categorical_features  # type: ignore[attr-defined]
        if chosen is None:
            return table
        names = [table.columns[key] if isinstance(key, (int, np.integer)) else str(key) for key in chosen]
        unknown = [name for name in names if name not in table.columns]
        if unknown:
            raise ValueError(f"categorical_features names {unknown[0]!r}, which is no column of X.")
        return table.assign(**{name: table[name].astype("category") for name in names})

    def __sklearn_is_fitted__(self) -> bool:
        return "net_" in self.__dict__

    def _outputs(self, X: Any) -> np.ndarray:
        """(n_samples, n_outputs): what the net gives, or the mean of the nets."""
        if "net_" not in self.__dict__:
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet: call fit first.")
        features = encode_columns(self.columns_, self._table(X, reset=False), self.net_.dtype.name)
        outputs = self.net_.predict(features) if isinstance(self.net_, MLP) else self.net_.ensemble_predict(features)
        return outputs.astype(np.float64)

    def encoded_feature_names(self) -> list[str]:
        """Names of the features that the net sees, such as "colour = red"."""
        if "net_" not in self.__dict__:
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet: call fit first.")
        return feature_names(self.columns_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags


class TabularMLPClassifier(ClassifierMixin, BaseTabular):
    """Classes from a table, for those who want accuracy without choosing settings.

    Columns of numbers become normal scores, text and categories a feature per category, missing cells are handled. A
    share of the rows decides when each net has learned enough, and the nets' mean probability predicts.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int
    activation : str
    dropout : float
    learning_rate_init : float
        The peak of the schedule.
    weight_decay : float
        Of AdamW.
    batch_size : int or "auto"
        "auto" is 256, and less for fewer than 8,192 rows, down to 16.
    max_iter : int
        Epochs, over which the schedule goes.
    schedule : str, object or function
        Of fastmlp.schedules.
    patience : int
        Epochs without a lower validation loss after which a net stops; its best parameters are kept.
    validation_fraction : float
        Share of rows held out, of each class alike; 0 trains all epochs on all rows.
    n_nets : int
        How many nets; 1 takes a fifth of the time of 5.
    class_weight : dict or "balanced", optional
    label_smoothing : float
    categorical_features : sequence of column names or numbers, optional
        Columns to take for categories although they hold numbers.
    random_state : int, RandomState or None
    verbose : bool
        Whether to show a progress bar.
    device : "auto", "cpu" or "cuda"
    dtype : "float32" or "float64"

    Attributes
    ----------
    classes_, n_features_in_, feature_names_in_, n_iter_
    net_ : fastmlp.MLP, or fastmlp.Population for several nets
    history_ : fastmlp.History, or fastmlp.PopulationResult
    columns_ : tuple of the encoders
    notes_ : tuple of str
        What was left out, and why.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"size": [1.0, 2.0, None, 4.0] * 20, "colour": ["red", "blue", "blue", "red"] * 20})
    >>> y = ["a", "b", "b", "a"] * 20
    >>> model = TabularMLPClassifier(n_nets=2, max_iter=30, random_state=0).fit(X, y)
    >>> print(model.predict(X[:4]))
    ['a' 'b' 'b' 'a']
    """

    def __init__(
        self,
        hidden_layer_sizes=(256, 256, 256),
        *,
        activation="relu",
        dropout=0.2,
        learning_rate_init=0.003,
        weight_decay=0.1,
        batch_size="auto",
        max_iter=100,
        schedule="one_cycle",
        patience=24,
        validation_fraction=0.2,
        n_nets=5,
        class_weight=None,
        label_smoothing=0.0,
        categorical_features=None,
        random_state=None,
        verbose=False,
        device="auto",
        dtype="float32",
    ):
        self._keep(locals())

    def _checked_y(self, y):
        y = super()._checked_y(y)
        check_classification_targets(y)
        if type_of_target(y) not in ("binary", "multiclass"):
            raise ValueError("y must be one column of classes. For several, fit one model each.")
        return y

    def _learn(self, y, training):
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError(f"y holds one class only, {self.classes_[0]!r}; a classifier needs two or more.")
        self.n_outputs_ = len(self.classes_)

    def _encode(self, y):
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"validation_data has the class {unknown[0]!r}, which y has not.")
        return np.searchsorted(self.classes_, y)

    def _strata(self, y, n_held):
        """Classes, where each can have a row on either side."""
        counts = np.unique(y, return_counts=True)[1]
        return y if counts.min() > 1 and len(counts) <= min(n_held, len(y) - n_held) else None

    def _weights(self, table, y, sample_weight):
        weights = super()._weights(table, y, sample_weight)
        if self.class_weight is None:
            return weights
        of_class = compute_sample_weight(self.class_weight, y)
        return of_class if weights is None else weights * of_class

    def _net_settings(self):
        return {"loss": "softmax_cross_entropy", "label_smoothing": self.label_smoothing}

    def predict(self, X):
        """Classes (n_samples,)."""
        codes = self._outputs(X).argmax(axis=1)
        return self.classes_[codes]

    def predict_proba(self, X):
        """Probabilities (n_samples, n_classes), in the order of classes_."""
        p = self._outputs(X)
        return p / p.sum(axis=1, keepdims=True)

    def predict_log_proba(self, X):
        """The logarithm of predict_proba."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))


class TabularMLPRegressor(RegressorMixin, BaseTabular):
    """Numbers from a table, for those who want accuracy without choosing settings.

    As TabularMLPClassifier, with targets (n_samples,) or (n_samples, n_outputs) brought to mean 0 and deviation 1.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> model = TabularMLPRegressor(n_nets=2, max_iter=30, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.4
    True
    """

    def __init__(
        self,
        hidden_layer_sizes=(256, 256, 256),
        *,
        activation="relu",
        dropout=0.2,
        learning_rate_init=0.003,
        weight_decay=0.1,
        batch_size="auto",
        max_iter=100,
        schedule="one_cycle",
        patience=24,
        validation_fraction=0.2,
        n_nets=5,
        categorical_features=None,
        random_state=None,
        verbose=False,
        device="auto",
        dtype="float32",
    ):
        self._keep(locals())

    def _checked_y(self, y):
        y = super()._checked_y(y)
        try:
            return y.astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError("y must hold numbers; for classes use TabularMLPClassifier.") from None

    def _learn(self, y, training):
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        self._mean, std = y[training].mean(axis=0), y[training].std(axis=0)
        self._std = np.where(std > 0.0, std, 1.0)

    def _encode(self, y):
        return (y - self._mean) / self._std

    def _net_settings(self):
        return {"loss": "squared_error"}

    def predict(self, X):
        """(n_samples,), or (n_samples, n_outputs) for several."""
        outputs = self._outputs(X)
        return (outputs[:, 0] if self.n_outputs_ == 1 else outputs) * self._std + self._mean

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
