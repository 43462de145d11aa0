"""Options by the kind of their values, and the parsers of these values.

A parser converts the text of the command line, or raises BadParameter with a full sentence. Typer's own conversion
would use the messages of the library beneath it.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from enum import Enum
from math import isfinite
from typing import Any, NoReturn, TypeVar

import typer


class Choices(str, Enum):
    """Base class of the values of an option: its members' text is their value.

    Before version 0.29, Typer looked for that text among the values after a parser had found the member already.
    """

    def __str__(self) -> str:
        return str(self.value)


Choice = TypeVar("Choice", bound=Choices)
MOST = 1_000_000_000  # largest count: the records of more epochs, or a layer of more units, fit into no memory
MOST_SEED = 2**63 - 1


def _shown(text: Any) -> str:
    shown = repr(str(text))
    return shown if len(shown) < 60 else f"{shown[:50]} ..."


def _refuse(expected: str, got: Any) -> NoReturn:
    raise typer.BadParameter(f"expected {expected}, but got {_shown(got)}")


def whole_number(at_least: int, at_most: int = MOST) -> Callable[[Any], int]:
    """Return a parser of whole numbers from `at_least` to `at_most`, both included."""

    def parse(text: Any) -> int:
        try:
            value = int(str(text))
        except ValueError:
            value = at_least - 1
        if not at_least <= value <= at_most:
            _refuse(f"a whole number from {at_least:,} to {at_most:,}", text)
        return value

    return parse


def number(text: Any) -> float:
    """Parse a finite number. The function that takes the option checks its range."""
    try:
        value = float(str(text))
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        _refuse("a number such as 0.003", text)
    return value


def share(text: Any) -> float:
    """Parse a number from 0 to below 1."""
    value = number(text)
    if not 0.0 <= value < 1.0:
        _refuse("a share from 0 to below 1", text)
    return value


def layer_sizes(text: str, option: str = "--hidden") -> tuple[int, ...]:
    """Return the numbers of units in a text such as "256,256"; an empty text means no hidden layer.

    This is no parser for Typer: the command calls it.
    """
    try:
        sizes = tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        sizes = (0,)
    if any(size > MOST for size in sizes):
        raise typer.BadParameter(
            f"expected at most {MOST:,} units in a layer, but got {_shown(text)}, which is too large", param_hint=option
        )
    if any(size < 1 for size in sizes):
        raise typer.BadParameter(
            f"expected numbers of units such as 256,128, but got {_shown(text)}", param_hint=option
        )
    return sizes


def choice(choices: type[Choice]) -> Callable[[Any], Choice]:
    """Return a parser of the values of `choices`."""
    names = [member.value for member in choices]

    def parse(text: Any) -> Choice:
        if isinstance(text, choices):
            return text
        if text in names:
            return choices(text)
        near = get_close_matches(str(text).lower(), names, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise typer.BadParameter(f"expected one of {', '.join(names)}, but got {text!r}{hint}")

    return parse


# ---- options for the annotation of a command's parameter: Annotated[int, integer_option("Rows per training step.", 1)]


def integer_option(help: str, at_least: int, at_most: int = MOST) -> Any:
    return typer.Option(parser=whole_number(at_least, at_most), metavar="INTEGER", help=help)


def number_option(help: str) -> Any:
    return typer.Option(parser=number, metavar="NUMBER", help=help)


def fraction_option(help: str) -> Any:
    """Return an option whose value is a number from 0 to below 1."""
    return typer.Option(parser=share, metavar="NUMBER", help=help)


def name_option(help: str) -> Any:
    return typer.Option(metavar="NAME", help=help)


def column_option(help: str, *flags: str) -> Any:
    """Return an option whose value is the name of a column of a table."""
    return typer.Option(*flags, metavar="COLUMN", help=help)


def file_option(help: str) -> Any:
    return typer.Option(metavar="FILE", help=help)


def file_argument(help: str) -> Any:
    return typer.Argument(metavar="FILE", help=help)


def model_argument(help: str) -> Any:
    return typer.Argument(metavar="MODEL", help=help)


def choice_option(choices: type[Enum], help: str, *flags: str) -> Any:
    """Return an option whose value is one of a few names; `--help` shows them all."""
    names = "|".join(member.value for member in choices)
    return typer.Option(*flags, parser=choice(choices), metavar=names, help=help)


def choice_argument(choices: type[Enum], metavar: str, help: str) -> Any:
    return typer.Argument(parser=choice(choices), metavar=metavar, help=help)


device_option = typer.Option(metavar="auto|cpu|cuda", help="Where to compute.")
memory_limit_option = typer.Option(
    metavar="BYTES",
    help="Bytes of the table in memory, such as 300MB; a larger one is read in pieces. Not given: by what is free.",
)
