"""Optimisers: small frozen objects with the settings of an update rule.

The update rules are in kernels/formulas/update_rules.py; settings that all optimisers have are in base.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..errors import checked_number, checked_setting, is_per_net, unknown_name
from ..interface.docstrings import with_entries_of
from ..kernels.formulas.update_rules import CODES, RULES, Rule
from .base import Optimizer as Optimizer
from .base import setting_text as setting_text


@with_entries_of(Optimizer)
@dataclass(frozen=True, repr=False)
class SGD(Optimizer):
    """Stochastic gradient descent, optionally with momentum.

    Parameters
    ----------
    momentum : float, default 0.0
        Factor on the velocity from step to step, in [0, 1).
    nesterov : bool, default False
        Whether to use Nesterov's variant, which needs a momentum above 0.

    Raises
    ------
    ValueError
        If a setting is out of range, or nesterov=True has no momentum.

    Notes
    -----
    With the gradient g::

        v = momentum * v - learning_rate * g
        params = params + v

    and with nesterov=True, for the new v::

        params = params + momentum * v - learning_rate * g

    The learning rate is part of the velocity v, as in Polyak 1964 and Sutskever et al. 2013. PyTorch's SGD multiplies
    by the learning rate outside: v = momentum * v + g, params = params - learning_rate * v. Both are equal while the
    learning rate is constant. When a schedule lowers it, past gradients keep the learning rate of their own step here,
    and get the current one in PyTorch.

    References
    ----------
    Polyak 1964, "Some methods of speeding up the convergence of iteration methods".

    Sutskever, Martens, Dahl and Hinton 2013, "On the importance of initialization and momentum in deep learning";
    Nesterov's variant in the shifted variables of Bengio, Boulanger-Lewandowski and Pascanu 2012.

    Examples
    --------
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

    @cached_property
    def rule(self) -> Rule:
        has_momentum = is_per_net(self.momentum) or self.momentum
        return RULES[CODES["nesterov" if self.nesterov else "momentum" if has_momentum else "sgd"]]


@with_entries_of(Optimizer)
@dataclass(frozen=True, repr=False)
class Adam(Optimizer):
    """Adam: steps by the mean of recent gradients, divided by the root of their mean square.

    Parameters
    ----------
    beta1 : float, default 0.9
        Decay of the first moment from step to step, in (0, 1).
    beta2 : float, default 0.999
        Decay of the second moment from step to step, in (0, 1).
    epsilon : float, default 1e-8
        Added to the root of the corrected second moment; above 0.

    Notes
    -----
    Algorithm 1 of the paper, with the gradient g at step t, counted from 1::

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_corrected = m / (1 - beta1**t)
        v_corrected = v / (1 - beta2**t)
        params = params - learning_rate * m_corrected / (sqrt(v_corrected) + epsilon)

    Epsilon stands outside of the root, as in the paper and in PyTorch. scikit-learn adds it to the root of the moment
    that is not corrected.

    References
    ----------
    Kingma and Ba 2015, "Adam: a method for stochastic optimization", arXiv:1412.6980.

    Examples
    --------
    >>> Adam(0.01)
    Adam(learning_rate=0.01, weight_decay=0.0, clip_norm=0.0, beta1=0.9, beta2=0.999, epsilon=1e-08)
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

    @cached_property
    def rule(self) -> Rule:
        return RULES[CODES["adam"]]


@with_entries_of(Adam)
@dataclass(frozen=True, repr=False)
class AdamW(Adam):
    """Adam with decoupled weight decay, by default 0.01.

    Notes
    -----
    The rule is that of Adam, after weights have been multiplied by 1 - learning_rate * weight_decay. The learning rate
    in this factor includes the schedule's, as in PyTorch; algorithm 2 of the paper multiplies the decay by the
    schedule's factor alone.

    References
    ----------
    Loshchilov and Hutter 2019, "Decoupled weight decay regularization", arXiv:1711.05101, algorithm 2.

    Examples
    --------
    >>> AdamW(3e-3).weight_decay
    0.01
    """

    weight_decay: float = 0.01


@with_entries_of(Optimizer)
@dataclass(frozen=True, repr=False)
class RMSprop(Optimizer):
    """RMSprop: the gradient, divided by the root of a moving mean of its squares.

    Parameters
    ----------
    beta2 : float, default 0.9
        Decay of the mean square from step to step, in [0, 1).
    epsilon : float, default 1e-8
        Added to the root; above 0.

    Notes
    -----
    With the gradient g::

        v = beta2 * v + (1 - beta2) * g**2
        params = params - learning_rate * g / (sqrt(v) + epsilon)

    Epsilon stands outside of the root, as in PyTorch; there is no correction of v's start at 0, and no centring.

    References
    ----------
    Tieleman and Hinton 2012, "Lecture 6.5, rmsprop", Coursera: Neural networks for machine learning.

    Examples
    --------
    >>> RMSprop().epsilon
    1e-08
    """

    learning_rate: float = 0.001
    beta2: float = 0.9
    epsilon: float = 1e-8

    def __post_init__(self):
        super().__post_init__()
        checked_setting("beta2", self.beta2, 0.0, 1.0, open_high=True)
        checked_setting("epsilon", self.epsilon, 0.0, open_low=True)


@with_entries_of(Optimizer)
@dataclass(frozen=True, repr=False)
class Adagrad(Optimizer):
    """Adagrad: the gradient, divided by the root of the sum of all its squares.

    Parameters
    ----------
    epsilon : float, default 1e-10
        Added to the root; above 0.

    Notes
    -----
    With the gradient g::

        v = v + g**2
        params = params - learning_rate * g / (sqrt(v) + epsilon)

    Epsilon stands outside of the root, and v starts at 0.

    References
    ----------
    Duchi, Hazan and Singer 2011, "Adaptive subgradient methods for online learning and stochastic optimization".

    Examples
    --------
    >>> Adagrad().learning_rate
    0.01
    """

    learning_rate: float = 0.01
    epsilon: float = 1e-10

    def __post_init__(self):
        super().__post_init__()
        checked_setting("epsilon", self.epsilon, 0.0, open_low=True)


@with_entries_of(Optimizer)
@dataclass(frozen=True, repr=False)
class Quickprop(Optimizer):
    """Quickprop: a step to the minimum of a parabola for each parameter. For full batches.

    Parameters
    ----------
    learning_rate : float, default 0.5
        Factor on the gradient in a step of plain descent, above 0, multiplied by the factor of the schedule.
    growth : float, default 1.75
        Largest ratio of a step on the parabola to the step before, above 0.
    by_fan_in : bool, default False
        Whether to divide the learning rate of a layer by fan_in + 1, the number of connections into a unit, bias
        included, as Fahlman's program did.
    bias_input : float, default 1.0
        Constant input of the bias weights in the program to reproduce, above 0; 1 is an ordinary bias.

    Notes
    -----
    With the gradient g, and g_before and step_before of the step before::

        jump = step_before * g / (g_before - g)
        step = jump, but growth * step_before where jump would be longer or point uphill
        step = step - learning_rate * g, unless the gradient has changed sign since the step before
        params = params + step

    With batch_size, gradients of different samples would be compared; fit permits it without a warning.

    Where step_before is 0, as in the first step, step = -learning_rate * g. A gradient that is 0 twice in a row, such
    as that of a unit that is never active, ends the steps; in Fahlman's program they would go on growing. In a
    Population, by_fan_in and bias_input are the same for all nets.

    References
    ----------
    Fahlman 1988, "An empirical study of learning speed in back-propagation networks", CMU-CS-88-162.

    Examples
    --------
    >>> Quickprop(growth=2.0).rule.needs_full_batch
    True
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


@with_entries_of(Optimizer)
@dataclass(frozen=True, repr=False)
class Rprop(Optimizer):
    """iRprop+: step sizes that depend on the sign of the gradient only. For full batches.

    Parameters
    ----------
    learning_rate : float, default 0.1
        Initial step size of each parameter, above 0. Schedules have no effect on step sizes.
    growth : float, default 1.2
        Factor on a step size while the gradient keeps its sign, above 1.
    shrink : float, default 0.5
        Factor on a step size when the gradient changes sign, in (0, 1).
    smallest : float, default 1e-6
        Lower bound of a step size, above 0.
    biggest : float, default 50.0
        Upper bound of a step size, at least smallest.

    Notes
    -----
    With the gradient g and g_before of the step before, for each parameter::

        g * g_before > 0:  size = min(growth * size, biggest)
                           step = -sign(g) * size
        g * g_before < 0:  size = max(shrink * size, smallest)
                           step = -step_before if the loss has risen, else 0
                           g = 0 for the next step
        g * g_before = 0:  step = -sign(g) * size
        params = params + step

    With batch_size, gradients of different samples would be compared; fit permits it without a warning.

    References
    ----------
    Igel and Huesken 2003, "Empirical evaluation of the improved Rprop learning algorithms".

    Examples
    --------
    >>> Rprop().growth
    1.2
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
        if self.learning_rate_factors is not None:
            raise ValueError(
                "Rprop has no use for learning_rate_factors: after the first step, its step sizes do not depend on the "
                "learning rate. Use another optimiser, such as fastmlp.Adam."
            )


OPTIMIZERS: dict[str, type[Optimizer]] = {  # the classes above
    name.lower(): kind
    for name, kind in list(globals().items())
    if isinstance(kind, type) and issubclass(kind, Optimizer) and kind is not Optimizer
}


def optimizer_from_name(name: object, learning_rate: float | None = None) -> Optimizer:
    """Return the optimiser with this name, with its default settings; an Optimizer is returned as it is.

    Parameters
    ----------
    name : str or Optimizer
        Name of an optimiser in upper or lower case: "sgd", "adam", "adamw", "rmsprop", "adagrad", "quickprop" or
        "rprop".
    learning_rate : float, optional
        Replaces the optimiser's learning rate, if given.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If the name is unknown, or name is a class or a number instead of an object.

    Examples
    --------
    >>> optimizer_from_name("adam", learning_rate=0.01)
    Adam(learning_rate=0.01, weight_decay=0.0, clip_norm=0.0, beta1=0.9, beta2=0.999, epsilon=1e-08)
    """
    if isinstance(name, Optimizer):
        return name if learning_rate is None else replace(name, learning_rate=learning_rate)
    if isinstance(name, type) and issubclass(name, Optimizer):
        raise ValueError(
            f"optimizer must be a name or an object, but it is the class {name.__name__}. Pass {name.__name__}()."
        )
    if isinstance(name, (int, float)) and not isinstance(name, bool):
        raise ValueError(
            f"optimizer must be a name or an object, but it is the number {name}. A learning rate is an argument of "
            f"the optimiser: optimizer=fastmlp.SGD({name})."
        )
    if isinstance(name, str) and name.lower().replace("-", "") in ("lbfgs", "lbfgsb", "bfgs"):
        raise ValueError(
            f"There is no optimizer {name!r}, since L-BFGS takes no steps of its own on batches. It is the solver of "
            "MLPClassifier(solver='lbfgs') and MLPRegressor(solver='lbfgs'); a net is trained by "
            "scipy.optimize.minimize(net.objective(X, y), net.params, jac=True, method='L-BFGS-B'). Or choose from: "
            f"{', '.join(OPTIMIZERS)}."
        )
    if not isinstance(name, str) or name.lower() not in OPTIMIZERS:
        raise unknown_name("optimizer", name, OPTIMIZERS)
    made = OPTIMIZERS[name.lower()]()
    return made if learning_rate is None else replace(made, learning_rate=learning_rate)
