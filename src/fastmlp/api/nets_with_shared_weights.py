"""Checks of populations with shared weights, whose nets have the same hidden layers: what they cannot have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..data.population_data import Strides
from ..devices import Device, resolve
from ..errors import is_per_net, shown
from ..network.spec import Network
from ..optimizers import settings_of
from .fit_arguments import FitArguments
from .population_base import PopulationBase

ONE_FOR_ALL = (0, 0, 0)  # strides of data that all nets share
FOR_INDEPENDENT_NETS = ("converged", "executor", "checkpoint", "monitor")  # arguments of fit
ADVICE = "Leave it out, or make the population without shared_weights."


def checked_sharing(pop: PopulationBase, network: Network, shared_weights: Any, device: Any) -> bool:
    """Return whether nets share weights.

    Raises
    ------
    ValueError
        If it is neither True nor False, or the nets cannot share weights.
    """
    if not isinstance(shared_weights, (bool, np.bool_)):
        raise ValueError(f"shared_weights must be True or False, but it is {shown(shared_weights)}.")
    if not shared_weights:
        return False
    if device not in ("auto", "cpu"):
        raise ValueError(
            f"Nets with shared_weights=True are trained on a CPU, but device is {shown(device)}. Set device='cpu', or "
            "'auto'."
        )
    if not network.n_hidden_layers:
        raise ValueError(
            f"shared_weights=True needs a hidden layer, whose weights the nets share, but layer_sizes is "
            f"{tuple(network.arguments()['layer_sizes'])}. Add one between them."
        )
    per_net = [name for name in ("dropout", "init_scale") if is_per_net(getattr(pop, name))]
    if per_net:
        raise ValueError(f"Nets with shared_weights=True have the same {per_net[0]}: give one number.")
    if network.parametric_activation:
        raise ValueError(f"shared_weights=True cannot be combined with parametric_activation. {ADVICE}")
    if network.l2 or is_per_net(pop.l2):
        raise ValueError(
            "shared_weights=True cannot be combined with l2. Give fit optimizer=AdamW(weight_decay=...) instead, or "
            "make the population without shared_weights."
        )
    return True


def refuse_with_shared_weights(pop: PopulationBase, arguments: FitArguments, given: Mapping[str, Any]) -> None:
    """Raise ValueError if a fit of nets with shared weights has what only independent nets can have.

    given : arguments of Population.fit
    """
    is_on = lambda value: bool(value) if isinstance(value, (bool, np.bool_)) else value is not None
    refused = [name for name in FOR_INDEPENDENT_NETS if is_on(given[name])]
    optimizer = arguments.optimizer
    if any(map(is_per_net, settings_of(optimizer).values())):
        refused.append("an optimizer with settings that differ from net to net")
    if getattr(optimizer, "learning_rate_factors", None) is not None:
        refused.append("an optimizer with learning_rate_factors")
    if optimizer.layer_factors(pop.network.layout.shapes).size:
        refused.append("an optimizer with by_fan_in=True, or a bias_input other than 1")
    if refused:
        raise ValueError(f"Nets with shared_weights=True are trained as one net, without {refused[0]}. {ADVICE}")


def device_of_sharing(pop: PopulationBase, strides: Strides = ONE_FOR_ALL) -> Device:
    """Return the device on which nets with shared weights are trained: the host.

    Raises
    ------
    ValueError
        If nets have data of their own, or were loaded for a GPU.
    """
    if any(strides):
        raise ValueError(
            "Nets with shared_weights=True have the same data, but these differ from net to net. Give one X and one y "
            "for all nets, or make the population without shared_weights."
        )
    if pop.device.is_host:
        return pop.device
    if pop._named_device != "auto":
        raise ValueError(
            f"Nets with shared_weights=True are trained on a CPU, but device is {pop._named_device!r}. Set "
            "device='cpu', or 'auto'."
        )
    return resolve("cpu")
