"""Commands in tests: their options, some on top of those that all tests of a module have, and what they say."""

from collections.abc import Iterable
from typing import Any

from typer.testing import CliRunner

from fastmlp.commands.cli import app


def with_defaults(defaults: list[str], options: Iterable[Any]) -> list[str]:
    """Return options as text after those defaults that they do not give; defaults : options with one value each"""
    given = [str(word) for word in options]
    pairs = zip(defaults[::2], defaults[1::2], strict=True)
    return [word for pair in pairs if pair[0] not in given for word in pair] + given


def run_command(*arguments, code=0):
    """Run `fastmlp` with these arguments, check its exit status, and return what it says, on one line."""
    done = CliRunner().invoke(app, [str(word) for word in arguments])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())
