"""Options of nets for tables, of their optimiser and of their fit that are no settings of a recipe of their own.

They are those of RealMLP (Holzmüller, Grinsztajn and Steinwart 2024, arXiv:2407.04491) and of penalties and initial
weights; most of them have the names that MLP, AdamW and MLP.fit give them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import shown, unknown_name

if TYPE_CHECKING:
    from ..network.spec import Network

SCALES, NTK = "input_scale", "ntk"
OF_NETS = ("l2", "init", "init_scale", "precision")
OF_OPTIMIZERS = ("beta1", "beta2", "epsilon", "clip_norm", "weight_decay_schedule", "learning_rate_factors")
OF_FITS = ("dropout_schedule",)
NAMES = (SCALES, NTK, *OF_NETS, *OF_OPTIMIZERS, *OF_FITS)
OF_ALL_STEPS = ("weight_decay_schedule", "dropout_schedule")  # schedules, which a shorter fit has the first part of

Options = Mapping[str, Any]


def check_net_options(options: Options) -> None:
    """Check the names of options, and the values of those that neither MLP, its optimiser nor its fit has.

    Raises
    ------
    ValueError
        If a name is unknown, or a value invalid.
    """
    for name, value in options.items():
        if name not in NAMES:
            raise unknown_name("option in net_options", name, NAMES)
        if name in (SCALES, NTK) and not isinstance(value, bool):
            raise ValueError(f"{name!r} in net_options must be True or False, but it is {shown(value)}.")


def arguments_of_nets(options: Options, embedding: Any, n_features: int) -> dict[str, Any]:
    """Return further arguments of MLP and Population.

    embedding : input_embedding of the nets without options, or None
    """
    found = {name: options[name] for name in OF_NETS if name in options}
    if options.get(NTK):
        found.setdefault("init", "lecun_normal")
    if options.get(SCALES) and embedding is None:  # others scale the columns that they keep
        found["input_embedding"] = [n_features]
    return found


def settings_of_optimizer(options: Options, network: Network | None) -> dict[str, Any]:
    """Return further settings of AdamW.

    network : of the nets; None if only the settings that the user gives are to be checked
    """
    found = {name: options[name] for name in OF_OPTIMIZERS if name in options}
    if options.get(NTK) and network is not None:
        factors = found.get("learning_rate_factors") or {}
        of_ntk = ntk_factors(network)
        found["learning_rate_factors"] = factors | {
            key: factor * factors.get(key, 1.0) for key, factor in of_ntk.items()
        }
    return found


def ntk_factors(network: Network) -> dict[tuple[int, str], float]:
    """Return the learning-rate factors of the neural tangent parametrisation with AdamW: 1 / sqrt(inputs of a layer).

    The layers of an input embedding, whose inputs are those of their blocks, have no factors.
    """
    first, sizes = network.n_embedding_layers, network.layer_sizes
    return {(k, "weights"): sizes[k] ** -0.5 for k in range(first, len(sizes) - 1)}
