"""Optimisers: small frozen objects with the settings of an update rule.

The update rules are in kernels/formulas/update_rules.py. A field with the name of a hyper-parameter there reaches the
rule; other fields are options of the class. Every optimiser has these settings:

learning_rate : float     step size, multiplied by the factor of the schedule
weight_decay : float      decoupled weight decay: in each step, weights (not biases) shrink by learning_rate *
    weight_decay times their value (Loshchilov and Hutter 2019)
clip_norm : float         largest norm of the gradient, L2 penalty included; a longer gradient is scaled to exactly this
    norm; 0 does not clip. PyTorch's clip_grad_norm_ divides by the norm plus 1e-6, so that its result is a little
    shorter than max_norm

For a population, a setting may also be an array with one number per net, or a frozen SciPy distribution from which one
number per net is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from .errors import checked_number, checked_setting, drawn_setting, is_per_net, unknown_name
from .kernels.formulas.update_rules import CODES, HYPER_PARAMETERS, RULES, Rule


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """Base class of the optimisers, with the settings that all of them have. Use one of its subclasses."""

    learning_rate: float = 0.001
    weight_decay: float = 0.0
    clip_norm: float = 0.0

    def __post_init__(self):
        checked_setting("learning_rate", self.learning_rate, 0.0, open_low=True)
        checked_setting("weight_decay", self.weight_decay, 0.0)
        checked_setting("clip_norm", self.clip_norm, 0.0)

    @property
    def rule(self) -> Rule:
        """Update rule, a row of kernels/formulas/update_rules.py."""
        return RULES[CODES[type(self).__name__.lower()]]

    @property
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

        n_nets : int     number of nets
        rng : function that returns the generator; called only if there is a distribution
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if all(isinstance(value, (bool, int, float)) for value in values.values()):
            return self
        drawn = {k: v if isinstance(v, bool) else drawn_setting(k, v, n_nets, rng) for k, v in values.items()}
        return replace(self, **drawn)

    def of_net(self, net: int) -> Optimizer:
        """Return the optimiser of one net, whose settings are numbers; self must be a result of for_nets."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: float(v[net]) if is_per_net(v) else v for k, v in values.items()})

    def layer_factors(self, shapes: Sequence[tuple[int, int]]) -> np.ndarray:
        """Return a flat array (n_layers, 2) of factors on the gradients of weights and biases; empty for no factors.

        shapes : (fan_in, fan_out) of each layer
        """
        return np.empty(0)

    def begin(self, state: np.ndarray) -> None:
        """Write the rule's initial values into the rows of state (MOST_STATE, n_padded) that the rule uses."""
        for row, start in zip(state[: self.rule.n_state], self.rule.initial, strict=False):
            row[:] = 0.0 if start is None else getattr(self, start)


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent with momentum: v = momentum v - learning_rate g, params = params + v.

    `nesterov=True` adds momentum v - learning_rate g instead of v, with the new v. The learning rate is part of the
    velocity v, as in Polyak 1964 and Sutskever et al. 2013. PyTorch's SGD multiplies by the learning rate outside:
    v = momentum v + g, params = params - learning_rate v. Both are equal while the learning rate is constant. When a
    schedule lowers it, past gradients keep the learning rate of their own step here, and get the current one in
    PyTorch.

    >>> SGD(0.1, momentum=0.9).rule.name
    'momentum'
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self):
        super().__post_init__()
        checked_setting("momentum", self.momentum, 0.0, 1.0, open_high=True)
        if self.nesterov and not is_per_net(self.momentum) and not self.momentum:
            raise ValueError("nesterov=True needs a momentum above 0, but momentum is 0. Try momentum=0.9.")

    @property
    def rule(self) -> Rule:
        has_momentum = is_per_net(self.momentum) or self.momentum
        return RULES[CODES["nesterov" if self.nesterov else "momentum" if has_momentum else "sgd"]]


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1).

    m = beta1 m + (1 - beta1) g and v = beta2 v + (1 - beta2) g**2; with the bias-corrected moments
    m' = m / (1 - beta1**t) and v' = v / (1 - beta2**t), params = params - learning_rate m' / (sqrt(v') + epsilon).
    """

    learning_rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self):
        super().__post_init__()
        checked_setting("beta1", self.beta1, 0.0, 1.0, open_low=True, open_high=True)
        checked_setting("beta2", self.beta2, 0.0, 1.0, open_low=True, open_high=True)
        checked_setting("epsilon", self.epsilon, 0.0, open_low=True)

    @property
    def rule(self) -> Rule:
        return RULES[CODES["adam"]]


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay, by default 0.01 (Loshchilov and Hutter 2019, algorithm 2)."""

    weight_decay: float = 0.01


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton 2012).

    v = beta2 v + (1 - beta2) g**2, params = params - learning_rate g / (sqrt(v) + epsilon).
    """

    learning_rate: float = 0.001
    beta2: float = 0.9
    epsilon: float = 1e-8

    def __post_init__(self):
        super().__post_init__()
        checked_setting("beta2", self.beta2, 0.0, 1.0, open_high=True)
        checked_setting("epsilon", self.epsilon, 0.0, open_low=True)


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Adagrad (Duchi et al. 2011): v = v + g**2, params = params - learning_rate g / (sqrt(v) + epsilon)."""

    learning_rate: float = 0.01
    epsilon: float = 1e-10

    def __post_init__(self):
        super().__post_init__()
        checked_setting("epsilon", self.epsilon, 0.0, open_low=True)


@dataclass(frozen=True)
class Quickprop(Optimizer):
    """Quickprop (Fahlman 1988): a step to the minimum of a parabola for each parameter. For full batches.

    growth : float     largest ratio of a parabolic step to the step before
    by_fan_in : bool     whether to divide the learning rate of a layer by fan_in + 1, the number of connections into a
        unit, bias included, as Fahlman's program did
    bias_input : float     constant input of the bias weights in the program to reproduce; 1 is an ordinary bias
    """

    learning_rate: float = 0.5
    growth: float = 1.75
    by_fan_in: bool = False
    bias_input: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        checked_setting("growth", self.growth, 0.0, open_low=True)
        checked_number("bias_input", self.bias_input, 0.0, open_low=True)

    def layer_factors(self, shapes):
        if not self.by_fan_in and self.bias_input == 1.0:
            return np.empty(0)
        fans = [1.0 / (fan_in + 1) if self.by_fan_in else 1.0 for fan_in, _ in shapes]
        # A weight v with input c acts as the bias c v: the gradient and the step each have a factor c.
        return np.array([[fan, fan * self.bias_input**2] for fan in fans]).reshape(-1)


@dataclass(frozen=True)
class Rprop(Optimizer):
    """iRprop+ (Igel and Huesken 2003): step sizes that depend on the sign of the gradient only. For full batches.

    learning_rate : float     initial step size; schedules have no effect
    growth : float     factor on a step size while the gradient keeps its sign
    shrink : float     factor on a step size when the gradient changes sign
    smallest, biggest : float     bounds of a step size
    """

    learning_rate: float = 0.1
    growth: float = 1.2
    shrink: float = 0.5
    smallest: float = 1e-6
    biggest: float = 50.0

    def __post_init__(self):
        super().__post_init__()
        checked_setting("growth", self.growth, 1.0, open_low=True)
        checked_setting("shrink", self.shrink, 0.0, 1.0, open_low=True, open_high=True)
        checked_setting("smallest", self.smallest, 0.0, open_low=True)
        checked_setting("biggest", self.biggest, 0.0 if is_per_net(self.smallest) else self.smallest)


OPTIMIZERS = {cls.__name__.lower(): cls for cls in (SGD, Adam, AdamW, RMSprop, Adagrad, Quickprop, Rprop)}


def optimizer_from_name(name: object, learning_rate: float | None = None) -> Optimizer:
    """Return the optimiser with this name, with its default settings; an Optimizer is returned as it is.

    name : str (in any case) or Optimizer
    learning_rate : float or None     replaces the optimiser's learning rate, if given

    >>> optimizer_from_name("adam", learning_rate=0.01)
    Adam(learning_rate=0.01, weight_decay=0.0, clip_norm=0.0, beta1=0.9, beta2=0.999, epsilon=1e-08)
    """
    if isinstance(name, Optimizer):
        return name if learning_rate is None else replace(name, learning_rate=learning_rate)
    if isinstance(name, type) and issubclass(name, Optimizer):
        raise ValueError(
            f"optimizer must be a name or an object, but it is the class {name.__name__}. Pass {name.__name__}()."
        )
    if not isinstance(name, str) or name.lower() not in OPTIMIZERS:
        raise unknown_name("optimizer", name, OPTIMIZERS)
    made = OPTIMIZERS[name.lower()]()
    return made if learning_rate is None else replace(made, learning_rate=learning_rate)


def settings_of(optimizer: Optimizer) -> dict[str, float]:
    return {field.name: getattr(optimizer, field.name) for field in fields(optimizer)}
