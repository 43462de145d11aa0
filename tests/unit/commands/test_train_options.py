"""fastmlp.commands.train_options: the options of `fastmlp train`. What it does with them is in test_train_job.py."""

from __future__ import annotations

from dataclasses import fields

from typer.testing import CliRunner

from fastmlp.commands.cli import app
from fastmlp.commands.train_options import TrainOptions
from fastmlp.commands.train_settings import TrainSettings


def test_defaults_are_those_of_the_settings():
    assert TrainOptions("table.csv", "y").settings() == TrainSettings("y")
    assert {row.name for row in fields(TrainOptions)} - {row.name for row in fields(TrainSettings)} == {
        "file",
        "test",
        "output",
    }


def test_help_names_every_option_and_what_an_interruption_leaves():
    result = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "160", "TERMINAL_WIDTH": "160"})
    assert result.exit_code == 0
    words = " ".join(result.stdout.split())
    for option in ("--drop", "--keep", "--id", "--clip-norm", "--learning-rate", "OUTPUT.interrupted"):
        assert option in words
    assert "class" not in words.split("--hidden")[1].split("--activation")[0], "no Python types"


def test_arguments_list_their_choices():
    """As text, since a parser takes their type's place in the help of some versions of Typer."""
    from fastmlp.commands.cli import BenchGroup, Experiment

    for command, choices in (("reproduce", Experiment), ("bench", BenchGroup)):
        said = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "160", "TERMINAL_WIDTH": "160"}).stdout
        assert all(choice.value in said for choice in choices)
