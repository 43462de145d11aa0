"""Options of the `fastmlp` command that are unknown, or given twice.

For an unknown option, the message names the option that is meant, if that is clear.

The library beneath Typer suggests options that merely look alike: --drop for --lr.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import typer
from typer.core import TyperCommand

from ..errors import likely_name
from .exit_status import errors_as_sentences

MIN_SIMILARITY = 0.75  # least similarity of two spellings for a hint: that of most typing errors
HIDDEN = ("hidden_layer_sizes", "hidden_sizes", "layer_sizes", "layers", "units")  # other names of --hidden


class Command(TyperCommand):
    """Command whose errors are sentences. It refuses repeated options, and has a hint for an unknown one."""

    def invoke(self, ctx: Any) -> Any:
        with errors_as_sentences():
            return super().invoke(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            self._refuse_repeated(ctx, args)
            return super().parse_args(ctx, args)
        except Exception as error:
            if type(error).__name__ == "NoSuchOption":  # of Click, or of the copy of Click within Typer
                self._explain(error)
            raise

    def _refuse_repeated(self, ctx: Any, args: list[str]) -> None:
        """Refuse an option of one value that is given more than once, of which the last would win in silence."""
        found: Any = self.make_parser(ctx).parse_args(args=list(args))
        takes_one = [row for row in found[2] if row.param_type_name == "option" and not (row.multiple or row.is_flag)]
        for option, n in Counter(map(_flag, takes_one)).items():
            if n > 1:
                text = f"it takes one value, but is given {'twice' if n == 2 else f'{n} times'}: leave out all but one"
                raise typer.BadParameter(text, ctx=ctx, param_hint=option)

    def _explain(self, error: Any) -> None:
        names = [option[2:] for parameter in self.params for option in parameter.opts if option.startswith("--")]
        hint = hint_of(error.option_name.lstrip("-"), names)
        error.message, error.possibilities = f"No such option: {error.option_name}.{hint and ' ' + hint}", None


def _flag(option: Any) -> str:
    """Return the name of an option, such as --target."""
    flag: str = max(option.opts, key=len)
    return flag


def hint_of(name: str, options: list[str]) -> str:
    """Return a sentence about the option that is probably meant, or "".

    name, options : str     names without dashes before them

    >>> hint_of("lr", ["drop", "learning-rate"]), hint_of("xyz", ["drop"])
    ('Did you mean --learning-rate?', '')
    """
    settings = {option.replace("-", "_"): option for option in options}
    name = name.lower().replace("-", "_")
    meant = likely_name("hidden" if name in HIDDEN else name, list(settings), MIN_SIMILARITY)
    return "" if meant is None else f"Did you mean --{settings[meant]}?"
