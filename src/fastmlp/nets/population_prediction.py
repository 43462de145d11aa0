"""Implementation of predict, ensemble_predict and evaluate of Population."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data.checked_samples import as_features, prediction_samples, validated_samples
from ..devices import device_context, to_library_of
from ..runtime.memory_limits import OUTPUTS, check_array
from ..streams.source_kinds import is_chunked_array, is_source, names_columns
from .net_base import PopulationBase
from .nets_evaluation import FEW_SAMPLES, checked_members, evaluate_nets
from .prediction import repeated_outputs

MAX_OUTPUTS_AT_A_TIME = 4_000_000  # number of outputs that are in memory at a time


def reads_rows(X: Any, y: Any) -> bool:
    """Return whether X is a source of rows that all nets share; an array on disk may also hold samples of each net."""
    if type(X) is np.ndarray:
        return False
    if isinstance(X, np.memmap) or is_chunked_array(X):
        return len(X.shape) == 2 and (isinstance(y, str) or not hasattr(y, "__len__") or len(y) == X.shape[0])
    return is_source(X) or names_columns(X, y)


def predict(pop: PopulationBase, X: Any, nets: Any) -> Any:
    """Return the outputs of nets; arguments and result are those of Population.predict."""
    return to_library_of(outputs_of(pop, X, nets), X)


def ensemble_predict(pop: PopulationBase, X: Any, members: np.ndarray) -> Any:
    """Return the result of Population.ensemble_predict; members : (n_members,), numbers of the nets to average"""
    if reads_rows(X, None):
        from .prediction_in_pieces import predict_in_pieces

        return predict_in_pieces(lambda piece: ensemble_predict(pop, piece, members), X)
    total: Any = 0.0
    for outputs in outputs_in_parts(pop, X, members):
        with device_context(outputs):
            total = total + outputs.sum(axis=0, dtype=np.float64)
    with device_context(total):
        return to_library_of((total / len(members)).astype(pop.dtype), X)


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


def outputs_of(pop: PopulationBase, X: Any, nets: Any) -> Any:
    """Return the outputs of nets, (n_members, n_samples, n_outputs), on the device that computed them.

    X, nets : arguments of Population.predict
    """
    if reads_rows(X, None):
        from .prediction_in_pieces import predict_in_pieces

        return predict_in_pieces(lambda piece: outputs_of(pop, piece, nets), X, axis=1)
    network, dtype = pop.network, pop.dtype
    if type(X) is np.ndarray and X.ndim == 2 and len(X) <= FEW_SAMPLES and (nets is None or type(nets) is np.ndarray):
        features = as_features(X, network.n_features, dtype)
        repeated = repeated_outputs(features, pop.params, nets, network)
        if repeated is not None:
            pop._choose_device(X, len(X) / 3, len(X) / 3)
            return repeated
    data, strides = prediction_samples(X, network.n_features, dtype, pop.n_nets)
    members = np.arange(pop.n_nets) if nets is None else checked_members(nets, pop.n_nets)
    pop._choose_device(X, data.n_samples / 3, data.n_samples / 3)
    check_array((len(members), data.n_samples, network.n_outputs), dtype.itemsize, *OUTPUTS)
    kind = np.ndarray if pop.device.is_host else type(data.X)
    with pop.device.on():
        output = kind((len(members), data.n_samples, network.n_outputs), dtype)
    evaluate_nets(network, pop.device, pop.params, data, strides, pop.precision, members, output.reshape(-1))
    return output


def evaluate(pop: PopulationBase, X: Any, y: Any, sample_weight: Any) -> dict[str, np.ndarray]:
    """Return the scores of the nets; arguments and result are those of Population.evaluate."""
    if reads_rows(X, y):
        from .prediction_in_pieces import evaluate_in_pieces

        return evaluate_in_pieces(pop, X, y, sample_weight)
    data, strides = validated_samples(X, y, pop.network, pop.dtype, sample_weight, n_nets=pop.n_nets)
    pop._choose_device(X, data.n_samples / 3, data.n_samples / 3)
    return pop._scores(data.metric, *evaluate_nets(pop.network, pop.device, pop.params, data, strides, pop.precision))


def scores_of_piece(pop: PopulationBase, X: Any, y: Any, metric: int | None, weight: Any) -> tuple[int, Any]:
    """Return (metric of the targets, (mean losses, accuracies)); metric : what counts as correct, if not by them"""
    data, strides = validated_samples(X, y, pop.network, pop.dtype, weight, n_nets=pop.n_nets)
    pop._choose_device(None, data.n_samples / 3, data.n_samples / 3)
    counted_by = data if metric is None else data._replace(metric=metric)
    return data.metric, evaluate_nets(pop.network, pop.device, pop.params, counted_by, strides, pop.precision)
