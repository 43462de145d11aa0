"""Options of `fastmlp train` that are settings of a recipe."""

import pytest

from fastmlp.commands.train_options import OF_RECIPE, TrainOptions
from fastmlp.table_training.recipes import QUALITIES


def test_options_that_are_not_given_are_those_of_the_preset():
    for quality, recipe in QUALITIES.items():
        assert TrainOptions("table.csv", "y", quality=quality).recipe() == recipe
    assert TrainOptions("table.csv", "y").recipe() == QUALITIES["good"]


GIVEN = {"hidden": (7, 5), "n_nets": 3, "dropout": 0.25, "learning_rate": 0.5, "epochs": 9, "validation": 0.4}


@pytest.mark.parametrize("option", GIVEN)
def test_each_option_of_nets_reaches_the_recipe(option):
    recipe = TrainOptions("table.csv", "y", **{option: GIVEN[option]}).recipe()
    (name,) = (name for name, text in OF_RECIPE.items() if text == f"--{option.replace('_', '-')}")
    assert getattr(recipe, name) == GIVEN[option]
