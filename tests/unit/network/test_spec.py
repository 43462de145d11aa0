"""`Network`, a net's architecture: invalid settings raise an error that names the setting and valid values."""

import dataclasses
import itertools

import pytest

from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.network.spec import ELEMENTWISE, Network


def build(layer_sizes=(3, 4, 5, 2), **settings):
    return Network.build(layer_sizes, settings)


BAD = [
    ("layer_sizes", (3,), r"layer_sizes must list .* but it is \(3,\)"),
    ("layer_sizes", 3, "layer_sizes must list .* but it is 3"),
    ("layer_sizes", (3, 0, 2), r"layer_sizes\[1\] must be a whole number of at least 1, but it is 0"),
    ("layer_sizes", (3, 2.5), r"layer_sizes\[1\] must be a whole number of at least 1, but it is 2.5"),
    ("layer_sizes", (3, True), r"layer_sizes\[1\] must be .* but it is True"),
    (
        "layer_sizes",
        (2**62, 2, 1),
        r"The .* parameters of layers \(4,611,686,018,427,387,904, .*\) would take .* TB, but this machine has",
    ),
    ("layer_sizes", (3, 10**400), "must be a whole number from 1 to .* 401 digits"),
    ("hidden_activation", "rleu", "Unknown hidden_activation 'rleu'. Did you mean 'relu'"),
    ("hidden_activation", "ReLU", "Unknown hidden_activation 'ReLU'. Did you mean 'relu'"),
    ("hidden_activation", "softmax", "Unknown hidden_activation 'softmax'.*Choose from: identity, sigmoid"),
    ("hidden_activation", 7, "Unknown hidden_activation 7"),
    ("hidden_activation", ("relu",), "hidden_activation has 1 entry, but the net has 2 hidden layers"),
    ("hidden_activation", ("relu", "tahn"), "Unknown hidden_activation 'tahn'. Did you mean 'tanh'"),
    ("output_activation", "softmx", "Unknown output_activation 'softmx'. Did you mean 'softmax'"),
    ("loss", "sqared_error", "Unknown loss 'sqared_error'. Did you mean 'squared_error'"),
    ("loss", "mse", "Unknown loss 'mse'.*Choose from: squared_error, binary_cross_entropy"),
    ("loss", ["huber"], r"Unknown loss \['huber'\]"),
    ("dropout", 1.0, r"dropout must be a number in \[0, 1\), but it is 1.0"),
    ("dropout", "0.5", r"dropout must be a number in \[0, 1\), but it is '0.5'"),
    ("dropout", (0.5,), "dropout has 1 entry, but the net has 2 hidden layers"),
    ("dropout", (0.5, 2.0), "dropout must be a number"),
    ("l2", -1.0, "l2 must be a number .* but it is -1.0"),
    ("l2", float("inf"), "l2 must be a number .* but it is inf"),
    ("label_smoothing", 0.1, "label_smoothing belongs to softmax_cross_entropy, but the loss is 'squared_error'"),
    ("label_smoothing", 1.0, "label_smoothing must be a number"),
    ("huber_delta", 0.0, "huber_delta must be a number"),
]


@pytest.mark.parametrize("name, value, message", BAD, ids=[f"{name}={value!r}" for name, value, _ in BAD])
def test_invalid_settings_raise(name, value, message):
    with pytest.raises(ValueError, match=message):
        build(**{name: value})


def test_loss_accepts_only_its_output_activations():
    """A pair of both is accepted, or raises an error that names suitable outputs, of which the first is the default."""
    for row, output in itertools.product(LOSSES, [row.name for row in ACTIVATIONS]):
        possible = row.outputs or ELEMENTWISE
        assert build(loss=row.name).output_row.name == possible[0]
        if output in possible:
            network = build(loss=row.name, output_activation=output)
            assert (network.loss_row.name, network.output_row.name) == (row.name, output)
        else:
            named = f"loss '{row.name}' cannot be used with output_activation '{output}': it needs {possible[0]}"
            with pytest.raises(ValueError, match=named):
                build(loss=row.name, output_activation=output)


def test_softmax_of_one_output_raises():
    with pytest.raises(ValueError, match="softmax over one output is always 1"):
        build(layer_sizes=(3, 1), loss="softmax_cross_entropy")


def test_hidden_layer_settings_may_be_one_value_or_one_per_layer():
    assert build(hidden_activation="tanh", dropout=0.2) == build(hidden_activation=["tanh"] * 2, dropout=[0.2, 0.2])
    network = build(hidden_activation=("tanh", "elu"), dropout=(0.0, 0.5))
    assert network.dropout == (0.0, 0.5)
    names = [ACTIVATIONS[code].name for code in network.activation_codes]
    assert names == ["tanh", "elu", "identity"]


def test_net_without_hidden_layers_has_no_dropout():
    network = build(layer_sizes=(3, 2), dropout=0.5, hidden_activation="tanh")
    assert network.dropout == ()
    assert network.layout.n_params == 3 * 2 + 2


def test_layer_sizes_may_be_lists_or_numpy_integers():
    import numpy as np

    assert build(layer_sizes=[np.int64(3), np.int32(4), 2]).layer_sizes == (3, 4, 2)
    assert build(layer_sizes=np.array([3, 4, 2])).layer_sizes == (3, 4, 2)


def test_network_is_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        build().l2 = 1.0


def test_a_loss_of_the_users_own_is_refused_with_what_can_be_done():
    with pytest.raises(ValueError, match=r"^loss must be a name or a fastmlp.Loss, .* needs its derivative"):
        build(loss=lambda y, output: (y - output) ** 4)
