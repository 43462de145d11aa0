"""Base class of Population: predictions and scores of its nets, and the mean of their outputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data.checked_samples import as_features, prediction_samples, validated_samples
from ..devices import device_context, to_library_of
from ..errors import checked_count
from ..execution.gpu_costs import trains_in_one_launch
from ..population_result import PopulationResult
from ..runtime.memory_limits import OUTPUTS, check_array
from ..streams.source_kinds import reads_rows
from .net_base import NetBase
from .nets_evaluation import FEW_SAMPLES, checked_members, evaluate_nets
from .prediction import repeated_outputs

MAX_OUTPUTS_AT_A_TIME = 4_000_000  # number of outputs that are in memory at a time


class PopulationBase(NetBase):
    """Base class of Population, whose constructor sets the attributes."""

    n_nets: int
    seeds: np.ndarray  # int64 (n_nets,)
    dropout: Any  # number, or (n_nets,); so are the next two
    l2: Any
    init_scale: Any
    result: PopulationResult | None  # of the last fit

    def _is_in_mean(self) -> np.ndarray:
        """Return for each net whether it is a part of the ensemble, bool (n_nets,).

        Nets that finished no epoch of the first fit, which Ctrl-C or a time limit has ended, are not, if others are.
        """
        if self.result is None or self.fits > 1 or not self.result.epochs.any():
            return np.ones(self.n_nets, bool)
        return self.result.epochs > 0

    def _in_one_launch(self) -> bool:
        return trains_in_one_launch(self.network, self.dtype)

    # ---- use

    def predict(self, X: Any, *, nets: Any = None) -> np.ndarray:
        """Return the outputs of the nets, after the output activation.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features) or (n_nets, n_samples, n_features), path, or source of rows
            Inputs of all nets, or per net; or data that are read piece by piece, as for fit.
        nets : array_like, optional
            Numbers (n_members,) or a mask (n_nets,) of the nets to predict with, which then are the first axis of the
            result. By default all nets predict.

        Returns
        -------
        ndarray of shape (n_nets, n_samples, n_outputs)
            Outputs in the dtype of the nets. For X on a GPU, an array of X's library on the same GPU.
        """
        return to_library_of(self._outputs(X, nets), X)

    def _outputs(self, X: Any, nets: Any) -> Any:
        """Return the outputs of nets, (n_members, n_samples, n_outputs), on the device that computed them."""
        if reads_rows(X, None):
            from .prediction_in_pieces import predict_in_pieces

            return predict_in_pieces(lambda piece: self._outputs(piece, nets), X, axis=1)
        network, dtype = self.network, self.dtype
        if (
            type(X) is np.ndarray
            and X.ndim == 2
            and len(X) <= FEW_SAMPLES
            and (nets is None or type(nets) is np.ndarray)
        ):
            features = as_features(X, network.n_features, dtype)
            repeated = repeated_outputs(features, self.params, nets, network)
            if repeated is not None:
                self._choose_device(X, len(X) / 3, len(X) / 3)
                return repeated
        data, strides = prediction_samples(X, network.n_features, dtype, self.n_nets)
        members = np.arange(self.n_nets) if nets is None else checked_members(nets, self.n_nets)
        self._choose_device(X, data.n_samples / 3, data.n_samples / 3)
        check_array((len(members), data.n_samples, network.n_outputs), dtype.itemsize, *OUTPUTS)
        kind = np.ndarray if self.device.is_host else type(data.X)
        with self.device.on():
            output = kind((len(members), data.n_samples, network.n_outputs), dtype)
        evaluate_nets(network, self.device, self.params, data, strides, self.precision, members, output.reshape(-1))
        return output

    def predict_classes(self, X: Any, *, nets: Any = None) -> Any:
        """Return the class numbers, chosen as in MLP.predict_classes.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features) or (n_nets, n_samples, n_features), path, or source of rows
            Inputs, as for predict.
        nets : array_like, optional
            Numbers or a mask of the nets to predict with, as for predict.

        Returns
        -------
        ndarray of int, shape (n_nets, n_samples)
        """
        return self._classes(self._outputs(X, nets), X)

    def evaluate(self, X: Any, y: Any, *, sample_weight: Any = None) -> dict[str, np.ndarray]:
        """Return the mean loss of each net, without the L2 penalty, and for classification its accuracy.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features) or (n_nets, n_samples, n_features), path, or source of rows
            Inputs, as for predict.
        y : array_like, or str
            Targets, as for fit.
        sample_weight : array_like of shape (n_samples,) or (n_nets, n_samples), optional
            Weight of each sample, for all nets or per net.

        Returns
        -------
        dict of str to ndarray of shape (n_nets,)
            "loss" and, for classification, "accuracy".
        """
        if reads_rows(X, y):
            from .prediction_in_pieces import evaluate_in_pieces

            return evaluate_in_pieces(self, X, y, sample_weight)
        metric, scores = self._scores_of_piece(X, y, None, sample_weight)
        return self._scores(metric, *scores)

    def _scores_of_piece(self, X: Any, y: Any, metric: int | None, weight: Any) -> tuple[int, Any]:
        """Return (metric of the targets, (mean losses, accuracies)); metric : what counts as correct, if not by them"""
        data, strides = validated_samples(X, y, self.network, self.dtype, weight, n_nets=self.n_nets)
        self._choose_device(X, data.n_samples / 3, data.n_samples / 3)
        counted_by = data if metric is None else data._replace(metric=metric)
        return data.metric, evaluate_nets(self.network, self.device, self.params, counted_by, strides, self.precision)

    def ensemble_predict(self, X: Any, *, top: int | None = None) -> Any:
        """Return the mean of the nets' outputs.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features) or (n_nets, n_samples, n_features), path, or source of rows
            Inputs, as for predict.
        top : int, optional
            Number of nets to average, the best of the last fit. By default all nets are averaged but, after a first fit
            that Ctrl-C or a time limit has ended, those that have finished no epoch.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            For X on a GPU, an array of X's library on the same GPU.

        Raises
        ------
        RuntimeError
            If top is given before a fit.
        """
        return self._mean_outputs(X, self._best_nets(top))

    def _mean_outputs(self, X: Any, members: np.ndarray) -> Any:
        """Return the mean of the outputs of some nets; members : (n_members,)"""
        if reads_rows(X, None):
            from .prediction_in_pieces import predict_in_pieces

            return predict_in_pieces(lambda piece: self._mean_outputs(piece, members), X)
        total: Any = 0.0
        for outputs in outputs_in_parts(self, X, members):
            with device_context(outputs):
                total = total + outputs.sum(axis=0, dtype=np.float64)
        with device_context(total):
            return to_library_of((total / len(members)).astype(self.dtype), X)

    def _best_nets(self, top: int | None) -> np.ndarray:
        """Return the numbers of the `top` best nets of the last fit, or of all if top is None, that are in the mean."""
        is_in_mean = self._is_in_mean()
        if top is None:
            return np.flatnonzero(is_in_mean)
        if self.result is None:
            raise RuntimeError("top needs a fit, whose losses say which nets are the best.")
        order = self.result.order()
        return order[is_in_mean[order]][: checked_count("top", top)]


def outputs_in_parts(pop: PopulationBase, X: Any, members: np.ndarray) -> Iterator[Any]:
    """Yield the outputs (n, n_samples, n_outputs) of some members, and of the next ones, in parts of bounded memory."""
    is_matrix = getattr(X, "ndim", None) == 2
    first, size = 0, _nets_at_a_time(len(X) * pop.network.n_outputs) if is_matrix else 1
    while first < len(members):
        outputs = pop._outputs(X, members[first : first + size])
        yield outputs
        first += size
        size = _nets_at_a_time(outputs[0].size)


def _nets_at_a_time(n_outputs: int) -> int:
    return max(1, MAX_OUTPUTS_AT_A_TIME // max(1, n_outputs))
