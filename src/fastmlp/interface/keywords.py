"""Keywords of functions: those of a table in signature and docstring, and errors that name what is meant.

`help`, notebooks and the reference show the keywords of a table as parameters, with their defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from inspect import Parameter, signature
from typing import Any, TypeVar, cast

from ..errors import likely_name
from .docstrings import entries_of

Function = TypeVar("Function", bound=Callable[..., Any])
Class = TypeVar("Class", bound=type)


def with_table(table: Any) -> Callable[[Function], Function]:
    """Return a decorator that puts the keywords of a table into the signature and the docstring of a function.

    table : Table of fit/keywords.py; the docstring has its texts in the place of the line {keywords}
    """

    def decorated(function: Function) -> Function:
        found = signature(function)
        *parameters, packed = found.parameters.values()
        parameters += (Parameter(name, Parameter.KEYWORD_ONLY, default=row.default) for name, row in table.rows.items())
        function.__signature__ = found.replace(parameters=parameters)  # type: ignore[attr-defined]
        del function.__annotations__[packed.name]
        if function.__doc__ is not None:  # python -OO removes docstrings
            texts: dict[str, str] = {}
            for doc in table.texts:
                texts |= entries_of(doc)
            lines = "\n".join(texts[name] for name in table.rows).splitlines()
            function.__doc__ = function.__doc__.replace("{keywords}", f"\n{' ' * 8}".join(lines))
        return function

    return decorated


def explains_names(function: Function) -> Function:
    """Decorate a function or method: a keyword that it does not know is refused with the name that is meant.

    Python's own error names the class that has the method, which users need not know, and has no hint. The signature,
    which scikit-learn reads, stays as it is.
    """
    first, *others = signature(function).parameters
    known = others if first == "self" else [first, *others]

    @wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        if any(name not in known for name in named):
            unknown = next(name for name in named if name not in known)
            if first != "self":
                raise unknown_keyword(function.__name__, unknown, known)
            cls: Any = type(arguments[0])
            if function.__name__ == "__init__":
                if unknown in list(signature(cls.fit).parameters)[1:]:
                    text = f"{cls.__name__}() got an unexpected keyword argument {unknown!r}."
                    raise TypeError(f"{text} It is an argument of fit: write fit(X, y, {unknown}=...).")
                raise unknown_keyword(cls.__name__, unknown, known)
            raise unknown_keyword(f"{cls.__name__}.{function.__name__}", unknown, known, cls)
        return function(*arguments, **named)

    return cast(Function, called)


def explains_parameters(cls: Class) -> Class:
    """Decorate a dataclass: its constructor explains names as explains_names does."""
    cls.__init__ = explains_names(cls.__init__)  # type: ignore[misc]
    return cls


NAMES_ELSEWHERE = {"eval_set": "validation_data"}  # of LightGBM and XGBoost


def unknown_keyword(function: str, name: str, known: Iterable[str], owner: type | None = None) -> TypeError:
    """Return the TypeError for a keyword that a function does not have, with a hint at the one that is meant.

    function : str     name of the function
    known : names of its parameters
    owner : class of a method, whose constructor may have the parameter

    >>> print(unknown_keyword("MLP.fit", "epoch", ["X", "y", "epochs"]))
    MLP.fit() got an unexpected keyword argument 'epoch'. Did you mean 'epochs'?
    """
    text = f"{function}() got an unexpected keyword argument {name!r}."  # Python's words, which programs look for
    cls, of_constructor = ("", []) if owner is None else (owner.__name__, list(signature(owner).parameters))
    if name in of_constructor:
        return TypeError(f"{text} It is a parameter of {cls}: write {cls}({name}=...).")
    known = list(known)
    if (meant := NAMES_ELSEWHERE.get(name)) in known:
        return TypeError(f"{text} Its name here is {meant!r}.")
    if meant := likely_name(name.lower(), known):
        return TypeError(f"{text} Did you mean {meant!r}?")
    if meant := likely_name(name.lower(), of_constructor):
        return TypeError(f"{text} Did you mean the parameter {meant!r} of {cls}? Write {cls}({meant}=...).")
    return TypeError(text)
