"""Architecture of a net: layer sizes, activations, loss, dropout and L2 penalty. Immutable, and validated once, here.

Users give names. A Network contains codes and numbers only, and no arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from ..errors import checked_count, checked_number, counted, shown, unknown_name
from ..kernels.formulas import activations, losses
from ..kernels.formulas.own_rows import code_of, digest_of
from ..runtime.memory_limits import check_params
from .net_settings import HIDDEN, NET_SETTINGS
from .own_formulas import Activation, Loss, OwnFormula
from .parameter_layout import Layout

ELEMENTWISE = tuple(row.name for row in activations.ACTIVATIONS if row.name not in ("softmax", "exponential"))


def activation_code(name: Any, choices: Sequence[str], kind: str) -> int:
    """Return the code of an activation, or raise ValueError if it is neither one of the choices nor an Activation."""
    if isinstance(name, Activation):
        return code_of(name.recipe)
    if callable(name):
        raise ValueError(
            f"{kind} must be a name or a fastmlp.Activation, but it is {shown(name)}: a function needs its derivative, "
            "fastmlp.Activation('name', function, derivative)."
        )
    if not isinstance(name, str) or name not in choices:
        raise unknown_name(kind, name, choices)
    return activations.CODES[name]


def loss_code(name: Any) -> int:
    if isinstance(name, Loss):
        return code_of(name.recipe)
    if callable(name):
        raise ValueError(
            f"loss must be a name or a fastmlp.Loss, but it is {shown(name)}: a function needs its derivative, "
            "fastmlp.Loss('name', function, derivative)."
        )
    if not isinstance(name, str) or name not in losses.CODES:
        raise unknown_name("loss", name, losses.CODES)
    return losses.CODES[name]


def output_code(loss: losses.LossRow, name: Any) -> int:
    """Return the code of the output activation, by default the one that belongs to the loss.

    Raises
    ------
    ValueError
        If the name is unknown, or the loss cannot be used with this activation.
    """
    possible = loss.outputs or ELEMENTWISE
    if name is None:
        return activations.CODES[possible[0]]
    code = activation_code(name, tuple(activations.CODES), "output_activation")
    is_own = isinstance(name, Activation)
    takes = lambda row: name in (row.outputs or ELEMENTWISE) or (is_own and not row.outputs)
    if not takes(loss):
        fitting = [row.name for row in losses.LOSSES if takes(row)]
        raise ValueError(
            f"loss {loss.name!r} cannot be used with output_activation {name!r}: it needs {' or '.join(possible)}. "
            f"Leave output_activation out, or choose a loss that takes {name!r}: {', '.join(fitting)}."
        )
    return code


def _per_hidden_layer(name: str, value: Any, n_hidden: int) -> tuple:
    """Return a setting as a tuple with one value per hidden layer; a single value is repeated."""
    if isinstance(value, (list, tuple)):
        if len(value) != n_hidden:
            raise ValueError(
                f"{name} has {counted(len(value), 'entry', 'entries')}, but the net has "
                f"{counted(n_hidden, 'hidden layer')}: give one each."
            )
        return tuple(value)
    return (value,) * n_hidden


@dataclass(frozen=True)
class Network:
    """Validated architecture of a net, as `net.network`. It cannot be changed; `Network.build` makes it.

    Parameters
    ----------
    layer_sizes : tuple of int
        Number of inputs, of units per hidden layer, and of outputs.
    activation_codes : tuple of int
        Position of each layer's activation in ACTIVATIONS, the output layer last.
    loss : int
        Position of the loss in LOSSES.
    loss_constant : float
        The loss's own constant, huber_delta of the huber loss; 0 of a loss without.
    label_smoothing : float
        Fraction of each target that is spread evenly over all classes.
    dropout : tuple of float
        Per hidden layer, probability with which a unit is dropped in a training step.
    l2 : float
        Strength of the L2 penalty.

    Attributes
    ----------
    n_hidden_layers : int
        Number of hidden layers.
    n_features : int
        Number of inputs.
    n_outputs : int
        Number of outputs.
    layout : Layout
        Offsets of weights and biases in the flat parameter vector.
    loss_row : LossRow
        Row of LOSSES; `loss_row.name` is the loss's name.
    output_row : ActivationRow
        Row of ACTIVATIONS of the output layer; `output_row.name` is its name.
    with_logits : Network
        Network with the same parameters, but without output activation: its outputs are the logits of this one.

    Examples
    --------
    >>> import fastmlp
    >>> network = fastmlp.MLP((2, 4, 3), loss="softmax_cross_entropy").network
    >>> network.n_features, network.n_outputs, network.output_row.name
    (2, 3, 'softmax')
    """

    layer_sizes: tuple[int, ...]
    activation_codes: tuple[int, ...]  # one per layer, the output layer last
    loss: int
    loss_constant: float
    label_smoothing: float
    dropout: tuple[float, ...]  # per hidden layer, probability with which a unit is dropped in a training step
    l2: float
    n_features: int = field(init=False, compare=False, repr=False)
    n_outputs: int = field(init=False, compare=False, repr=False)
    n_hidden_layers: int = field(init=False, compare=False, repr=False)
    layout: Layout = field(init=False, compare=False, repr=False)
    loss_row: losses.LossRow = field(init=False, compare=False, repr=False)
    output_row: activations.ActivationRow = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        sizes = self.layer_sizes
        vars(self).update(n_features=sizes[0], n_outputs=sizes[-1], n_hidden_layers=len(sizes) - 2)
        vars(self).update(
            layout=Layout(sizes),
            loss_row=losses.LOSSES[self.loss],
            output_row=activations.ACTIVATIONS[self.activation_codes[-1]],
        )

    def __reduce__(self) -> tuple[Any, ...]:
        values = {row.name: getattr(self, row.name) for row in fields(self) if row.init}
        return _restored, (values, {code: row.own for code, row in self._own_activations.items()}, self.loss_row.own)

    @property
    def _own_activations(self) -> dict[int, activations.ActivationRow]:
        """Rows of own activations by their codes, which differ from process to process."""
        return {k: row for k in self.activation_codes if (row := activations.ACTIVATIONS[k]).own is not None}

    def own_formulas(self) -> dict[str, str]:
        """Return the own formulas of the net, Activation and Loss: {name: digest of the definition}.

        Returns
        -------
        dict
        """
        own = {row.name: row.digest for row in self._own_activations.values()}
        if self.loss_row.own is not None:
            own[self.loss_row.name] = digest_of(self.loss_row.own, self.loss_constant)
        return own

    @classmethod
    def build(cls, layer_sizes: Any, settings: Mapping[str, Any]) -> Network:
        """Return the network for the arguments of MLP of the same names, after a check of all of them.

        Parameters
        ----------
        layer_sizes : sequence of int
            Numbers of units, as for MLP.
        settings : dict
            {keyword of MLP: value}; one that is missing has its default. Constants of other losses, such as
            huber_delta, are checked and left out.

        Returns
        -------
        Network

        Raises
        ------
        ValueError
            If a size is below 1, a name is unknown, loss and output activation cannot be used together, or a number is
            out of range.
        """
        settings = {**NET_SETTINGS.defaults, **settings}
        loss, label_smoothing = settings["loss"], settings["label_smoothing"]
        if hasattr(layer_sizes, "tolist"):  # an array
            layer_sizes = layer_sizes.tolist()
        if not isinstance(layer_sizes, Sequence) or isinstance(layer_sizes, str) or len(layer_sizes) < 2:
            raise ValueError(
                "layer_sizes must list the number of inputs, of units per hidden layer and of outputs, such as "
                f"(2, 4, 1), but it is {shown(layer_sizes)}."
            )
        sizes = tuple(checked_count(f"layer_sizes[{k}]", size) for k, size in enumerate(layer_sizes))
        n_hidden = len(sizes) - 2
        check_params(sizes, Layout(sizes).n_params, 4)  # in float32; MLP and Population check again with their dtype
        row = losses.LOSSES[loss_code(loss)]
        named = _per_hidden_layer("hidden_activation", settings["hidden_activation"], n_hidden)
        hidden = [activation_code(name, HIDDEN, "hidden_activation") for name in named]
        own = {x for x in (*named, settings["output_activation"], loss) if isinstance(x, OwnFormula)}
        if len({x.name for x in own}) < len(own):
            raise ValueError(f"The net's own formulas need names of their own, but they are {sorted(map(repr, own))}.")
        rates = _per_hidden_layer("dropout", settings["dropout"], n_hidden)
        checked_number("label_smoothing", label_smoothing, 0.0, 1.0, open_high=True)
        if label_smoothing and loss != "softmax_cross_entropy":
            raise ValueError(f"label_smoothing belongs to softmax_cross_entropy, but the loss is {row.name!r}.")
        constants = {name: checked_number(name, settings[name], 0.0, open_low=True) for name in losses.CONSTANTS}
        output = output_code(row, settings["output_activation"])
        if output == activations.SOFTMAX and sizes[-1] == 1:
            raise ValueError(
                "softmax over one output is always 1. Use two outputs, or loss='binary_cross_entropy' with one."
            )
        return cls(
            layer_sizes=sizes,
            activation_codes=(*hidden, output),
            loss=loss_code(loss),
            loss_constant=constants[row.constant] if row.constant else getattr(loss, "constant", 0.0),
            label_smoothing=float(label_smoothing),
            dropout=tuple(checked_number("dropout", x, 0.0, 1.0, open_high=True) for x in rates),
            l2=checked_number("l2", settings["l2"], 0.0),
        )

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of MLP for an equal network, JSON-serialisable.

        Returns
        -------
        dict
        """
        names = [activations.ACTIVATIONS[code].name for code in self.activation_codes]
        return {
            "layer_sizes": list(self.layer_sizes),
            "hidden_activation": names[:-1],
            "output_activation": names[-1],
            "loss": self.loss_row.name,
            "dropout": list(self.dropout),
            "l2": self.l2,
            "label_smoothing": self.label_smoothing,
            **({self.loss_row.constant: self.loss_constant} if self.loss_row.constant else {}),
        }

    @cached_property
    def with_logits(self) -> Network:
        """Network with the same parameters, but without output activation: its outputs are the logits of this one."""
        codes = (*self.activation_codes[:-1], activations.IDENTITY)
        return replace(self, activation_codes=codes, loss=losses.CODES["squared_error"], label_smoothing=0.0)


def _restored(values: dict[str, Any], own_activations: dict[int, Any], own_loss: Any) -> Network:
    """Return a pickled network: own formulas have other codes in this process."""
    codes = {code: code_of(own) for code, own in own_activations.items()}
    values["activation_codes"] = tuple(codes.get(code, code) for code in values["activation_codes"])
    if own_loss is not None:
        values["loss"] = code_of(own_loss)
    return Network(**values)
