"""Settings of nets: one table with type, row and text of each, as fit/keywords.py has for the keywords of `fit`.

The constructors of MLP and Population, the check of an architecture, saved files, searches and reports follow from it.
"""
# No postponed annotations: the table is read from them.

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, TypedDict

from ..interface.keywords import Table
from ..kernels.formulas.activations import ACTIVATIONS
from ..kernels.formulas.losses import CONSTANTS, LOSSES
from .own_formulas import Activation, Loss

HIDDEN = tuple(row.name for row in ACTIVATIONS if row.hidden)


class Setting(NamedTuple):
    """Row of a setting.

    default : value in the signature
    reason : why it is there: a library whose users know it, or FILE#FINDING in bench/log
    bounds : arguments of errors.checked_setting, for a number that may differ from net to net of a Population
    in_space : whether the space of a search may have it
    """

    default: Any
    reason: str
    bounds: dict[str, Any] | None = None
    in_space: bool = True
    check: None = None  # Network.build, and the constructors


class NetSettings(TypedDict, total=False):
    """Settings of MLP.

    Parameters
    ----------
    hidden_activation : str, Activation or sequence of them, default "relu"
        Activation of the hidden layers, one for all of them, or one per hidden layer: an Activation of your own, or
        {activations}.
    output_activation : str or Activation, optional
        Activation of the output layer. By default it is the one that belongs to the loss.
    loss : str or Loss, default "squared_error"
        A Loss of your own, or {losses}.
        Every loss is a mean over samples and, except for softmax_cross_entropy, over outputs, without a factor of
        one half.
    dropout : float or sequence of float, default 0.0
        Probability with which a hidden unit is dropped in a training step; kept units are scaled by
        1 / (1 - dropout). One value for all hidden layers, or one per hidden layer, each in [0, 1).
    l2 : float, default 0.0
        Strength of the L2 penalty: l2 / 2 times the sum of squared weights (not biases) is added to the loss.
    label_smoothing : float, default 0.0
        Fraction of each target that softmax_cross_entropy spreads evenly over all classes, in [0, 1).
    init : str or object, default "auto"
        Initialiser of the parameters: "auto" (suits each layer's activation), a name such as "glorot_uniform", or
        `Uniform(low, high)`, `Normal(std)`, `UniformByFanIn(gain)` or `NguyenWidrow(gain)`.
    init_scale : float, default 1.0
        Factor by which the initial parameters are multiplied.
    dtype : {"float32", "float64"}, default "float32"
        Data type of the parameters and of all computations in the kernels.
    device : str, default "auto"
        Where to train and predict: "auto", "cpu", "cuda" or "cuda:1". "auto" uses a GPU, if there is one, for inputs
        that are already on the GPU and for fits large enough to be faster there.
    precision : {"exact", "tf32", "bfloat16"}, default "exact"
        Format to which a GPU may round the operands of float32 matrix products; sums and parameters stay float32.
        With "bfloat16", outputs of hidden layers, deltas and a copy of the weights are stored in it, so that large nets
        need about half the memory for a batch, without dropout; tensor cores multiply them. Small nets are trained in
        float32, and predict in it.
    random_state : int, numpy.random.Generator or RandomState, optional
        Seed of the initial parameters, shuffling, dropout and the validation split. The same value gives
        bit-identical parameters and recorded losses on the same machine, for any number of CPU threads. By default
        the seed is random.
    standardize : bool, default False
        Whether to train on inputs, and for regressions targets, of mean 0 and standard deviation 1 over the rows of the
        fit. Parameters and predictions are in the units of the rows; recorded losses, and the L2 penalty, are those of
        the standardised rows.
    huber_delta : float, default 1.0
        Error at which the huber loss changes from quadratic to linear.
    """

    hidden_activation: Annotated[str | Activation | Sequence[str | Activation], Setting("relu", "Keras")]
    output_activation: Annotated[str | Activation | None, Setting(None, "Keras")]
    loss: Annotated[str | Loss, Setting("squared_error", "Keras")]
    dropout: Annotated[Any, Setting(0.0, "Keras", {"low": 0.0, "high": 1.0, "open_high": True})]
    l2: Annotated[Any, Setting(0.0, "Keras", {"low": 0.0})]
    label_smoothing: Annotated[float, Setting(0.0, "Keras")]
    init: Annotated[Any, Setting("auto", "Keras")]
    init_scale: Annotated[Any, Setting(1.0, "gain of PyTorch's initialisers", {"low": 0.0})]
    dtype: Annotated[Any, Setting("float32", "PyTorch", in_space=False)]
    device: Annotated[str, Setting("auto", "gpu.md#auto-device", in_space=False)]
    precision: Annotated[str, Setting("exact", "gpu.md#gpu-bfloat16", in_space=False)]
    random_state: Annotated[Any, Setting(None, "scikit-learn", in_space=False)]
    standardize: Annotated[bool, Setting(False, "options.md#standardize")]
    huber_delta: Annotated[float, Setting(CONSTANTS["huber_delta"], "delta of Keras' Huber")]


class PopulationSettings(NetSettings, total=False):
    """Settings of Population, with what others mean for nets.

    Parameters
    ----------
    dropout : float, array_like of shape (n_nets,) or frozen SciPy distribution, default 0.0
        Probability with which a hidden unit is dropped: a number for all nets, one number per net, or a distribution
        from which one number per net is drawn.
    l2 : float, array_like of shape (n_nets,) or frozen SciPy distribution, default 0.0
        Strength of the L2 penalty, in the same forms.
    init_scale : float, array_like of shape (n_nets,) or frozen SciPy distribution, default 1.0
        Factor on the initial parameters, in the same forms as dropout.
    random_state : int, numpy.random.Generator or RandomState, optional
        Seed of the nets' seeds and of the numbers that are drawn from distributions. By default the seed is random.
    """


NAMES = {"activations": HIDDEN, "losses": tuple(row.name for row in LOSSES)}
NET_SETTINGS, POPULATION_SETTINGS = Table.of(NetSettings, **NAMES), Table.of(NetSettings, PopulationSettings, **NAMES)
PER_NET = {name: row.bounds for name, row in NET_SETTINGS.rows.items() if row.bounds is not None}
IN_SPACE = [name for name, row in NET_SETTINGS.rows.items() if row.in_space and name not in PER_NET]
