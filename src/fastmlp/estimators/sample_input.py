"""Samples of MLPClassifier and MLPRegressor on their way to a net: scikit-learn's checks, held-out samples, sources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from ..data.arrays import beyond_float64
from ..mlp import MLP
from .array_input import (
    checked_sample_weights,
    refuse_converted_cells,
    refuse_dates_among_columns,
    refuse_missing_dates,
    refuse_mixed_names,
    refused_beyond,
    refused_beyond_float64,
    with_bad_cell,
)
from .parameters import dtype_of, follows_input
from .single_net import SplitSamples
from .source_pieces import checked_held_out, pieces_with_targets

FLOATS = ("f4", "f8")


class SampleInput:
    """Mixin that checks X, y and weights of an estimator, and predicts the outputs of its net for X."""

    n_features_in_: int
    _encode: Callable[[np.ndarray], np.ndarray]
    _net: Callable[[], Any]

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[Any, np.ndarray]:
        refuse_dates_among_columns(y)
        refuse_mixed_names(X)
        refuse_converted_cells(X, "X")
        options = {"accept_sparse": ["csr", "csc"], "multi_output": True}
        dtype: Any = dtype_of(self)
        if follows_input(self) and reset:
            dtype = [np.float64, np.float32]  # another type becomes the first of these
        try:
            with refused_beyond_float64("X"), refused_beyond(dtype, X):
                X, y = validate_data(self, X, y, **options, dtype=dtype, reset=reset)
        except (ValueError, TypeError) as error:
            raise with_bad_cell(error, X) from None
        refuse_missing_dates(y)
        if reset:
            self._input_dtype = X.dtype
        return X, dense(y)

    def _held_out(self, validation_data: Any) -> SplitSamples:
        X, y, *given = checked_held_out(validation_data)
        pieces = [self._validated(*piece, reset=False) for piece in pieces_with_targets(X, y)]
        X, y = pieces[0] if len(pieces) == 1 else map(np.concatenate, zip(*pieces, strict=True))
        weights = checked_sample_weights(given[0], X) if given else None
        return SplitSamples(dense(X), y, self._encode(y), weights)

    def _features(self, X: Any) -> Any:
        """Return X validated, dense and in a floating dtype.

        Plain arrays of the right shape and a floating dtype skip scikit-learn's checks.
        """
        plain = type(X) is np.ndarray and X.ndim == 2 and X.dtype.str[1:] in FLOATS
        if not plain or len(X) == 0 or X.shape[1] != self.n_features_in_ or "feature_names_in_" in self.__dict__:
            refuse_mixed_names(X)
            refuse_converted_cells(X, "X")
            try:  # the context refused_beyond_float64 would add 1 us to each prediction
                X = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=self._net().dtype, reset=False)
            except OverflowError:
                raise beyond_float64("X") from None
            except (ValueError, TypeError) as error:
                raise with_bad_cell(error, X) from None
            X = dense(X)
        return X

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the outputs of the net, or the mean over the nets: (n_samples, n_outputs) in the dtype of the net."""
        net, X = self._net(), self._features(X)
        return net.predict(X) if isinstance(net, MLP) else net.ensemble_predict(X)


def dense(array: Any) -> np.ndarray:
    return array.toarray() if hasattr(array, "toarray") else array


def float_type(X: Any) -> type:
    """Return the dtype of predictions: float32 for X in float32, otherwise float64, as in scikit-learn."""
    return np.float32 if getattr(X, "dtype", None) == np.float32 else np.float64
