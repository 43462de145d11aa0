"""Optimisers as users name them: small frozen objects that fill the settings of an update rule.

The rules themselves are in kernels/formulas/update_rules.py. Every optimiser takes `weight_decay` (decoupled: weights,
not biases, shrink by learning_rate * weight_decay a step; Loshchilov and Hutter 2019) and `clip_norm` (gradients longer
than it are scaled back to it; 0 is off). PyTorch's clip_grad_norm_ divides by the norm plus 1e-6, and so leaves them a
little shorter than its max_norm; here they have the length clip_norm, L2 penalty included. For a population every
setting may also be an array with a number per net, or a frozen SciPy distribution that they are drawn from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from .errors import checked_number, checked_setting, drawn_setting, is_per_net, unknown_name
from .kernels.formulas.update_rules import CODES, RULES, Rule
from .kernels.structs import HYPER


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """Settings that every optimiser has. Use one of its subclasses."""

    learning_rate: float = 0.001
    weight_decay: float = 0.0
    clip_norm: float = 0.0

    def __post_init__(self):
        checked_setting("learning_rate", self.learning_rate, 0.0, open_low=True)
        checked_setting("weight_decay", self.weight_decay, 0.0)
        checked_setting("clip_norm", self.clip_norm, 0.0)

    @property
    def rule(self) -> Rule:
        """The row of the update rule."""
        return RULES[CODES[type(self).__name__.lower()]]

    @property
    def hyper(self) -> np.ndarray:
        """float64, in the order of kernels.arguments.HYPER; 0 for what this optimiser does not have."""
        values = [getattr(self, name, 0.0) for name in HYPER]
        if not all(isinstance(value, (float, int)) for value in values):
            for name, value in zip(HYPER, values, strict=True):
                if is_per_net(value):
                    raise ValueError(
                        f"{name} holds more than one number, which is for a Population. A single net needs one number."
                    )
        return np.array(values, np.float64)

    def for_nets(self, n_nets: int, rng: Callable[[], np.random.Generator]) -> Optimizer:
        """The same with every distribution drawn from, by rng(); settings are numbers or arrays (n_nets,) then."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if all(isinstance(value, (bool, int, float)) for value in values.values()):
            return self
        drawn = {k: v if isinstance(v, bool) else drawn_setting(k, v, n_nets, rng) for k, v in values.items()}
        return replace(self, **drawn)

    def of_net(self, net: int) -> Optimizer:
        """One net's optimiser, from what for_nets returned."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: float(v[net]) if is_per_net(v) else v for k, v in values.items()})

    def layer_factors(self, shapes: Sequence[tuple[int, int]]) -> np.ndarray:
        """Flat (n_layers, 2) factors on the gradients of weights and of biases, for layers of these (fan_in, fan_out);
        empty for none.
        """
        return np.empty(0)

    def begin(self, state: np.ndarray) -> None:
        """Write what the rule begins with into state (MOST_STATE, n_padded); rows it does not use stay untouched."""
        for row, start in zip(state[: self.rule.n_state], self.rule.initial, strict=False):
            row[:] = getattr(self, start) if isinstance(start, str) else start


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent: v = momentum v - learning_rate g, params + v; `nesterov` looks ahead by one more momentum step.

    The velocity v holds the learning rate, as in Polyak 1964 and Sutskever et al. 2013. PyTorch's SGD multiplies by the
    rate outside, params - learning_rate (momentum v + g): the same while the rate is constant, but where a schedule
    lowers it, here the steps made before go on at the rates that they were made with.

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
    """Kingma and Ba 2015, algorithm 1: epsilon is added to the root of the corrected second moment."""

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
    """Adam with decoupled weight decay, 0.01 unless given (Loshchilov and Hutter 2019, algorithm 2)."""

    weight_decay: float = 0.01


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """Tieleman and Hinton 2012; `beta2` is the memory of the squared gradient, epsilon stands outside the root."""

    learning_rate: float = 0.001
    beta2: float = 0.9
    epsilon: float = 1e-8

    def __post_init__(self):
        super().__post_init__()
        checked_setting("beta2", self.beta2, 0.0, 1.0, open_high=True)
        checked_setting("epsilon", self.epsilon, 0.0, open_low=True)


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Duchi et al. 2011; epsilon stands outside the root."""

    learning_rate: float = 0.01
    epsilon: float = 1e-10

    def __post_init__(self):
        super().__post_init__()
        checked_setting("epsilon", self.epsilon, 0.0, open_low=True)


@dataclass(frozen=True)
class Quickprop(Optimizer):
    """Fahlman 1988: parabolic jumps, at most `growth` times the last step. For full batches.

    by_fan_in divides the learning rate of each weight by the number of connections into the unit it leads to, the bias
    counted, as Fahlman's program did; bias_input is the constant that its bias weights were multiplied with.
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
        # A weight v of input c acts as the bias c v: its gradient and its step have a factor c each.
        return np.array([[fan, fan * self.bias_input**2] for fan in fans]).reshape(-1)


@dataclass(frozen=True)
class Rprop(Optimizer):
    """iRprop+ (Igel and Huesken 2003): step sizes by the sign of the gradient. For full batches.

    learning_rate is the first step size; a schedule has no effect on what follows.
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
    """An optimiser by its lower-case name, with its defaults; objects are passed through.

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
