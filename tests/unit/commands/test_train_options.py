"""Options of `fastmlp train`: their defaults and help. Their effects are tested in test_train.py."""

from __future__ import annotations

import inspect
from dataclasses import fields

from typer.testing import CliRunner

from fastmlp.commands.cli import app
from fastmlp.commands.train import TrainSettings
from fastmlp.commands.train_options import train


def test_defaults_of_options_equal_train_settings():
    options = {name: parameter.default for name, parameter in inspect.signature(train).parameters.items()}
    as_text = {"hidden": "256,256", "ids": [], "drop": [], "keep": []}
    for field in fields(TrainSettings):
        if field.name != "target":
            default = getattr(options[field.name], "value", options[field.name])
            assert default == as_text.get(field.name, field.default), field.name


def test_help_names_every_option_and_the_interrupted_file():
    result = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "160", "TERMINAL_WIDTH": "160"})
    assert result.exit_code == 0
    words = " ".join(result.stdout.split())
    for option in ("--drop", "--keep", "--id", "--clip-norm", "--learning-rate", "OUTPUT.interrupted"):
        assert option in words
    assert "class" not in words.split("--hidden")[1].split("--activation")[0], "no Python types"


def test_help_lists_choices_of_arguments():
    """Choices are in the help text, since some versions of Typer show a parser's name instead."""
    from fastmlp.commands.cli import BenchGroup, Experiment

    for command, choices in (("reproduce", Experiment), ("bench", BenchGroup)):
        help_text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "160", "TERMINAL_WIDTH": "160"}).stdout
        assert all(choice.value in help_text for choice in choices)
