"""Options of `fastmlp train`: their defaults and help. Their effects are tested in test_train.py."""

from __future__ import annotations

from dataclasses import fields

import pytest
from typer.testing import CliRunner

from fastmlp.commands.cli import app
from fastmlp.commands.train_options import OF_RECIPE, Quality, TrainOptions
from fastmlp.table_training.recipes import QUALITIES


def test_options_that_are_not_given_are_those_of_the_preset():
    assert [row.value for row in Quality] == list(QUALITIES)
    for quality in Quality:
        assert TrainOptions("table.csv", "y", quality=quality).recipe() == QUALITIES[quality.value]
    assert TrainOptions("table.csv", "y").recipe() == QUALITIES["good"]


GIVEN = {"hidden": "7,5", "n_nets": 3, "dropout": 0.25, "learning_rate": 0.5, "epochs": 9, "validation": 0.4}


@pytest.mark.parametrize("option", GIVEN)
def test_each_option_of_nets_reaches_the_recipe(option):
    recipe = TrainOptions("table.csv", "y", **{option: GIVEN[option]}).recipe()
    (name,) = (name for name, text in OF_RECIPE.items() if text == f"--{option.replace('_', '-')}")
    assert getattr(recipe, name) == ((7, 5) if option == "hidden" else GIVEN[option])


def test_help_names_every_option_and_the_interrupted_file():
    result = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "160", "TERMINAL_WIDTH": "160"})
    assert result.exit_code == 0
    words = " ".join(result.stdout.split())
    names = [row.name for row in fields(TrainOptions) if row.name not in ("file", "ids")]
    for option in (*(f"--{name.replace('_', '-')}" for name in names), "--id", "OUTPUT.interrupted"):
        assert option in words
    assert len(names) + 1 <= 24
    assert "class" not in words.split("--hidden")[1].split("--dropout")[0], "no Python types"


def test_help_lists_choices_of_arguments():
    """Choices are in the help text, since some versions of Typer show a parser's name instead."""
    from fastmlp.commands.cli import BenchGroup, Experiment

    for command, choices in (("reproduce", Experiment), ("bench", BenchGroup)):
        help_text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "160", "TERMINAL_WIDTH": "160"}).stdout
        assert all(choice.value in help_text for choice in choices)
