"""Configurations of `tune`: what is drawn, which of them are trained together, and that the space is sound."""

import numpy as np

from fastmlp.table_training.recipes import QUALITIES, Recipe
from fastmlp.table_training.tuning_configurations import (
    PER_NET,
    SHARED,
    SPACE,
    configurations,
    groups_of_recipes,
    joint_recipe,
)
from fastmlp.tables.number_columns import NumericEncoding

N_ROWS = 4000


def drawn(n=50, searched=SPACE, recipe=QUALITIES["good"]):
    return configurations(recipe, searched, n, N_ROWS, np.random.default_rng(0))


def test_the_first_configuration_is_the_recipe():
    recipe = QUALITIES["good"]
    first, *others = drawn()
    assert first == {name: getattr(recipe, name) for name in SPACE}
    assert all(row != first and row.keys() == first.keys() for row in others)


def test_only_what_is_searched_is_drawn():
    rows = drawn(searched=["dropout", "numeric_encoding"])
    assert {frozenset(row) for row in rows} == {frozenset({"dropout", "numeric_encoding"})}


def test_values_lie_in_the_ranges():
    rows = drawn(n=300)
    for name, choices in PER_NET.items():
        values = [row[name] for row in rows]
        assert choices.low <= min(values) < max(values) <= choices.high
        assert len(set(values)) == len(values)
    for name in SHARED.keys() - {"batch_size"}:
        assert {row[name] for row in rows} == set(SHARED[name])
    assert {row["batch_size"] for row in rows} == {"auto", 32, 128}  # of 64 rows, the recipe's batch


def test_the_space_holds_the_presets_and_valid_values():
    """Otherwise no drawn configuration could be a neighbour of the preset."""
    for recipe in QUALITIES.values():
        for name, choices in PER_NET.items():
            assert choices.low <= getattr(recipe, name) <= choices.high
        for name in SHARED.keys() - {"batch_size"}:
            assert getattr(recipe, name) in SHARED[name]
    for kind in SHARED["numeric_encoding"]:
        NumericEncoding(kind)


def test_several_nets_share_a_population():
    rows = drawn(n=20)
    recipes = [Recipe(**row) for row in rows]
    encodings = [SHARED["numeric_encoding"].index(recipe.numeric_encoding) for recipe in recipes]
    groups = groups_of_recipes(recipes, encodings)
    assert sorted(k for group in groups for k in group) == list(range(20))
    assert len(groups) <= 5
    for group in groups:
        assert len({(recipes[k].hidden, recipes[k].batch_size, encodings[k]) for k in group}) == 1


def test_a_rate_for_each_layer_needs_a_net_of_its_own():
    recipes = [Recipe(dropout=[0.1, 0.2, 0.3], learning_rate=rate) for rate in (0.1, 0.2)]
    assert groups_of_recipes(recipes, [0, 0]) == [[0], [1]]


def test_a_joint_recipe_has_an_array_of_each_setting_of_nets():
    joint = joint_recipe([Recipe(dropout=0.1), Recipe(dropout=0.3)])
    np.testing.assert_array_equal(joint.dropout, [0.1, 0.3])
    np.testing.assert_array_equal(joint.weight_decay, [Recipe().weight_decay] * 2)
    assert joint_recipe([Recipe(dropout=0.1)]) == Recipe(dropout=0.1)
