"""Initialisers of parameters. They draw on the host in float64, so that all devices and dtypes start from equal values.

Initialisers given by name draw weights and set biases to zero. The objects Uniform, Normal and UniformByFanIn draw
weights and biases. The initial parameters of a net depend on its seed alone (kernels/formulas/counter_rng.py), so that
a net of a population starts with the parameters that it would have by itself.

Sources: Glorot and Bengio 2010, He et al. 2015, LeCun et al. 1998, Saxe et al. 2014 (orthogonal).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from .errors import checked_number, is_per_net, unknown_name
from .kernels.formulas.activations import ACTIVATIONS
from .kernels.formulas.counter_rng import uniforms
from .network.spec import Network

CHUNK = 1 << 17  # numbers drawn at a time, so that temporary arrays stay in the L2 cache


def _normal_deviates(u: np.ndarray) -> np.ndarray:
    from scipy.special import ndtri  # quantile function of the normal distribution

    return ndtri(u)


@dataclass(frozen=True)
class Uniform:
    """Uniform initialiser: weights and biases from U(low, high).

    Parameters
    ----------
    low : float, default -1.0
        Lower bound.
    high : float, default 1.0
        Upper bound, at least low.

    Raises
    ------
    ValueError
        If a bound is not finite, or high is below low.

    Notes
    -----
    Drawn in float64 from the net's seed alone, so that all devices and dtypes start from equal values. Initialisers
    given by name set biases to zero; this one draws them too.

    Examples
    --------
    >>> import fastmlp
    >>> net = fastmlp.MLP((2, 2, 1), init=Uniform(-0.5, 0.5), random_state=0)
    >>> bool(abs(net.params).max() <= 0.5)
    True
    """

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self):
        # As Python's floats: the repr, by which files describe an initialiser, then names no type of NumPy.
        object.__setattr__(self, "low", checked_number("low", self.low))
        object.__setattr__(self, "high", checked_number("high", self.high, self.low))

    def transform(self, u: np.ndarray) -> np.ndarray:
        """Return values of the distribution from uniform numbers in (0, 1).

        Parameters
        ----------
        u : ndarray of float64
            Uniform numbers.

        Returns
        -------
        ndarray of float64
            low + (high - low) * u, in the shape of u.
        """
        return self.low + (self.high - self.low) * u


@dataclass(frozen=True)
class Normal:
    """Normal initialiser: weights and biases from N(0, std**2).

    Parameters
    ----------
    std : float, default 1.0
        Standard deviation, at least 0.

    Raises
    ------
    ValueError
        If std is below 0.

    Notes
    -----
    Drawn in float64 from the net's seed alone, so that all devices and dtypes start from equal values. Initialisers
    given by name set biases to zero; this one draws them too.

    Examples
    --------
    >>> import fastmlp
    >>> net = fastmlp.MLP((2, 2, 1), init=Normal(0.0), random_state=0)
    >>> net.predict([[0.0, 1.0]])
    array([[0.]], dtype=float32)
    """

    std: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "std", checked_number("std", self.std, 0.0))

    def transform(self, u: np.ndarray) -> np.ndarray:
        """Return values of the distribution from uniform numbers in (0, 1).

        Parameters
        ----------
        u : ndarray of float64
            Uniform numbers.

        Returns
        -------
        ndarray of float64
            std times the quantile of the standard normal distribution at u, in the shape of u.
        """
        return self.std * _normal_deviates(u)


@dataclass(frozen=True)
class UniformByFanIn:
    """Uniform initialiser scaled by fan-in: weights and biases from U(-b, b), b = gain / sqrt(fan_in).

    Parameters
    ----------
    gain : float, default 1.0
        Factor on the bound, at least 0.

    Raises
    ------
    ValueError
        If gain is below 0.

    Notes
    -----
    With gain 1 it is the default of PyTorch's Linear. It suits few inputs with a wide range, for which random biases
    spread the kinks of the first layer over the range: on California housing the RMSE is 0.50, and 0.53 with he_normal,
    whose biases are zero (bench/log/tables.md#fan-in-init).

    Examples
    --------
    >>> import fastmlp
    >>> net = fastmlp.MLP((4, 2, 1), init=UniformByFanIn(), random_state=0)
    >>> bool(abs(net.weights[0]).max() <= 0.5)
    True
    """

    gain: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "gain", checked_number("gain", self.gain, 0.0))

    def of_layer(self, u: np.ndarray, fan_in: int) -> np.ndarray:
        """Return the parameters of one layer from uniform numbers in (0, 1).

        Parameters
        ----------
        u : ndarray of float64
            Uniform numbers.
        fan_in : int
            Number of inputs of the layer.

        Returns
        -------
        ndarray of float64
            (2 * u - 1) * gain / sqrt(fan_in), in the shape of u.
        """
        return (2.0 * u - 1.0) * (self.gain / sqrt(fan_in))


@dataclass(frozen=True)
class NguyenWidrow:
    """Initialiser of Nguyen and Widrow: the active regions of a layer's units are spread evenly over [-1, 1].

    It is for nets with tanh, and for inputs that are scaled to [-1, 1]. The weights of a unit point in a
    random direction and have the length gain * fan_out ** (1 / fan_in), times which biases are spaced from -1 to 1. The
    output layer has weights and biases from U(-1/2, 1/2).

    Parameters
    ----------
    gain : float, default 0.7
        Factor on the lengths, at least 0.

    Raises
    ------
    ValueError
        If gain is below 0.

    Notes
    -----
    It suits smooth functions of few inputs, and LevenbergMarquardt: 20 units fit sinc(10 x) to a mean squared error of
    1e-9 from all of ten seeds, and from none with glorot_uniform (bench/log/second_order.md#sinc).

    References
    ----------
    Nguyen and Widrow 1990, "Improving the learning speed of 2-layer neural networks by choosing initial values of the
    adaptive weights".

    Examples
    --------
    >>> import fastmlp
    >>> net = fastmlp.MLP((1, 3, 1), init=NguyenWidrow(), random_state=0)
    >>> (abs(net.weights[0]) / 2.1).round(6).tolist()
    [[1.0, 1.0, 1.0]]
    """

    gain: float = 0.7

    def __post_init__(self):
        object.__setattr__(self, "gain", checked_number("gain", self.gain, 0.0))

    def of_layer(self, u: np.ndarray, fan_in: int, is_output: bool) -> np.ndarray:
        """Return the parameters of one layer from uniform numbers in (0, 1).

        Parameters
        ----------
        u : ndarray of float64, shape (n_nets, (fan_in + 1) * fan_out)
            Uniform numbers.
        fan_in : int
            Number of inputs of the layer.
        is_output : bool
            Whether it is the output layer.

        Returns
        -------
        ndarray of float64, shape (n_nets, (fan_in + 1) * fan_out)
            Weights, then biases.
        """
        if is_output:
            return u - 0.5
        n_nets, fan_out = len(u), u.shape[1] // (fan_in + 1)
        weights = 2.0 * u[:, : fan_in * fan_out].reshape(n_nets, fan_in, fan_out) - 1.0
        length = self.gain * fan_out ** (1.0 / fan_in)
        weights *= length / np.sqrt((weights**2).sum(axis=1, keepdims=True))
        spaced = np.linspace(-1.0, 1.0, fan_out) if fan_out > 1 else np.zeros(1)
        biases = length * spaced * np.sign(weights[:, 0])
        return np.concatenate([weights.reshape(n_nets, -1), biases], axis=1)


def _uniform(bound: Callable[[int, int], float]):
    return lambda u, i, j: bound(i, j) * (2.0 * u - 1.0)


def _normal(std: Callable[[int, int], float]):
    return lambda u, i, j: std(i, j) * _normal_deviates(u)


def _orthogonal(u: np.ndarray, i: int, j: int) -> np.ndarray:
    q, r = np.linalg.qr(_normal_deviates(u).reshape(-1, max(i, j), min(i, j)))
    # With these signs, the distribution is uniform over orthogonal matrices (Mezzadri 2007).
    q = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    return q if i >= j else q.transpose(0, 2, 1)


# name -> function (u, fan_in, fan_out) -> weights, for uniform numbers u (n_nets, fan_in * fan_out)
INITIALIZERS: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {
    "glorot_uniform": _uniform(lambda i, j: sqrt(6.0 / (i + j))),
    "glorot_normal": _normal(lambda i, j: sqrt(2.0 / (i + j))),
    "he_uniform": _uniform(lambda i, j: sqrt(6.0 / i)),
    "he_normal": _normal(lambda i, j: sqrt(2.0 / i)),
    "lecun_normal": _normal(lambda i, j: sqrt(1.0 / i)),
    "lecun_uniform": _uniform(lambda i, j: sqrt(3.0 / i)),
    "orthogonal": _orthogonal,
    "zeros": lambda u, i, j: np.zeros_like(u),
}
Init = str | Uniform | Normal | UniformByFanIn | NguyenWidrow
OBJECTS = {cls.__name__: cls for cls in (Uniform, Normal, UniformByFanIn, NguyenWidrow)}


def check_init(init: Any) -> None:
    """Check an initialiser.

    Raises
    ------
    ValueError
        If `init` is neither "auto", nor the name of an initialiser, nor one of the objects.
    """
    named = isinstance(init, str) and init in ("auto", *INITIALIZERS)
    if not named and not isinstance(init, tuple(OBJECTS.values())):
        objects = ("Uniform(low, high)", "Normal(std)", "UniformByFanIn(gain)", "NguyenWidrow(gain)")
        raise unknown_name("init", init, ("auto", *INITIALIZERS, *objects))


def draw_params(
    network: Network, init: Any, seeds: np.ndarray, scale: Any = 1.0, draw: int = 0, out: np.ndarray | None = None
) -> np.ndarray:
    """Return initial parameters (n_nets, n_params), as float64 or in the dtype of `out`.

    network : Network     architecture of the nets
    init : str or object     initialiser; "auto" takes the one in the activation's row of ACTIVATIONS, layer by layer
    seeds : int64 (n_nets,)     seed of each net
    scale : float or (n_nets,)     factor on the parameters, one for all nets or one per net
    draw : int     0 for the initial parameters, k for those after the k-th restart
    out : (n_nets, n_params), optional     array that is written and returned
    """
    n = network.layout.n_params
    params = np.empty((len(seeds), n)) if out is None else out
    if isinstance(init, str) and init == "zeros":
        params[:] = 0.0
        return params
    factors = np.broadcast_to(np.asarray(scale, np.float64), len(seeds))[:, None]
    chunk_nets = max(1, CHUNK // n)
    for first in range(0, len(seeds), chunk_nets):
        chunk = slice(first, first + chunk_nets)
        params[chunk] = factors[chunk] * _draw_nets(network, init, uniforms(seeds[chunk], n, draw))
    return params


def redraw_nets(
    params: np.ndarray, network: Network, draws: tuple[Any, np.ndarray, Any], members: np.ndarray, draw: int
) -> None:
    """Write new initial parameters of some nets of a population.

    params : (n_nets, n_params)     of the population, written
    draws : tuple     (init, seeds, scale) of the population, as of draw_params
    members : (n_members,)     numbers of the nets
    draw : int     as of draw_params
    """
    init, seeds, scale = draws
    scale = scale[members] if is_per_net(scale) else scale
    params[members] = draw_params(network, init, seeds[members], scale, draw)


def _draw_nets(network: Network, init: Any, u: np.ndarray) -> np.ndarray:
    if isinstance(init, (Uniform, Normal)):
        return init.transform(u)
    layout, params = network.layout, np.zeros_like(u)
    for k, (i, j) in enumerate(layout.shapes):
        name = ACTIVATIONS[network.activation_codes[k]].init if init == "auto" else init
        w, b = layout.weight_offsets[k], layout.bias_offsets[k]
        if isinstance(init, UniformByFanIn):
            params[:, w : b + j] = init.of_layer(u[:, w : b + j], i)
        elif isinstance(init, NguyenWidrow):
            params[:, w : b + j] = init.of_layer(u[:, w : b + j], i, k == layout.n_layers - 1)
        else:
            params[:, w:b] = INITIALIZERS[name](u[:, w:b], i, j).reshape(len(u), -1)
    return params
