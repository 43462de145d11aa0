"""Recipes and their presets."""

import pytest

from fastmlp.table_training.recipes import LEAST_OWN_FOLDS, MOST_OWN_FOLDS, QUALITIES, Recipe, recipe_of

N_GOOD = QUALITIES["good"].n_nets


@pytest.mark.parametrize("quality", QUALITIES)
def test_presets_are_valid_and_a_given_setting_takes_the_place_of_theirs(quality):
    assert recipe_of(quality, {}) == QUALITIES[quality]
    found = recipe_of(quality, {"n_nets": 3})
    assert (found.n_nets, found.dropout) == (3, QUALITIES[quality].dropout)


@pytest.mark.parametrize(
    "quality, given, n_nets, n_folds",
    [
        ("good", {}, 1, N_GOOD),
        ("good", {"n_nets": 7}, 1, 7),
        ("good", {"n_nets": MOST_OWN_FOLDS + 1}, MOST_OWN_FOLDS + 1, 1),
        ("good", {"n_nets": LEAST_OWN_FOLDS - 1}, LEAST_OWN_FOLDS - 1, 1),
        ("good", {"n_nets": 1}, 1, 1),
        ("good", {"n_folds": 1}, N_GOOD, 1),
        ("good", {"n_folds": 3}, N_GOOD, 3),
        ("good", {"validation_fraction": 0.2}, N_GOOD, 1),
        ("fast", {"n_nets": 4}, 4, 1),
        ("best", {}, 2, 10),
    ],
)
def test_each_net_of_good_has_a_fold_unless_a_setting_says_what_is_held_out(quality, given, n_nets, n_folds):
    recipe = recipe_of(quality, given)
    found = recipe.with_own_folds(1000)
    assert (found.n_nets, found.n_folds) == (n_nets, n_folds)
    assert found.with_own_folds(1000) == found
    if found != recipe:
        assert recipe.with_own_folds(recipe.n_nets) == found
        assert recipe.with_own_folds(recipe.n_nets - 1) == recipe, "each fold needs a row"


@pytest.mark.parametrize(
    "setting, words",
    [
        ({"n_nets": 0}, "n_nets must be a whole number"),
        ({"n_folds": 1.5}, "n_folds must be a whole number"),
        ({"epochs": -1}, "max_iter must be a whole number"),
        ({"batch_size": "big"}, "batch_size must be a whole number"),
        ({"validation_fraction": 1.0}, "validation_fraction must be"),
        ({"weight_decay": -1.0}, "weight_decay must be"),
        ({"validation_fraction": 0.1, "n_folds": 4}, "--validation is given, but with 4 folds each fold is held out"),
    ],
)
def test_invalid_settings_are_refused_under_the_names_of_the_user(setting, words):
    with pytest.raises(ValueError, match=words):
        recipe_of("fast", setting, {"epochs": "max_iter", "validation_fraction": "--validation"})


CLASSES, LABELS, NUMBERS = "softmax_cross_entropy", "binary_cross_entropy", "squared_error"


@pytest.mark.parametrize(
    "settings, loss, activation, smoothing",
    [
        ({}, CLASSES, "silu", 0.1),
        ({}, LABELS, "relu", 0.0),
        ({}, NUMBERS, "relu", 0.0),
        ({"activation": "tanh", "label_smoothing": 0.3}, CLASSES, "tanh", 0.3),
        ({"activation": "tanh"}, NUMBERS, "tanh", 0.0),
        ({"validation_fraction": 0.0}, CLASSES, "silu", 0.0),
        ({"validation_fraction": 0.0, "n_folds": 3}, CLASSES, "silu", 0.1),
    ],
)
def test_classes_have_an_activation_of_their_own_and_smoothed_targets(settings, loss, activation, smoothing):
    """Smoothed targets make probabilities too small, which calibration mends."""
    recipe = Recipe(**settings)
    assert (recipe.activation_for(loss), recipe.label_smoothing_for(loss)) == (activation, smoothing)
