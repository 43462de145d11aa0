"""Unknown options: hints from the aliases, and none of an option that merely looks alike."""

import pytest
from typer.testing import CliRunner

from fastmlp.commands.cli import app


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("--lr", "Did you mean --learning-rate?"),
        ("--bs", "Did you mean --batch-size?"),
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
