"""Unknown options: hints from the aliases, and none of an option that merely looks alike."""

import pytest
from typer.testing import CliRunner

from fastmlp.commands.cli import app


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("--lr", "Did you mean --learning-rate?"),
        ("--max-iter", "Did you mean --epochs?"),
        ("--hidden-layer-sizes", "Did you mean --hidden?"),
        ("--epoch", "Did you mean --epochs?"),
        ("--loss", "The task decides the loss: squared error for --task regression"),
        ("--colour", ""),
    ],
)
def test_hint_names_the_option_that_is_meant(option, hint):
    found = CliRunner().invoke(app, ["train", "houses.csv", "--target", "price", option, "1"])
    assert found.exit_code == 2
    text = " ".join(found.output.replace("│", " ").split())
    assert f"No such option: {option}." in text
    assert hint in text
    assert "Possible options" not in text
    assert ("Did you mean" in text) == hint.startswith("Did you mean")


def test_loss_is_explained_only_where_there_is_a_task():
    found = CliRunner().invoke(app, ["xor", "--loss", "mse"])
    assert "No such option: --loss." in " ".join(found.output.split())
    assert "task" not in found.output


@pytest.mark.parametrize(
    ("arguments", "option", "times"),
    [
        (["train", "houses.csv", "--target", "price", "--target", "age"], "--target", "twice"),
        (
            ["train", "houses.csv", "--target=price", "--epochs", "3", "--epochs=3", "--epochs", "4"],
            "--epochs",
            "3 times",
        ),
        (["predict", "m", "houses.csv", "--output", "a.csv", "--output", "b.csv"], "--output", "twice"),
        (["xor", "--nets", "3", "--nets", "4"], "--nets", "twice"),
    ],
)
def test_an_option_of_one_value_that_is_repeated_is_refused(arguments, option, times):
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 2
    text = " ".join(found.output.replace("│", " ").split())
    assert f"Invalid value for {option}: it takes one value, but is given {times}: leave out all but one" in text


def test_options_that_are_to_be_repeated_are_not_refused(tmp_path):
    missing = str(tmp_path / "no.csv")
    given = ["train", missing, "--target", "y", "--drop", "a", "--drop", "b", "--id", "c", "--id", "d", "--resume"]
    found = CliRunner().invoke(app, [*given, "--keep", "e", "--keep", "f", "--resume", "--checkpoint", "k"])
    assert found.exit_code == 1
    assert "There is no file" in " ".join(found.output.split())
