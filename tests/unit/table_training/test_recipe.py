"""Recipes and their presets."""

from dataclasses import fields

import pytest

from fastmlp.table_training.recipe import QUALITIES, Recipe, is_auto, recipe_of


@pytest.mark.quick
@pytest.mark.parametrize("quality", QUALITIES)
def test_presets_are_valid_and_a_given_setting_takes_the_place_of_theirs(quality):
    assert QUALITIES[quality].checked() == QUALITIES[quality]
    assert recipe_of(quality, {field.name: "auto" for field in fields(Recipe)}) == QUALITIES[quality]
    found = recipe_of(quality, {"n_nets": 3, "dropout": "auto"})
    assert (found.n_nets, found.dropout) == (3, QUALITIES[quality].dropout)


@pytest.mark.parametrize("quality", ["better", None, 3])
def test_unknown_presets_are_refused(quality):
    with pytest.raises(ValueError, match="Unknown quality"):
        recipe_of(quality, {})


@pytest.mark.parametrize(
    "setting, words",
    [
        ({"n_nets": 0}, "n_nets must be a whole number"),
        ({"n_folds": 1.5}, "n_folds must be a whole number"),
        ({"epochs": -1}, "max_iter must be a whole number"),
        ({"batch_size": "big"}, "batch_size must be a whole number"),
        ({"validation_fraction": 1.0}, "validation_fraction must be"),
        ({"weight_decay": -1.0}, "weight_decay must be"),
        ({"calibration": "heat"}, "Unknown calibration"),
    ],
)
def test_invalid_settings_are_refused_under_the_names_of_the_user(setting, words):
    with pytest.raises(ValueError, match=words):
        Recipe(**setting).checked({"epochs": "max_iter"})


def test_auto_is_no_array():
    import numpy as np

    assert is_auto("auto")
    assert not is_auto(np.array([0.1, 0.2]))
    assert not is_auto(None)
