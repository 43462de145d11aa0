"""Ensembles: weighted averages of a population's outputs, and greedy selection of the nets to average."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.targets import smoothed
from ..data.validation import as_features, as_numbers, as_targets, on_host
from ..devices import device_context, library_of, to_library_of
from ..errors import checked_count
from ..kernels.formulas.losses import SOFTMAX_CROSS_ENTROPY
from ..network.spec import Network

if TYPE_CHECKING:
    from ..population import Population

MAX_OUTPUTS_AT_A_TIME = 4_000_000  # number of outputs that are in memory at a time
TINY = 1e-12  # outputs are clipped by this much, so that their logarithms are finite


def loss_of_outputs(network: Network, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the mean loss (...,) of outputs (..., n_samples, n_outputs); see losses_of_outputs."""
    return losses_of_outputs(network, outputs, targets).mean(axis=-1)


def losses_of_outputs(network: Network, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the loss of each sample, float64 (..., n_samples), of outputs that may be averages over nets.

    network : Network     has the loss and the output activation
    outputs : (..., n_samples, n_outputs)
    targets : (n_samples, n_outputs)
    """
    row = network.loss_row
    a = outputs.astype(np.float64)
    logits = a
    if row.delta_is_wrt_logit:  # these losses are functions of logits: invert the output activation
        a = np.clip(a, TINY, None if network.output_row.name == "exponential" else 1.0 - TINY)
        logits = np.log(a) - np.log1p(-a) if network.output_row.name == "sigmoid" else np.log(a)
    losses = row.value(logits, a, targets.astype(np.float64), network.loss_constant)
    width = 1 if network.loss == SOFTMAX_CROSS_ENTROPY else network.n_outputs
    return losses.sum(axis=-1) / width


def loss_of_mean(population: Population, X: Any, y: Any) -> float:
    """Return the mean loss of the mean of all nets' outputs; X, y : as of fit."""
    features = as_features(X, population.network.n_features, population.dtype)
    targets = smoothed(as_targets(y, population.network, population.dtype, len(features)), population.network)
    members = np.arange(population.n_nets)
    outputs = on_host(average(population, features, members, np.ones(population.n_nets)))
    return float(loss_of_outputs(population.network, outputs, targets))


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
    if not fits or checked.min() < 0 or not checked[members].any():
        raise ValueError(f"weights must be ({n_nets},) numbers of at least 0, some of them above 0.")
    return checked


def outputs_in_parts(
    population: Population, X: Any, members: np.ndarray, executor: Any = None
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


def average(population: Population, X: Any, members: np.ndarray, weights: np.ndarray, executor: Any = None) -> Any:
    """Return the weighted mean of the members' outputs (n_samples, n_outputs), as an array of X's library.

    members : (n_members,)     numbers of the nets to average
    weights : (n_members,)     their weights
    executor : where to predict, as for Population.predict
    """
    total = None
    for part, outputs in outputs_in_parts(population, X, members, executor):
        with device_context(outputs):
            library = library_of(outputs)
            weighted = library.tensordot(library.asarray(weights[part]), outputs.astype(np.float64), axes=1)
            total = weighted if total is None else total + weighted
    assert total is not None
    with device_context(total):
        return to_library_of((total / weights.sum()).astype(population.dtype), X)


def greedy_weights(population: Population, X: Any, y: Any, rounds: int, members: np.ndarray) -> np.ndarray:
    """Return how often each net was selected, (n_nets,), by greedy ensemble selection.

    Each round adds the net that lowers the loss of the average most, with replacement (Caruana et al. 2004).

    X, y : held-out samples
    rounds : int     number of selections
    members : (n_members,)     numbers of the candidates
    """
    features = as_features(X, population.network.n_features, population.dtype)
    targets = as_targets(y, population.network, population.dtype, len(features))
    outputs = on_host(population._outputs(features, members)).astype(np.float64)
    total, counts = np.zeros(outputs.shape[1:]), np.zeros(population.n_nets)
    for chosen in range(checked_count("rounds", rounds)):
        losses = loss_of_outputs(population.network, (total + outputs) / (chosen + 1), targets)
        best = int(np.nanargmin(losses))
        total += outputs[best]
        counts[members[best]] += 1
    return counts
