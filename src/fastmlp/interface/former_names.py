"""Parameters that have another name now: the former one is taken for one more version, with a FutureWarning."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from .user_warnings import warn_user

Function = TypeVar("Function", bound=Callable[..., Any])


def warn_former_name(former: str, name: str) -> None:
    text = f"{former} has another name now: write {name}. The next version will not know {former}."
    warn_user(text, FutureWarning)


def former_name(former: str, name: str) -> Callable[[Function], Function]:
    """Return a decorator of functions whose parameter `name` was called `former` in the version before."""

    def decorated(function: Function) -> Function:
        @wraps(function)
        def called(*arguments: Any, **named: Any) -> Any:
            if former in named:
                if name in named:
                    raise TypeError(f"{former} is the former name of {name}: give {name} alone.")
                warn_former_name(former, name)
                named[name] = named.pop(former)
            return function(*arguments, **named)

        return cast(Function, called)

    return decorated
