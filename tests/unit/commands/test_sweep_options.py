"""Options of `fastmlp sweep`: what they share with those of `fastmlp train`, and their help."""

from typer.testing import CliRunner

from fastmlp.commands.cli import app
from fastmlp.commands.sweep_options import SweepOptions
from fastmlp.commands.train_settings import TrainSettings


def test_settings_that_are_not_searched_are_those_of_train():
    options = SweepOptions("table.csv", "y", epochs=7, drop=["a"], ids=["b"], seed=3)
    assert options.settings() == TrainSettings(
        "y", quality="fast", clip_norm=0.0, epochs=7, validation=0.2, patience=16, drop=("a",), ids=("b",), seed=3
    )


def test_help_names_every_option():
    result = CliRunner().invoke(app, ["sweep", "--help"], env={"COLUMNS": "160", "TERMINAL_WIDTH": "160"})
    assert result.exit_code == 0
    for option in ("--n", "--cv", "--workers", "--dask", "--output", "--id", "Ctrl-C ends the search"):
        assert option in " ".join(result.stdout.split())
