"""Options by the kind of their values, and the parsers of these values.

A parser converts the text of the command line, or raises BadParameter with a full sentence. Typer's own conversion
would use the messages of the library beneath it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from math import nan, nextafter
from typing import Any

import typer

from ..errors import shown, unknown_name

MOST = 1_000_000_000  # largest count: the records of more epochs, or a layer of more units, fit into no memory
MOST_SEED = 2**63 - 1
LARGEST = sys.float_info.max


def number(kind: type, expected: str, low: float, high: float) -> Callable[[Any], Any]:
    """Return a parser of numbers from low to high, both included.

    kind : int or float
    expected : what the message says that was expected
    """

    def parse(text: Any) -> Any:
        try:
            value = kind(str(text))
        except ValueError:
            value = nan
        if not low <= value <= high:
            raise typer.BadParameter(f"expected {expected}, but got {shown(str(text))}")
        return value

    return parse


def layer_sizes(text: Any) -> tuple[int, ...]:
    """Parse numbers of units such as "256,128"; an empty text means no hidden layer."""
    parse = number(int, f"numbers of units from 1 to {MOST:,}, such as 256,128", 1, MOST)
    parts = text.split(",") if isinstance(text, str) else text
    return tuple(map(parse, parts)) if parts != [""] else ()


def one_of(kind: str, names: tuple[str, ...]) -> Callable[[str], str]:
    """Return a parser of names; kind : what they name, for the message"""

    def parse(text: str) -> str:
        if text not in names:
            raise typer.BadParameter(str(unknown_name(kind, text, names)))
        return text

    return parse


# ---- options for the annotation of a command's parameter: Annotated[int, integer_option("Rows per training step.", 1)]

model_argument = partial(typer.Argument, metavar="MODEL")
file_argument = partial(typer.Argument, metavar="FILE")
file_option = partial(typer.Option, metavar="FILE")
column_option = partial(typer.Option, metavar="COLUMN")
name_option = partial(typer.Option, metavar="NAME")
layers_option = partial(typer.Option, metavar="INTEGERS", parser=layer_sizes)
number_option = partial(
    typer.Option, metavar="NUMBER", parser=number(float, "a number such as 0.003", -LARGEST, LARGEST)
)
share_option = partial(
    typer.Option, metavar="NUMBER", parser=number(float, "a share from 0 to below 1", 0.0, nextafter(1.0, 0.0))
)
device_option = typer.Option(metavar="auto|cpu|cuda", help="Where to compute.")
memory_limit_option = typer.Option(
    metavar="BYTES",
    help="Bytes of the table in memory, such as 300MB; a larger one is read in pieces. Not given: by what is free.",
)


def integer_option(help: str, at_least: int, at_most: int = MOST) -> Any:
    expected = f"a whole number from {at_least:,} to {at_most:,}"
    return typer.Option(parser=number(int, expected, at_least, at_most), metavar="INTEGER", help=help)


def choice_option(kind: str, names: tuple[str, ...], help: str) -> Any:
    """Return an option whose value is one of a few names; `--help` shows them all."""
    return typer.Option(parser=one_of(kind, names), metavar="|".join(names), help=help)


def choice_argument(kind: str, names: tuple[str, ...], help: str) -> Any:
    help = f"{help}: {', '.join(names[:-1])} or {names[-1]}."
    return typer.Argument(parser=one_of(kind, names), metavar=kind.upper(), help=help)
