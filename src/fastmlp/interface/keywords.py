"""Keywords of functions: those of a table in signature and docstring, and errors that name what is meant.

`help`, notebooks and the reference show the keywords of a table as parameters, with their defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from inspect import Parameter, signature
from textwrap import wrap
from typing import Any, NamedTuple, TypeVar, cast, get_type_hints

from .docstrings import entries_of
from .likely_names import likely_name

Function = TypeVar("Function", bound=Callable[..., Any])
Class = TypeVar("Class", bound=type)
Documented = TypeVar("Documented", bound=Any)
MOST_CHARACTERS = 112  # of a line of names in a docstring


class Table(NamedTuple):
    """Table of keywords, of a TypedDict whose annotations have a row each, with the fields `default` and `check`.

    rows : of the keywords, in the order of the signature
    defaults : of the keywords, as checked values are
    texts : docstrings with the texts, of which the last one counts
    """

    rows: dict[str, Any]
    defaults: dict[str, Any]
    texts: list[str]

    @classmethod
    def of(cls, *kinds: type, **names: Iterable[str]) -> Table:
        """Return the table of the last of these TypedDicts; the others are its bases.

        names : what stands for words in braces in the texts
        """
        hints = get_type_hints(kinds[-1], include_extras=True)
        rows = {name: next(iter(hint.__metadata__)) for name, hint in hints.items()}
        texts = [kind.__doc__ or "" for kind in kinds]  # python -OO removes docstrings
        for word, of_word in names.items():
            lines = f"\n{' ' * 8}".join(wrap(", ".join(of_word), MOST_CHARACTERS))
            texts = [text.replace(f"{{{word}}}", lines) for text in texts]
        return cls(rows, {k: row.check(row.default) if row.check else row.default for k, row in rows.items()}, texts)

    def text(self, indent: int) -> str:
        """Return the texts of all keywords, as entries of a docstring; indent : spaces before each but the first"""
        entries: dict[str, str] = {}
        for doc in self.texts:
            entries |= entries_of(doc)
        lines = "\n".join(entries[name] for name in self.rows if name in entries).splitlines()
        return f"\n{' ' * indent}".join(lines)


def with_table(table: Table) -> Callable[[Function], Function]:
    """Return a decorator that puts the keywords of a table into the signature and the docstring of a function.

    The docstring has its texts in the place of the line {keywords}.
    """

    def decorated(function: Function) -> Function:
        written = signature(function)
        *parameters, packed = written.parameters.values()
        parameters += (Parameter(name, Parameter.KEYWORD_ONLY, default=row.default) for name, row in table.rows.items())
        function.__signature__ = written.replace(parameters=parameters)  # type: ignore[attr-defined]
        del function.__annotations__[packed.name]
        return with_texts(table, 8)(function)

    return decorated


def with_texts(table: Table, indent: int = 4) -> Callable[[Documented], Documented]:
    """Return a decorator that puts the texts of a table into the docstring of a class or function: for {keywords}."""

    def decorated(documented: Documented) -> Documented:
        if documented.__doc__ is not None:
            documented.__doc__ = documented.__doc__.replace("{keywords}", table.text(indent))
        return documented

    return decorated


def explains_names(function: Function) -> Function:
    """Decorate a function or method: a keyword that it does not know is refused with the name that is meant.

    Python's own error names the class that has the method, which users need not know, and has no hint. The signature,
    which scikit-learn reads, stays as it is.
    """
    first, *others = signature(function).parameters
    names = others if first == "self" else [first, *others]

    @wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        if named and not named.keys() <= set(names):
            unknown = next(name for name in named if name not in names)
            if first != "self":
                raise unknown_keyword(function.__name__, unknown, names)
            cls: Any = type(arguments[0])
            if function.__name__ == "__init__":
                if hasattr(cls, "fit") and unknown in list(signature(cls.fit).parameters)[1:]:
                    text = f"{cls.__name__}() got an unexpected keyword argument {unknown!r}."
                    raise TypeError(f"{text} It is an argument of fit: write fit(X, y, {unknown}=...).")
                raise unknown_keyword(cls.__name__, unknown, names)
            raise unknown_keyword(f"{cls.__name__}.{function.__name__}", unknown, names, cls)
        return function(*arguments, **named)

    return cast(Function, called)


def explains_parameters(cls: Class) -> Class:
    """Decorate a dataclass: its constructor explains names as explains_names does."""
    cls.__init__ = explains_names(cls.__init__)  # type: ignore[misc]
    return cls


NAMES_ELSEWHERE = {"eval_set": "validation_data"}  # of LightGBM and XGBoost


def unknown_keyword(function: str, name: str, names: Iterable[str], owner: type | None = None) -> TypeError:
    """Return the TypeError for a keyword that a function does not have, with a hint at the one that is meant.

    function : str     name of the function
    names : names of its parameters
    owner : class of a method, whose constructor may have the parameter

    >>> print(unknown_keyword("MLP.fit", "epoch", ["X", "y", "epochs"]))
    MLP.fit() got an unexpected keyword argument 'epoch'. Did you mean 'epochs'?
    """
    text = f"{function}() got an unexpected keyword argument {name!r}."  # Python's words, which programs look for
    cls, of_constructor = ("", []) if owner is None else (owner.__name__, list(signature(owner).parameters))
    if name in of_constructor:
        return TypeError(f"{text} It is a parameter of {cls}: write {cls}({name}=...).")
    names = list(names)
    if (meant := NAMES_ELSEWHERE.get(name)) in names:
        return TypeError(f"{text} Its name here is {meant!r}.")
    if meant := likely_name(name.lower(), names):
        return TypeError(f"{text} Did you mean {meant!r}?")
    if meant := likely_name(name.lower(), of_constructor):
        return TypeError(f"{text} Did you mean the parameter {meant!r} of {cls}? Write {cls}({meant}=...).")
    return TypeError(text)
