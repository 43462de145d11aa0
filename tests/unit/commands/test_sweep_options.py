"""Options of `fastmlp sweep`: what they share with those of `fastmlp train`, and their help."""

from typer.testing import CliRunner

from fastmlp.commands.cli import app
from fastmlp.commands.sweep_options import SweepOptions
from fastmlp.commands.train_options import Quality, TrainOptions


def test_options_that_are_not_searched_are_those_of_train():
    options = SweepOptions("table.csv", "y", epochs=7, drop=["a"], ids=["b"], seed=3)
    given = {"quality": Quality.fast, "epochs": 7, "validation": 0.2, "drop": ["a"], "ids": ["b"], "seed": 3}
    assert options.of_nets() == TrainOptions("table.csv", "y", **given)


def test_help_names_every_option():
    result = CliRunner().invoke(app, ["sweep", "--help"], env={"COLUMNS": "160", "TERMINAL_WIDTH": "160"})
    assert result.exit_code == 0
    for option in ("--n", "--cv", "--workers", "--dask", "--output", "--id", "Ctrl-C ends the search"):
        assert option in " ".join(result.stdout.split())
