"""Ensembles: weighted averages of a population's outputs, and weights of the nets by greedy selection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from ..data.checked_samples import as_features, as_numbers, as_targets, on_host
from ..devices import device_context, library_of, to_library_of
from ..errors import checked_count, counted
from ..kernels.formulas.losses import SOFTMAX_CROSS_ENTROPY
from ..network.logits import log_sigmoid, log_softmax, with_logits
from ..network.spec import Network
from .greedy_selection import greedy_selection

MAX_OUTPUTS_AT_A_TIME = 4_000_000  # number of outputs that are in memory at a time


class Nets(Protocol):
    """Interface of a population to ensembles; shapes as in Population."""

    @property
    def network(self) -> Network: ...
    @property
    def dtype(self) -> np.dtype: ...
    @property
    def n_nets(self) -> int: ...
    def _outputs(self, X: Any, nets: Any, executor: Any = None) -> Any: ...


def losses_of_outputs(
    network: Network, outputs: np.ndarray, targets: np.ndarray, complements: np.ndarray | None = None
) -> np.ndarray:
    """Return the loss of each sample, float64 (..., n_samples), of outputs that may be averages over nets.

    network : Network     has the loss and the output activation
    outputs : (..., n_samples, n_outputs)
    targets : (n_samples, n_outputs)
    complements : (..., n_samples, n_outputs)     1 - outputs, without the rounding of outputs near 1; by default they
        are computed, and an output of 1 counts as the smallest number that is rounded to 1
    """
    row, limits = network.loss_row, np.finfo(outputs.dtype)
    a = outputs.astype(np.float64)
    logits = a
    if row.delta_is_wrt_logit:  # these losses are functions of logits: invert the output activation
        least = float(limits.tiny)
        a = np.maximum(a, least)
        logits = np.log(a)
        if network.output_row.name == "sigmoid":
            if complements is None:
                complements = np.maximum(1.0 - a, float(limits.eps) / 4.0)
            logits = logits - np.log(np.maximum(complements, least))
    losses = row.value(logits, a, targets.astype(np.float64), network.loss_constant)
    width = 1 if network.loss == SOFTMAX_CROSS_ENTROPY else network.n_outputs
    return losses.sum(axis=-1) / width


def checked_weights(weights: Any, n_nets: int, members: np.ndarray) -> np.ndarray:
    """Return ensemble weights as float64 (n_nets,), all 1 if weights is None.

    members : (n_members,)     numbers of the nets to average, of which one at least needs a weight above 0

    Raises
    ------
    ValueError
        If weights has another shape, a negative entry, or no entry above 0 for the members.
    """
    checked = np.ones(n_nets) if weights is None else as_numbers(weights, "weights").astype(np.float64)
    fits = checked.shape == (n_nets,) and np.isfinite(checked).all()
    if not fits or checked.min() < 0 or not checked.any():
        raise ValueError(f"weights must be ({n_nets},) numbers of at least 0, some of them above 0.")
    if not checked[members].any():
        raise ValueError(
            f"The weights of the {counted(len(members), 'net')} to average are all 0: raise top, or leave it out."
        )
    return checked


def outputs_in_parts(
    population: Nets, X: Any, members: np.ndarray, executor: Any = None
) -> Iterator[tuple[slice, Any]]:
    """Yield (slice of members, outputs (n, n_samples, n_outputs) of these nets), in parts of bounded memory.

    executor : where to predict, as for Population.predict
    """
    is_matrix = getattr(X, "ndim", None) == 2
    first, size = 0, _nets_at_a_time(len(X) * population.network.n_outputs) if is_matrix else 1
    while first < len(members):
        part = slice(first, first + size)
        outputs = population._outputs(X, members[part], executor)
        yield part, outputs
        first += size
        size = _nets_at_a_time(outputs[0].size)


def _nets_at_a_time(n_outputs: int) -> int:
    return max(1, MAX_OUTPUTS_AT_A_TIME // max(1, n_outputs))


def average(population: Nets, X: Any, members: np.ndarray, weights: np.ndarray, executor: Any = None) -> Any:
    """Return the weighted mean of the members' outputs (n_samples, n_outputs), as an array of X's library.

    members : (n_members,)     numbers of the nets to average
    weights : (n_members,)     their weights
    executor : where to predict, as for Population.predict
    """
    mean = mean_outputs(population, X, members, weights, executor)
    with device_context(mean):
        return to_library_of(mean, X)


def mean_outputs(population: Nets, X: Any, members: np.ndarray, weights: np.ndarray, executor: Any = None) -> Any:
    """Return what `average` returns as an array of the device that computed it."""
    total = None
    for part, outputs in outputs_in_parts(population, X, members, executor):
        with device_context(outputs):
            library: Any = np if type(outputs) is np.ndarray else library_of(outputs)
            rows = outputs.reshape(len(outputs), -1).astype(np.float64)
            weighted = library.dot(library.asarray(weights[part])[None], rows).reshape(outputs.shape[1:])
            total = weighted if total is None else total + weighted
    assert total is not None
    with device_context(total):
        return (total / weights.sum()).astype(population.dtype)


def outputs_and_complements(population: Nets, features: Any, members: np.ndarray) -> np.ndarray:
    """Return outputs and 1 - outputs, float64 (2, n_members, n_samples, n_outputs).

    Those of sigmoid and softmax are computed from logits: outputs of a float32 net round to 0 and 1.
    """
    name = population.network.output_row.name
    of_logits = name in ("sigmoid", "softmax")
    found = (with_logits(population) if of_logits else population)._outputs(features, members)
    outputs = on_host(found).astype(np.float64)
    if name == "sigmoid":
        return np.exp([log_sigmoid(outputs), log_sigmoid(-outputs)])
    if name == "softmax":
        outputs = np.exp(log_softmax(outputs))
    return np.stack([outputs, 1.0 - outputs])


def greedy_weights(population: Nets, X: Any, y: Any, rounds: int, members: np.ndarray) -> np.ndarray:
    """Return how often each net was picked, (n_nets,), by greedy ensemble selection (greedy_selection.py).

    X, y : held-out samples
    rounds : int     number of picks
    members : (n_members,)     numbers of the candidates

    Raises
    ------
    ValueError
        If no candidate has a finite loss.
    """
    features = as_features(X, population.network.n_features, population.dtype)
    targets = as_targets(y, population.network, population.dtype, len(features))
    values = outputs_and_complements(population, features, members)

    def losses_with_each(total: np.ndarray, n: int) -> np.ndarray:
        outputs, complements = (total[:, None] + values) / n
        return losses_of_outputs(population.network, outputs, targets, complements).mean(axis=-1)

    counts = np.zeros(population.n_nets)
    for best, loss in greedy_selection(values.swapaxes(0, 1), checked_count("rounds", rounds), losses_with_each):
        if not np.isfinite(loss):
            raise ValueError("No candidate has a finite loss on X and y: train the nets again, or scale the inputs.")
        counts[members[best]] += 1
    return counts
