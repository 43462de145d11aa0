"""Nets of a tabular estimator: their outputs for a table, the table as they take it, and their file."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils.validation import check_consistent_length

from ...mlp import MLP
from ...persistence import save
from ..serialization import description_of


class TableNets:
    """Mixin of tabular estimators: everything that concerns their trained nets."""

    net_: Any
    history_: Any
    _features: Callable[[Any], np.ndarray]
    _net: Callable[[], Any]
    _checked_y: Callable[[Any], np.ndarray]
    _encode: Callable[[np.ndarray], np.ndarray]

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
