"""Options of `fastmlp train`: their defaults and help. Their effects are tested in test_train.py."""

from __future__ import annotations

from dataclasses import fields

from typer.testing import CliRunner

from fastmlp.commands.cli import app
from fastmlp.commands.train_options import Quality, TrainOptions
from fastmlp.commands.train_settings import TrainSettings
from fastmlp.table_training.recipes import QUALITIES


def test_defaults_of_options_equal_train_settings():
    assert TrainOptions("table.csv", "y").settings() == TrainSettings("y")
    assert {row.name for row in fields(TrainOptions)} - {row.name for row in fields(TrainSettings)} == {
        "file",
        "test",
        "output",
        "checkpoint",
        "every",
        "resume",
        "continue_from",
    }


def test_names_of_presets_are_those_of_the_table():
    assert [row.value for row in Quality] == list(QUALITIES)
    assert TrainOptions("table.csv", "y").settings().recipe() == QUALITIES["good"]


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
