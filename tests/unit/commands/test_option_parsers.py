"""Parsers of option values: accepted values, and readable messages for invalid ones."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from fastmlp.commands import cli
from fastmlp.commands.cli import app
from fastmlp.commands.option_parsers import MOST_SEED, Choices, choice, layer_sizes, number, share, whole_number
from fastmlp.commands.train_options import Quality, Task


class Colour(Choices):
    red = "red"
    blue = "blue"


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (whole_number(1), "12", 12),
        (whole_number(0), 0, 0),
        (whole_number(0, MOST_SEED), str(MOST_SEED), MOST_SEED),
        (number, "1e-3", 1e-3),
        (number, 3, 3.0),
        (share, "0", 0.0),
        (layer_sizes, "256, 12", (256, 12)),
        (layer_sizes, " ", ()),
        (choice(Colour), "red", Colour.red),
        (choice(Colour), Colour.red, Colour.red),
    ],
)
def test_valid_option_values_are_parsed(parse, text, value):
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (whole_number(1), "0", "expected a whole number from 1 to 1,000,000,000, but got '0'"),
        (whole_number(1), "1.5", "but got '1.5'"),
        (whole_number(1), 10**13, "but got '10000000000000'"),
        (whole_number(1), "9" * 400, "9 ..."),
        (whole_number(0, MOST_SEED), str(MOST_SEED + 1), "to 9,223,372,036,854,775,807"),
        (number, "abc", "expected a number such as 0.003, but got 'abc'"),
        (number, "nan", "but got 'nan'"),
        (number, "1e999", "but got '1e999'"),
        (share, "1", "expected a share from 0 to below 1, but got '1'"),
        (layer_sizes, "16,0", "expected numbers of units such as 256,128"),
        (
            layer_sizes,
            f"8,{2**62}",
            "expected at most 1,000,000,000 units in a layer, but got '8,4611686018427387904', which is",
        ),
        (choice(Colour), "bleu", "expected one of red, blue, but got 'bleu'; did you mean 'blue'?"),
    ],
)
def test_invalid_option_values_raise(parse, text, words):
    with pytest.raises(typer.BadParameter) as caught:
        parse(text)
    assert words in caught.value.message
    assert len(caught.value.message) < 150


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "t.csv", "--target", "y", "--epochs", "0"],
        ["train", "t.csv", "--target", "y", "--epochs", "1" + "0" * 400],
        ["train", "t.csv", "--target", "y", "--learning-rate", "fast"],
        ["train", "t.csv", "--target", "y", "--task", "other"],
        ["train", "t.csv", "--target", "y", "--seed", "-1"],
        ["train", "t.csv", "--target", "y", "--hidden", "1" + "0" * 400],
        ["xor", "--nets", "many"],
        ["xor", "--nets", "10000000000000"],
        ["reproduce", "--nets", "1"],
        ["reproduce", "parrity"],
        ["bench", "xorr"],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_invalid_options_get_readable_messages(arguments):
    """No message of a library is shown, such as "Input should be greater than or equal to 1" or "Value error, ..."."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    output = " ".join(result.output.split())
    assert "expected" in output
    assert "Input should" not in output
    assert "Value error" not in output


def test_the_text_of_a_choice_is_its_value():
    """Typer before 0.29 looks for it among the values, also after a parser; without it an option became None."""
    kinds = (Colour, cli.Experiment, cli.BenchGroup, Quality, Task)
    assert all(str(member) == member.value for kind in kinds for member in kind)
