"""Result of a population whose nets were trained in groups, each group by a fit of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..population_result import OPTIONAL, PopulationResult

PER_NET = ("converged", "epochs", "loss", "restarts", "status")


def joined_results(results: list[PopulationResult], interrupted: bool) -> PopulationResult:
    """Return the results of several groups of nets as the result of one population of all of them, in this order.

    results : one or more, of fits with the same monitor
    interrupted : whether Ctrl-C ended the training
    """
    first, record_epochs = results[0], max((result.record_epochs for result in results), key=len)
    joined: dict[str, Any] = {name: np.concatenate([getattr(result, name) for result in results]) for name in PER_NET}
    for name in OPTIONAL:
        values = [getattr(result, name) for result in results]
        joined[name] = None if values[0] is None else np.concatenate(values)
    return replace(
        first,
        **joined,
        record_epochs=record_epochs,
        records=np.concatenate([_records_at(result, record_epochs) for result in results], axis=1),
        seconds=sum(result.seconds for result in results),
        compile_seconds=sum(result.compile_seconds for result in results),
        interrupted=interrupted,
        settings={name: np.concatenate([result.settings[name] for result in results]) for name in first.settings},
    )


def _records_at(result: PopulationResult, epochs: np.ndarray) -> np.ndarray:
    """Return the losses of a result at some epochs, (n_epochs, n_nets); NaN at those that it has not recorded."""
    found = np.full((len(epochs), result.n_nets), np.nan)
    _, places, own = np.intersect1d(epochs, result.record_epochs, return_indices=True)
    found[places] = result.records[own]
    return found
