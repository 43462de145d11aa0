"""What TabularMLPClassifier and TabularMLPRegressor share: from a table to trained nets, and from nets to outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from .base import BaseMLP  # noqa: F401  # its error says what to install

from sklearn.base import BaseEstimator  # isort: skip
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state, column_or_1d
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, validate_data

from ..callbacks import EarlyStopping
from ..errors import checked_count, checked_number
from ..initialization import UniformByFanIn
from ..mlp import MLP
from ..optimizers import AdamW
from ..population import Population
from ..tabular import encode_columns, feature_names, fit_columns, import_pandas
from .settings import hidden_sizes, warn_user

CLIP_NORM = 1.0
FULL_BATCH_SIZE, SMALLEST_BATCH, STEPS = 256, 16, 32  # "auto": so many steps an epoch, as long as there are rows


class BaseTabular(BaseEstimator, ABC):
    """What the two share. A subclass says how y is encoded, split, and predicted."""

    hidden_layer_sizes: Any
    activation: str
    dropout: Any
    learning_rate_init: float
    weight_decay: float
    batch_size: Any
    max_iter: int
    schedule: Any
    patience: int
    validation_fraction: float
    n_nets: int
    categorical_features: Any
    random_state: Any
    verbose: Any
    device: str
    dtype: str

    @abstractmethod
    def _learn(self, y: np.ndarray, training: np.ndarray) -> None:
        """Take from y what decides how it is encoded; training : the rows that are trained on."""

    @abstractmethod
    def _encode(self, y: np.ndarray) -> np.ndarray:
        """y as the nets take it."""

    @abstractmethod
    def _net_settings(self) -> dict[str, Any]:
        """Arguments of the nets that y decides."""

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
        checked_number("validation_fraction", self.validation_fraction, 0.0, 1.0, open_high=True)
        for name in ("n_nets", "max_iter", "patience"):
            checked_count(name, getattr(self, name))
        if self.batch_size != "auto":
            checked_count("batch_size", self.batch_size)
        table = self._table(X, reset=True)
        y = self._checked_y(y)
        check_consistent_length(table, y)
        if len(table) < 2:
            raise ValueError(f"There is only {len(table)} sample: a net needs two or more to learn from.")
        rng = check_random_state(self.random_state)
        training, held = self._split(y, rng, validation_data is not None)
        self._learn(y, training)
        weights = self._weights(table, y, sample_weight)
        self.columns_, self.notes_ = fit_columns(table.iloc[training])
        if not self.columns_:
            raise ValueError("No column can be used to predict y: " + " ".join(self.notes_))
        if self.notes_:
            warn_user(" ".join(self.notes_))
        features = encode_columns(self.columns_, table, self.dtype)
        targets = self._encode(y)
        held_out: tuple[Any, ...] | None = None
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
                raise ValueError("validation_data must be a pair (X, y).")
            X_held, y_held = validation_data
            encoded = encode_columns(self.columns_, self._table(X_held, reset=False), self.dtype)
            held_out = encoded, self._encode(self._checked_y(y_held))
        elif len(held):
            held_out = features[held], targets[held], None if weights is None else weights[held]
        weights = None if weights is None else weights[training]
        self._train(features[training], targets[training], weights, held_out, int(rng.randint(2**31 - 1)))
        return self

    def _train(self, X: np.ndarray, y: np.ndarray, weights: Any, held_out: Any, seed: int) -> None:
        common = {
            "hidden_activation": self.activation, "dropout": self.dropout, "init": UniformByFanIn(),
            "dtype": self.dtype, "device": self.device, "random_state": seed, **self._net_settings(),
        }  # fmt: skip
        sizes = (X.shape[1], *hidden_sizes(self), self.n_outputs_)
        net: Any = MLP(sizes, **common) if self.n_nets == 1 else Population(sizes, self.n_nets, **common)
        self.history_ = net.fit(
            X, y, epochs=self.max_iter, batch_size=self._batch_size(len(X)),
            optimizer=AdamW(self.learning_rate_init, weight_decay=self.weight_decay, clip_norm=CLIP_NORM),
            schedule=self.schedule, sample_weight=weights, validation_data=held_out,
            early_stopping=None if held_out is None else EarlyStopping(self.patience), verbose=int(self.verbose),
        )  # fmt: skip
        self.net_ = net
        self.n_iter_ = int(np.max(self.history_.epochs))
        if isinstance(net, MLP):
            self.history_.net = None  # it is net_, and a pickle would hold it twice

    def _batch_size(self, n_samples: int) -> int:
        size = self.batch_size
        if size != "auto":
            return size
        return min(FULL_BATCH_SIZE, max(SMALLEST_BATCH, 1 << max(0, (n_samples // STEPS).bit_length() - 1)))

    def _split(self, y: np.ndarray, rng: np.random.RandomState, is_given: bool) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers (training, held out)."""
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
        chosen = self.categorical_features
        if chosen is None:
            return table
        chosen = [chosen] if isinstance(chosen, str) else chosen
        names = [table.columns[key] if isinstance(key, (int, np.integer)) else str(key) for key in chosen]
        unknown = [name for name in names if name not in table.columns]
        if unknown:
            raise ValueError(f"categorical_features names {unknown[0]!r}, which is no column of X.")
        return table.assign(**{name: table[name].astype("category") for name in names})

    def __sklearn_is_fitted__(self) -> bool:
        return "net_" in self.__dict__

    def _features(self, X: Any) -> np.ndarray:
        """X as the nets take it."""
        if "net_" not in self.__dict__:
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet: call fit first.")
        return encode_columns(self.columns_, self._table(X, reset=False), self.net_.dtype.name)

    def _outputs(self, X: Any) -> np.ndarray:
        """(n_samples, n_outputs): what the net gives, or the mean of the nets."""
        features = self._features(X)
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
