"""Headers of an architecture: constants equal the layout's, and different nets have different headers."""

import re

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.execution.net_description import describe_net
from fastmlp.kernels.cuda.build.net_constants import Architecture
from fastmlp.kernels.formulas.update_rules import CODES, RULES
from fastmlp.kernels.structs import METRIC_ARGMAX, METRIC_NONE, NO_UPDATE


def net_and_architecture(sizes, metric=METRIC_NONE, dtype="float32", **settings):
    net = MLP(sizes, dtype=dtype, device="cpu", **settings)
    return net, Architecture.of(describe_net(net.network), metric, net.dtype)


def test_architecture_sizes_equal_the_layout():
    net, architecture = net_and_architecture((3, 7, 5, 2), hidden_activation=["gelu", "tanh"])
    assert architecture.n_layers == 3
    assert architecture.n_params == len(net.params) == 80
    assert architecture.n_units == 17
    assert architecture.weights_at == net.network.layout.weight_offsets
    assert architecture.biases_at == net.network.layout.bias_offsets


@pytest.mark.parametrize(
    "settings, keeps",
    [
        ({}, False),
        ({"hidden_activation": "gelu"}, True),
        ({"dropout": 0.1}, True),
        ({"hidden_activation": "tanh"}, False),
    ],
)
def test_architecture_keeps_pre_activations_if_needed(settings, keeps):
    assert net_and_architecture((3, 7, 2), **settings)[1].keeps == keeps


@pytest.mark.parametrize("sizes", [(1, 1), (3, 7, 5, 2)])
def test_compiled_header_constants_equal_the_layout(cuda, sizes):
    """Every function of layers and parameters, called in a kernel."""
    from fastmlp.kernels.cuda.build.compiled_module import compiled, source

    net, architecture = net_and_architecture(sizes, hidden_activation="silu", dtype="float64")
    n, layers = architecture.n_params, architecture.n_layers
    text = source(architecture.header(CODES["rprop"], 96, SWITCH=True), "include/layout.cuh") + (
        'extern "C" __global__ void tell(int* parts, int* by_layer, double* numbers) {'
        "  for (int q = 0; q < N_PARAMS; ++q) parts[q] = part_of(q);"
        "  for (int k = 0; k < N_LAYERS; ++k) {"
        "    int* row = by_layer + 7 * k;"
        "    row[0] = width_of(k), row[1] = width_of(k + 1), row[2] = weights_at(k), row[3] = biases_at(k);"
        "    row[4] = units_at(k), row[5] = activation_of(k), row[6] = derivative_needs_z(k); }"
        "  numbers[0] = sizeof(T), numbers[1] = N_STATE, numbers[2] = N_PADDED, numbers[3] = COMPARES,"
        "  numbers[4] = SWITCH, numbers[5] = LOSS_WIDTH, numbers[6] = units_at(N_LAYERS); }"
    )
    parts, by_layer, numbers = cuda.zeros(n, np.int32), cuda.zeros(7 * layers, np.int32), cuda.zeros(7)
    compiled(text)["tell"]((1,), 1, parts, by_layer, numbers)
    expected = np.empty(n, np.int32)
    for k, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        start = net.network.layout.weight_offsets[k]
        expected[start : start + W.size] = 2 * k
        expected[start + W.size : start + W.size + b.size] = 2 * k + 1
    np.testing.assert_array_equal(parts.get(), expected)
    described = describe_net(net.network)
    units = np.cumsum([0, *sizes])
    np.testing.assert_array_equal(
        by_layer.get().reshape(layers, 7),
        np.stack(
            [
                sizes[:-1],
                sizes[1:],
                described.weight_offsets,
                described.bias_offsets,
                units[:layers],
                described.activations,
                described.derivative_needs_z,
            ],
            axis=1,
        ),
    )
    assert numbers.get().tolist() == [8, 3, 96, 1, 1, sizes[-1], units[layers]]


def test_headers_differ_for_every_compile_time_setting():
    """Any compile-time setting changes the text, by which modules are cached."""
    variants = [
        net_and_architecture((3, 4, 2))[1].header(),
        net_and_architecture((3, 4, 3))[1].header(),
        net_and_architecture((3, 4, 2), dtype="float64")[1].header(),
        net_and_architecture((3, 4, 2), hidden_activation="tanh")[1].header(),
        net_and_architecture((3, 4, 2), loss="huber")[1].header(),
        net_and_architecture((3, 4, 2), METRIC_ARGMAX)[1].header(),
        net_and_architecture((3, 4, 2), dropout=0.5)[1].header(),
        *(net_and_architecture((3, 4, 2))[1].header(rule) for rule in range(len(RULES))),
        net_and_architecture((3, 4, 2))[1].header(WEIGHTED=True),
        net_and_architecture((3, 4, 2))[1].header(WEIGHTED=False),
        net_and_architecture((3, 4, 2))[1].header(n_padded=32),
    ]
    assert len(set(variants)) == len(variants)
    assert net_and_architecture((3, 4, 2))[1].header() == net_and_architecture((3, 4, 2), random_state=9)[1].header(
        NO_UPDATE
    )


def test_architectures_are_equal_by_value():
    assert net_and_architecture((3, 4, 2))[1] == net_and_architecture((3, 4, 2))[1]
    assert (
        len(
            {net_and_architecture((3, 4, 2))[1], net_and_architecture((3, 4, 2))[1], net_and_architecture((3, 5, 2))[1]}
        )
        == 2
    )


def test_loss_width_is_the_number_of_outputs_in_the_mean():
    """LOSS_WIDTH is the number of outputs that the loss is averaged over."""
    width = lambda header: int(re.search(r"LOSS_WIDTH = (\d+)", header)[1])
    assert width(net_and_architecture((3, 4, 5), loss="softmax_cross_entropy")[1].header()) == 1
    assert width(net_and_architecture((3, 4, 5))[1].header()) == 5


def test_headers_say_which_rules_compare_losses():
    header = net_and_architecture((3, 4, 2))[1].header
    compares = lambda rule: "constexpr bool COMPARES = true;" in header(rule)
    assert [compares(rule) for rule in range(len(RULES))] == [row.compares_loss for row in RULES]
    assert any(row.compares_loss for row in RULES)
    assert "constexpr bool COMPARES = false;" in header(NO_UPDATE)
