"""Base class of MLP: parameters, predictions and scores of one net."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.checked_samples import as_features, inputs_only, on_host, validated_samples
from ..devices import to_library_of
from ..execution.plan import Plan
from ..history import History
from ..kernels.structs import Samples
from ..runtime.memory_limits import LARGE, OUTPUTS, check_array
from ..streams.source_kinds import is_source, names_columns
from .net_base import NetBase
from .prediction import predict


class SingleNetBase(NetBase):
    """Base class of MLP, whose constructor sets the attributes."""

    history: History | None  # of the last fit
    _padded: np.ndarray  # (n_padded,), the vector that kernels work on; it begins with params

    def _make_params(self) -> None:
        self._padded = self.network.layout.padded(self.dtype)
        self._params = self._padded[: self.network.layout.n_params]

    @property
    def padded_params(self) -> np.ndarray:
        """The vector that kernels work on, (n_padded,): params, followed by zeros up to a whole SIMD vector."""
        return self._padded

    @property
    def weights(self) -> list[np.ndarray]:
        """Weight matrices (fan_in, fan_out), one per layer, as views of params."""
        return self.network.layout.weights(self._params)

    @property
    def biases(self) -> list[np.ndarray]:
        """Bias vectors (fan_out,), one per layer, as views of params."""
        return self.network.layout.biases(self._params)

    def _plan_for(self, n_samples: int) -> Plan:
        """Return a plan for evaluation, acquired from the buffer cache or made."""
        return Plan.for_evaluation(self.network, self.device, self.dtype, n_samples, precision=self.precision)

    # ---- use

    def _evaluate(self, data: Samples, output: Any) -> tuple[float, float]:
        with self.device.on():
            plan = self._plan_for(data.n_samples)
            scores = plan.evaluate_alone(plan.backend.place(data), self._padded, output)
            plan.release()
            return scores

    def predict(self, X: Any) -> Any:
        """Return the outputs, after the output activation.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features), path, or source of rows
            Inputs, or data that are read piece by piece, as for fit.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            Outputs in the dtype of the net. For X on a GPU, an array of X's library on the same GPU.

        Raises
        ------
        ValueError
            If X does not have the net's number of features, or is not finite.
        """
        output = self._outputs(X)
        return output if type(output) is np.ndarray else to_library_of(output, X)

    def _outputs(self, X: Any) -> Any:
        """Return the outputs (n_samples, n_outputs) as a NumPy array, or as a CuPy array for inputs on a device."""
        if type(X) is not np.ndarray and is_source(X):
            from .prediction_in_pieces import predict_in_pieces

            return predict_in_pieces(self._outputs, X)
        features = as_features(X, self.network.n_features, self.dtype)
        n = len(features)
        if n * self._products > LARGE:
            check_array((n, self.network.n_outputs), self.dtype.itemsize, *OUTPUTS)
        self._choose_device(X, n / 3, n / 3)
        if self.device.is_host:  # no device context: entering one takes as long as the forward pass of a small net
            return predict(on_host(features), self._padded, self.network, self._plan_for)
        with self.device.on():
            output = type(features)((n, self.network.n_outputs), self.dtype)
        self._evaluate(inputs_only(features), output.reshape(-1))
        return output

    def predict_classes(self, X: Any) -> Any:
        """Return the class numbers.

        The class is the index of the largest output. A net with one output predicts class 1 where the output is above
        the middle of its range, else class 0.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features), path, or source of rows
            Inputs, as for predict.

        Returns
        -------
        ndarray of int, shape (n_samples,)
            Class numbers, counted from 0.
        """
        return self._classes(self._outputs(X), X)

    def evaluate(self, X: Any, y: Any, *, sample_weight: Any = None) -> dict[str, float]:
        """Return the mean loss, without the L2 penalty, and for classification the accuracy.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features), path, or source of rows
            Inputs, as for predict.
        y : array_like of shape (n_samples, n_outputs) or (n_samples,), or str
            Targets, as for fit.
        sample_weight : array_like of shape (n_samples,), or str, optional
            Weight of each sample, or the name of a column, as for fit.

        Returns
        -------
        dict
            {"loss": float} and, for classification, "accuracy". With several outputs, accuracy is the share of samples
            whose largest output is that of the true class, if each sample has exactly one class; for multi-label
            targets it is the share of labels on the correct side of the threshold.

        Raises
        ------
        ValueError
            If the data do not fit the net or are not finite.
        """
        if type(X) is not np.ndarray and (is_source(X) or names_columns(X, y)):
            from .prediction_in_pieces import evaluate_in_pieces

            return evaluate_in_pieces(self, X, y, sample_weight)
        metric, scores = self._scores_of_piece(X, y, None, sample_weight)
        return self._scores(metric, *scores)

    def _scores_of_piece(self, X: Any, y: Any, metric: int | None, weight: Any) -> tuple[int, Any]:
        """Return (metric of the targets, (mean loss, accuracy)); metric : what counts as correct, if not by them"""
        data, _ = validated_samples(X, y, self.network, self.dtype, weight)
        self._choose_device(X, data.n_samples / 3, data.n_samples / 3)
        counted_by = data if metric is None else data._replace(metric=metric)
        return data.metric, self._evaluate(counted_by, np.empty(0, self.dtype))
