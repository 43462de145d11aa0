"""Input embeddings: entries for all columns of a net, the blocks that they make, and refusals in words."""

import json

import numpy as np
import pytest

from fastmlp import MLP, CategoryEmbedding, PeriodicEmbedding, PiecewiseLinearEmbedding
from fastmlp.network.embeddings import InputEmbedding
from fastmlp.network.spec import Network

MIXED = [PeriodicEmbedding(4, 2, n_inputs=2), CategoryEmbedding(3, 5)]


def build(layer_sizes=(3, 4, 5, 2), **settings):
    plain = {"hidden_activation": "relu", "output_activation": None, "loss": "squared_error", "dropout": 0.0, "l2": 0.0}
    return Network.build(layer_sizes, **plain | {"label_smoothing": 0.0, "loss_constants": {}} | settings)


def test_periodic_embedding_has_a_block_for_each_input():
    network = build(input_embedding=PeriodicEmbedding(n_frequencies=4, size=2))
    assert network.layer_sizes == (3, 12, 6, 4, 5, 2)
    assert network.blocks == (((1, 4),) * 3, ((4, 2),) * 3, None, None, None)
    assert (network.n_embedding_layers, network.n_hidden_layers) == (2, 2)
    assert network.dropout == (0.0,) * 4
    assert network.block_slices(1)[2] == (slice(8, 12), slice(4, 6))
    assert network.block_slices(3) == [(slice(0, 4), slice(0, 5))]


def test_categories_have_one_layer_and_kept_columns_a_weight_each():
    network = build(layer_sizes=(7, 4, 1), input_embedding=[2, CategoryEmbedding(3, 2), 2])
    assert network.layer_sizes == (7, 6, 4, 1)
    assert network.blocks[0] == ((1, 1), (1, 1), (3, 2), (1, 1), (1, 1))


def test_categories_beside_numbers_have_two_layers():
    network = build(layer_sizes=(5, 4, 1), input_embedding=MIXED)
    assert network.layer_sizes == (5, 13, 9, 4, 1)
    assert network.blocks[:2] == (((1, 4), (1, 4), (3, 5)), ((4, 2), (4, 2), (5, 5)))


def test_a_number_with_bins_has_one_block():
    network = build(layer_sizes=(9, 4, 1), input_embedding=[PiecewiseLinearEmbedding(5, 3), 1, CategoryEmbedding(3, 2)])
    assert network.layer_sizes == (9, 6, 4, 1)
    assert network.blocks[0] == ((5, 3), (1, 1), (3, 2))


def test_entry_without_n_inputs_takes_the_remaining_columns():
    embedding = InputEmbedding.of([CategoryEmbedding(3, 2), PeriodicEmbedding()], 10)
    assert embedding.entries[1].n_inputs == 7


def test_dropout_and_activations_are_those_of_the_hidden_layers():
    network = build(input_embedding=PeriodicEmbedding(), dropout=(0.1, 0.2), hidden_activation=("tanh", "gelu"))
    assert network.dropout == (0.0, 0.0, 0.1, 0.2)
    assert network.arguments()["hidden_activation"] == ["tanh", "gelu"]


@pytest.mark.parametrize(
    "given",
    (PeriodicEmbedding(sigma=2.0), [CategoryEmbedding(2, 1), 1], [PiecewiseLinearEmbedding(3)]),
    ids=("one", "list", "bins"),
)
def test_arguments_build_an_equal_network_through_json(given):
    network = build(input_embedding=given)
    assert build(**json.loads(json.dumps(network.arguments()))) == network


def test_arguments_of_a_plain_net_have_no_embedding():
    assert "input_embedding" not in build().arguments()
    assert build().blocks == (None, None, None)
    assert not build().has_blocks


def test_numbers_of_numpy_are_counts():
    embedding = PeriodicEmbedding(np.int64(3), np.int32(2), np.float32(0.5))
    json.dumps(InputEmbedding.of(embedding, 3).to_list())


def test_outside_blocks_are_all_weights_that_no_block_has():
    network = build(layer_sizes=(5, 4, 1), input_embedding=MIXED)
    first, second = network.layout.weights(network.outside_blocks)[:2]
    assert first.sum() == 5 * 13 - (4 + 4 + 15)
    assert second.sum() == 13 * 9 - (8 + 8 + 25)
    assert first[0].tolist() == [False] * 4 + [True] * 9
    assert first[4].tolist() == [True] * 8 + [False] * 5
    assert network.outside_blocks.sum() == first.sum() + second.sum(), "no bias, no other layer"


BAD = [
    ("periodic", "must be a PeriodicEmbedding, or a list .* but it has 'periodic'"),
    (True, "but it has True"),
    (2.0, "but it has 2.0"),
    ({"kind": "PeriodicEmbedding"}, "but it has {'kind'"),
    ({"kind": "Other", "size": 2}, "but it has {'kind'"),
    ([], r"each of the 3 inputs of the net, .* entries take 0 inputs \(none\)"),
    ([CategoryEmbedding(2, 1)], r"entries take 2 inputs \(CategoryEmbedding 2\)"),
    (
        [CategoryEmbedding(3, 1), PeriodicEmbedding()],
        r"take 3 inputs \(CategoryEmbedding 3, PeriodicEmbedding the rest",
    ),
    ([PeriodicEmbedding(n_inputs=4)], "entries take 4 inputs"),
    ([PeriodicEmbedding(), PeriodicEmbedding()], "2 entries PeriodicEmbedding without n_inputs"),
    ([1, PeriodicEmbedding()], "only scales 1 column beside a PeriodicEmbedding"),
    ([-1, PeriodicEmbedding()], "must be a whole number of at least 1, but it is -1"),
    ([PiecewiseLinearEmbedding(2), PeriodicEmbedding()], "a PiecewiseLinearEmbedding beside a PeriodicEmbedding"),
]


@pytest.mark.parametrize("given, message", BAD, ids=[str(given) for given, _ in BAD])
def test_embeddings_that_do_not_fit_raise(given, message):
    with pytest.raises(ValueError, match=message):
        build(input_embedding=given)


@pytest.mark.parametrize(
    "kind, settings, message",
    [
        (PeriodicEmbedding, {"n_frequencies": 0}, "n_frequencies must be a whole number of at least 1"),
        (PeriodicEmbedding, {"size": 1.5}, "size must be a whole number"),
        (PeriodicEmbedding, {"sigma": 0.0}, "sigma must be a number"),
        (PeriodicEmbedding, {"sigma": float("nan")}, "sigma must be a number"),
        (PeriodicEmbedding, {"n_inputs": 0}, "n_inputs must be a whole number"),
        (CategoryEmbedding, {"n_categories": 0, "size": 2}, "n_categories must be a whole number"),
        (CategoryEmbedding, {"n_categories": 2, "size": "2"}, "size must be a whole number"),
        (PiecewiseLinearEmbedding, {"n_inputs": 0}, "n_inputs must be a whole number"),
        (PiecewiseLinearEmbedding, {"n_inputs": 3, "size": 0}, "size must be a whole number"),
    ],
)
def test_settings_out_of_range_raise(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)


def test_absurd_numbers_of_columns_raise_before_memory_is_taken():
    with pytest.raises(ValueError, match=r"parameters of layers .* would take"):
        build(layer_sizes=(2**40, 1), input_embedding=PeriodicEmbedding())


def test_params_with_weights_outside_of_the_blocks_are_refused():
    net = MLP((3, 4, 1), input_embedding=PeriodicEmbedding(2, 2), random_state=0)
    params = net.params.copy()
    params[net.network.outside_blocks] = 1.0
    with pytest.raises(ValueError, match="36 weights outside of their blocks"):
        net.params = params
    net.params[:] = params  # a view cannot be watched; fit looks
    with pytest.raises(ValueError, match="36 weights outside of their blocks"):
        net.fit(np.zeros((4, 3)), np.zeros(4), verbose=0)


def test_all_columns_can_have_only_a_scale_and_a_shift(rng):
    net = MLP((3, 8, 1), input_embedding=[3], random_state=0)
    np.testing.assert_array_equal(net.weights[0], np.eye(3))
    np.testing.assert_array_equal(net.biases[0], 0.0)
    X = rng.normal(size=(64, 3))
    net.fit(X, X[:, 0] ** 2, epochs=3, optimizer="adam", verbose=0)
    scales = np.diag(net.weights[0])
    assert (scales != 1.0).all()
    np.testing.assert_array_equal(net.weights[0], np.diag(scales))
