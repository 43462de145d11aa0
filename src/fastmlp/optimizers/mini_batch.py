"""Optimisers for batches of any size: frozen dataclasses with the settings of an update rule each.

The update rules are in kernels/formulas/update_rules.py; settings that all optimisers have are in base.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..errors import checked_setting, is_per_net
from ..interface.docstrings import with_entries_of
from ..kernels.formulas.update_rules import CODES, RULES, Rule
from .base import Optimizer


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
