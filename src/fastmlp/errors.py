"""Warnings, checks of arguments, and the wording of error messages: the expected value, the given one, and a remedy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import isfinite, isinf
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from .interface.likely_names import likely_name

if TYPE_CHECKING:
    import numpy as np

MOST_COUNTED = 2**63 - 1  # largest int64
SHOWN_CHARACTERS = 100  # characters, scale of the length of a value in a message
MOST_NAMES = 20  # in a message, of those to choose from


class DivergenceWarning(UserWarning):
    """Warning: a net diverged, its loss or parameters were not finite; the last finite parameters were restored.

    `MLP.fit` and `Population.fit` issue it once per fit. A lower learning rate, gradient clipping or scaled data help.

    Examples
    --------
    >>> import warnings, fastmlp
    >>> net = fastmlp.MLP((1, 2, 1), random_state=0)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     history = net.fit([[1e4], [-1e4]], [1e4, 3e4], epochs=100, optimizer=fastmlp.SGD(10.0))
    >>> caught[0].category.__name__, history.stopped_by
    ('DivergenceWarning', 'divergence')
    """


class TrainingWarning(UserWarning):
    """Warning of `fit(..., monitor=True)`: a known failure of training. `fastmlp.diagnose` has evidence and remedy.

    Examples
    --------
    >>> import warnings, fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = fastmlp.MLP((2, 8, 1), hidden_activation="tanh", loss="binary_cross_entropy", init="zeros")
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     history = net.fit(X, y, epochs=200, monitor=True)
    >>> caught[0].category.__name__
    'TrainingWarning'
    """


class WrongArgument(ValueError):
    """Error about an argument of a call, such as the name of a column, while rows are read that are not to blame."""


@contextmanager
def about_arguments() -> Iterator[None]:
    """Make a ValueError one about an argument: no rows or file are added to its message."""
    try:
        yield
    except ValueError as error:
        raise WrongArgument(str(error)) from None


@contextmanager
def place_in_errors(place: str) -> Iterator[None]:
    """Add the place, such as rows or a file, to the message of a ValueError, unless it is about an argument."""
    try:
        yield
    except WrongArgument as error:
        raise ValueError(str(error)) from None
    except ValueError as error:
        if place in str(error):
            raise
        raise ValueError(f"In {place}: {error}") from None


def unknown_name(kind: str, name: object, choices: Iterable[str]) -> ValueError:
    """Return the ValueError for an unknown name, with the table's name for it or the most similar one as a hint.

    kind : str     what the name stands for, such as "loss"
    name : the unknown name
    choices : the names in the table

    >>> print(unknown_name("init", "Xavier", ["he_normal", "glorot_uniform"]))
    Unknown init 'Xavier'. Did you mean 'glorot_uniform'? Choose from: he_normal, glorot_uniform.
    """
    choices = list(choices)
    hint = f" Did you mean {likely!r}?" if (likely := likely_name(str(name).lower(), choices)) else ""
    others = f" and {len(choices) - MOST_NAMES:,} others" * (len(choices) > MOST_NAMES)
    return ValueError(f"Unknown {kind} {shown(name)}.{hint} Choose from: {', '.join(choices[:MOST_NAMES])}{others}.")


def no_file(path: str | os.PathLike) -> OSError:
    """Return the error for a path at which there should be a file.

    >>> no_file("net.safetensors")
    FileNotFoundError("There is no file 'net.safetensors'; check the path.")
    """
    if os.path.isdir(path):
        return IsADirectoryError(f"{os.fspath(path)!r} is a folder; add the name of a file in it.")
    return FileNotFoundError(f"There is no file {os.fspath(path)!r}; check the path.")


def shown(value: object) -> str:
    """Return the repr of a value for a message, shortened if it is long.

    >>> shown("abc"), shown(10**400)
    ("'abc'", 'a whole number of 401 digits')
    """
    if isinstance(value, str):
        value = str(value)  # 'a', not np.str_('a')
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**SHOWN_CHARACTERS:
        from math import log10

        n_digits = int(log10(abs(value))) + 1  # Python refuses to convert integers of more than 4,300 digits to text
        return f"a whole number of {n_digits:,} digits"
    text = repr(value)
    return (
        text
        if len(text) <= 3 * SHOWN_CHARACTERS
        else f"{text[: 2 * SHOWN_CHARACTERS]} ... {text[-SHOWN_CHARACTERS // 2 :]}"
    )


def counted(n: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun in the singular or plural; the default plural is noun + "s".

    >>> counted(1, "row"), counted(2000, "row"), counted(0, "class", "classes")
    ('1 row', '2,000 rows', '0 classes')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def install_command(extra: str, note: str = "") -> str:
    """Return the pip command that installs an extra of this package, for a release and for a checkout.

    extra : str     name of the extra
    note : str     remark that is added in the parentheses

    >>> install_command("table")
    "pip install 'fastmlp[table]' (in a checkout: pip install '.[table]')"
    """
    return f"pip install 'fastmlp[{extra}]' (in a checkout: pip install '.[{extra}]'{note and '; ' + note})"


def is_number(value: object) -> bool:
    """Return whether float(value) works."""
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def accepts_n_arguments(function: Callable, n_arguments: int) -> bool:
    """Return whether a function accepts n_arguments positional arguments; True if its signature is unknown."""
    from inspect import signature

    try:
        parameters = signature(function)
    except (TypeError, ValueError):
        return True
    try:
        parameters.bind(*range(n_arguments))
    except TypeError:
        return False
    return True


def checked_number(
    name: str, value: object, low: float = float("-inf"), high: float = float("inf"), *, open_low=False, open_high=False
) -> float:
    """Return `value` as a finite float.

    name : str     name of the argument, for the message
    low, high : float     bounds, which are allowed values unless open_low or open_high

    Raises
    ------
    ValueError
        If value is not a finite number within the bounds.
    """
    if isinstance(value, Real) and not isinstance(value, bool) and is_number(value):
        number = float(value)
        finite = isfinite(number)
        above = number > low if open_low else number >= low
        below = number < high if open_high else number <= high
        if above and below and finite:
            return number
    left_bracket = "(" if open_low or isinf(low) else "["
    right_bracket = ")" if open_high or isinf(high) else "]"
    raise ValueError(
        f"{name} must be a number in {left_bracket}{low:g}, {high:g}{right_bracket}, but it is {shown(value)}."
    )


def checked_verbose(value: Any) -> int:
    """Return `verbose` as 0, 1 or 2; a bool is accepted.

    Raises
    ------
    ValueError
        If it has another value.
    """
    import numpy as np  # here, since `fastmlp --help` imports this module and should not import NumPy

    if not isinstance(value, (Integral, np.bool_)) or int(value) not in (0, 1, 2):
        raise ValueError(
            "verbose must be 0 (silent), 1 (a progress bar, in a terminal or a notebook) or 2 (a line "
            f"per epoch), but it is {shown(value)}."
        )
    return int(value)


def checked_share(validation_fraction: object, validation_data: object) -> float:
    """Return the fraction of samples to hold out, in [0, 1).

    Raises
    ------
    ValueError
        If it is out of range, or validation_data is given as well.
    """
    fraction = checked_number("validation_fraction", validation_fraction, 0.0, 1.0, open_high=True)
    if fraction and validation_data is not None:
        raise ValueError("Give validation_data or validation_fraction, not both.")
    return fraction


def checked_count(name: str, value: object, at_least: int = 1, at_most: int | None = MOST_COUNTED) -> int:
    """Return `value` as an int.

    name : str     name of the argument, for the message
    at_least, at_most : int     bounds, which are allowed values; None for at_most is no bound

    Raises
    ------
    ValueError
        If value is not a whole number within the bounds.
    """
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= at_least:
        if at_most is None or int(value) <= at_most:
            return int(value)
        raise ValueError(f"{name} must be a whole number from {at_least} to {at_most:,}, but it is {shown(value)}.")
    raise ValueError(f"{name} must be a whole number of at least {at_least}, but it is {shown(value)}.")


def is_distribution(name: str, value: object) -> bool:
    """Return whether a value is a frozen SciPy distribution, from which numbers can be drawn.

    Raises
    ------
    ValueError
        If it is a SciPy distribution without parameters.
    """
    if hasattr(value, "rvs") and hasattr(value, "freeze"):
        raise ValueError(f"{name} must be a frozen distribution, one with its parameters, such as loguniform(0.01, 1).")
    return hasattr(value, "rvs")


def checked_setting(name: str, value: Any, *bounds: float, **kinds: bool) -> Any:
    """Check a setting that may differ from net to net of a population, and return it.

    value : a number, an array with one number per net, or a frozen SciPy distribution; the numbers of a distribution
        can be checked only after they are drawn
    bounds, kinds : further arguments of checked_number

    Raises
    ------
    ValueError
        If value is none of these, or a number is out of bounds.
    """
    if is_distribution(name, value):
        return value
    if not isinstance(value, (list, tuple)) and not (hasattr(value, "ndim") and value.ndim):
        return checked_number(name, value, *bounds, **kinds)
    import numpy as np

    array = np.asarray(value)
    if array.ndim != 1 or array.dtype.kind not in "iuf" or not array.size:
        raise ValueError(
            f"{name} must be a number, an array with one number per net, or a frozen SciPy distribution, but it is an "
            f"array of shape {array.shape} and dtype {array.dtype}."
        )
    for extreme in (array.min(), array.max()):
        checked_number(name, float(extreme), *bounds, **kinds)
    return array.astype(np.float64)


def is_per_net(value: Any) -> bool:
    """Return whether a setting, checked by checked_setting, has a number per net or is a distribution."""
    return hasattr(value, "rvs") or getattr(value, "ndim", 0) == 1 or isinstance(value, (list, tuple))


def drawn_setting(name: str, value: Any, n_nets: int, rng: Callable[[], np.random.Generator] | None) -> Any:
    """Return a setting as a number or as float64 (n_nets,), drawn with the generator rng() if it is a distribution.

    Raises
    ------
    ValueError
        If an array does not have one number per net.
    """
    import numpy as np

    if hasattr(value, "rvs"):
        value = np.asarray(value.rvs(size=n_nets, random_state=rng and rng()), np.float64)
    elif is_per_net(value):
        value = np.asarray(value, np.float64)
    else:
        return float(value)
    if value.shape != (n_nets,):
        raise ValueError(
            f"{name} has {counted(len(value), 'number')} for {counted(n_nets, 'net')}: give one number per net."
        )
    return value
