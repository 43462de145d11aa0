"""Options of commands: some of a test on top of those that all tests of its module have."""

from collections.abc import Iterable
from typing import Any


def with_defaults(defaults: list[str], options: Iterable[Any]) -> list[str]:
    """Return options as text after those defaults that they do not give; defaults : options with one value each"""
    given = [str(word) for word in options]
    pairs = zip(defaults[::2], defaults[1::2], strict=True)
    return [word for pair in pairs if pair[0] not in given for word in pair] + given
