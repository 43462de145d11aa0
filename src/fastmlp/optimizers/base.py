"""Base class of the optimisers: settings that all of them have, for one net or for each net of a population.

A field with the name of a hyper-parameter in kernels/formulas/update_rules.py reaches the rule; other fields are
options of the class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import checked_number, checked_setting, counted, drawn_setting, is_per_net
from ..kernels.formulas.update_rules import ALL_RULES, CODES, HYPER_PARAMETERS, Rule
from ..schedules.checked_schedule import schedule_text

SHARED = ("learning_rate_factors",)  # settings that all nets of a population have in common
KINDS = ("weights", "biases")  # of the parameters of a layer


def plain(value: Any) -> Any:
    """Return a NumPy number as one of Python, whose text names no package, also in a dictionary; others as they are."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def setting_text(value: Any) -> str:
    """Return a setting as text: its repr, or the name of a function, whose repr differs from process to process."""
    value = plain(value)
    return repr(value) if isinstance(value, (str, int, float)) else schedule_text(value)


@dataclass(frozen=True, kw_only=True, repr=False)
class Optimizer:
    """Base class of the optimisers, with the settings that all of them have. Use one of its subclasses.

    Parameters
    ----------
    learning_rate : float, default 0.001
        Step size, above 0, multiplied by the factor of the schedule. For a Population, this and the other numbers may
        be arrays of shape (n_nets,), or frozen SciPy distributions from which one number per net is drawn.
    weight_decay : float, default 0.0
        Decoupled weight decay: before each step, weights (not biases) are multiplied by
        1 - learning_rate * weight_decay (Loshchilov and Hutter 2019).
    clip_norm : float, default 0.0
        Largest norm of the gradient, L2 penalty included; a longer gradient is scaled to exactly this norm, while
        PyTorch's `clip_grad_norm_` divides by the norm plus 1e-6. 0 does not clip.
    learning_rate_factors : dict, optional
        Factors on the learning rate, each at least 0, for some of the parameters: see Notes. The same for all nets of
        a Population. The counterpart of PyTorch's parameter groups.

    Attributes
    ----------
    settings : dict
        Settings by name.
    rule : Rule
        Update rule, a row of kernels/formulas/update_rules.py.
    hyper : ndarray of float64, shape (n,)
        Hyper-parameters in the order of HYPER_PARAMETERS; the table's default for one that the optimiser lacks.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Notes
    -----
    The keys of learning_rate_factors are "weights" and "biases" of all layers, the number of a layer, counted from 0,
    or from -1 for the last layer backwards, and pairs such as (0, "weights"). Of several keys for the same parameters,
    the factors are multiplied. The factor is on the whole learning rate, so that it also multiplies the weight decay
    of a step, as in a parameter group of PyTorch with a learning rate of its own. Parameters with a factor of 0 stay
    as they are.

    Examples
    --------
    >>> import fastmlp
    >>> optimizer = fastmlp.Adam(0.01, learning_rate_factors={"biases": 0.1, (0, "weights"): 0.5})
    >>> optimizer.rate_factors([(2, 3), (3, 1)])  # weights and biases of the first layer, then of the second
    array([0.5, 0.1, 1. , 0.1])
    """

    learning_rate: float = 0.001
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    learning_rate_factors: Any = None

    def __post_init__(self):
        checked_setting("learning_rate", self.learning_rate, 0.0, open_low=True)
        checked_setting("weight_decay", self.weight_decay, 0.0)
        checked_setting("clip_norm", self.clip_norm, 0.0)
        if self.learning_rate_factors is not None:
            check_rate_factors(self.learning_rate_factors)

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        settings = self.__getstate__()
        texts = [f"{k}={plain(v)!r}" for k, v in settings.items() if k not in SHARED]
        texts += [f"{k}={setting_text(settings[k])}" for k in SHARED if settings[k] is not None]
        return f"{type(self).__name__}({', '.join(texts)})"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Settings by name, without those of SHARED that are not given."""
        settings = self.__getstate__()
        return {name: value for name, value in settings.items() if not (name in SHARED and value is None)}

    @cached_property
    def rule(self) -> Rule:
        """Update rule, a row of kernels/formulas/update_rules.py."""
        return ALL_RULES[CODES[type(self).__name__.lower()]]

    @cached_property
    def hyper(self) -> np.ndarray:
        """Hyper-parameters, float64 (n,), in the order of HYPER_PARAMETERS; the table's default for an absent one."""
        values = [getattr(self, row.name, row.default) for row in HYPER_PARAMETERS]
        if not all(isinstance(value, (float, int)) for value in values):
            for (name, *_), value in zip(HYPER_PARAMETERS, values, strict=True):
                if is_per_net(value):
                    raise ValueError(
                        f"{name} holds more than one number, which is for a Population. A single net needs one number."
                    )
        return np.array(values, np.float64)

    def for_nets(self, n_nets: int, rng: Callable[[], np.random.Generator]) -> Optimizer:
        """Return an optimiser whose settings are numbers or arrays (n_nets,): distributions are drawn from.

        Parameters
        ----------
        n_nets : int
            Number of nets.
        rng : callable
            Function that returns the generator to draw with; called only if there is a distribution.

        Returns
        -------
        Optimizer
        """
        values = self.settings
        if {bool, int, float}.issuperset(map(type, values.values())):
            return self
        drawn = {
            k: v if isinstance(v, bool) or k in SHARED else drawn_setting(k, v, n_nets, rng) for k, v in values.items()
        }
        return replace(self, **drawn)

    def of_net(self, net: int) -> Optimizer:
        """Return the optimiser of one net, whose settings are numbers; self must be a result of for_nets.

        Parameters
        ----------
        net : int
            Number of the net.

        Returns
        -------
        Optimizer
        """
        # `replace` would refuse a schedule of a decay that is 0 for this net alone
        optimizer = object.__new__(type(self))
        for field in fields(self):
            value = getattr(self, field.name)
            object.__setattr__(optimizer, field.name, float(value[net]) if is_per_net(value) else value)
        return optimizer

    def layer_factors(self, shapes: Sequence[tuple[int, int]]) -> np.ndarray:
        """Return factors on the gradients of weights and biases; empty for no factors.

        Parameters
        ----------
        shapes : sequence of (int, int)
            (fan_in, fan_out) of each layer.

        Returns
        -------
        ndarray of float64, shape (2 * n_layers,) or (0,)
            For each layer the factor on the gradient of its weights, then that of its biases.
        """
        return np.empty(0)

    def rate_factors(self, shapes: Sequence[tuple[int, int]]) -> np.ndarray:
        """Return factors on the learning rates of weights and biases; empty for no factors.

        Parameters
        ----------
        shapes : sequence of (int, int)
            (fan_in, fan_out) of each layer.

        Returns
        -------
        ndarray of float64, shape (2 * n_layers,) or (0,)
            For each layer the factor on the learning rate of its weights, then that of its biases.

        Raises
        ------
        ValueError
            If learning_rate_factors names a layer that is not there.
        """
        if not self.learning_rate_factors:
            return np.empty(0)
        factors = np.ones((len(shapes), 2))
        for key, factor in self.learning_rate_factors.items():
            layer, kind = parameters_of(key)
            if layer is not None and not -len(shapes) <= layer < len(shapes):
                raise ValueError(
                    f"learning_rate_factors has {key!r}, but the net has {counted(len(shapes), 'layer')}, from 0 to "
                    f"{len(shapes) - 1}."
                )
            chosen = slice(None) if layer is None else layer
            factors[chosen, slice(None) if kind is None else KINDS.index(kind)] *= factor
        return factors.reshape(-1)

    def factors_of_layers(self, shapes: Sequence[tuple[int, int]]) -> np.ndarray:
        """Return layer_factors, then rate_factors, 1 where there are none; empty if there are neither.

        Parameters
        ----------
        shapes : sequence of (int, int)
            (fan_in, fan_out) of each layer.

        Returns
        -------
        ndarray of float64, shape (4 * n_layers,) or (0,)
        """
        if not self.learning_rate_factors and type(self).layer_factors is Optimizer.layer_factors:
            return np.empty(0)
        both = self.layer_factors(shapes), self.rate_factors(shapes)
        if not any(factors.size for factors in both):
            return np.empty(0)
        return np.concatenate([factors if factors.size else np.ones(2 * len(shapes)) for factors in both])

    def begin(self, state: np.ndarray) -> None:
        """Write the rule's initial values into the rows of the optimiser state that the rule uses.

        Parameters
        ----------
        state : ndarray of shape (n, n_padded)
            Optimiser state, written.
        """
        for row, start in zip(state[: self.rule.n_state], self.rule.initial, strict=False):
            row[:] = 0.0 if start is None else getattr(self, start)


def check_rate_factors(factors: Any) -> None:
    """Check the keys and values of learning_rate_factors.

    Raises
    ------
    ValueError
        If a key is none of those that Optimizer documents, or a factor is no finite number of at least 0.
    """
    if not isinstance(factors, dict):
        raise ValueError(
            "learning_rate_factors must be a dict of factors, such as {'biases': 0.1, 0: 0.5}, but it is "
            f"{type(factors).__name__}."
        )
    for key, factor in factors.items():
        layer, kind = parameters_of(key)
        has_layer = isinstance(layer, (int, np.integer)) and not isinstance(layer, bool)
        if not (kind is None and has_layer) and not (kind in KINDS and (layer is None or has_layer)):
            raise ValueError(
                "A key of learning_rate_factors is 'weights', 'biases', the number of a layer, or a pair such as "
                f"(0, 'biases'), but one is {key!r}."
            )
        checked_number(f"The factor of {key!r} in learning_rate_factors", factor, 0.0)


def parameters_of(key: Any) -> tuple[Any, Any]:
    """Return (layer, kind) that a key of learning_rate_factors stands for; None for all layers, or for both kinds."""
    if isinstance(key, tuple) and len(key) == 2:
        return key
    return (None, key) if isinstance(key, str) else (key, None)


def shared_text(optimizer: Optimizer) -> str:
    """Return an optimiser as text, without the settings that differ from net to net.

    >>> from fastmlp import Adam
    >>> shared_text(Adam(learning_rate=np.array([0.1, 0.2]), beta1=0.8)).startswith("Adam(weight_decay=")
    True
    """
    texts = []
    for name, value in optimizer.settings.items():
        if not isinstance(value, np.ndarray):
            texts.append(f"{name}={setting_text(value)}")
    return f"{type(optimizer).__name__}({', '.join(texts)})"
