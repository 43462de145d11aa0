"""The wording of errors that more than one module raises: what was expected, what came, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite, isinf
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


MOST_COUNTED = 2**63 - 1  # which 64 bits hold
SHOWN = 100  # characters of a value in a message


class DivergenceWarning(UserWarning):
    """Training met a loss that is not finite; the last finite parameters were restored."""


class TrainingWarning(UserWarning):
    """`fit(..., monitor=True)` saw a known failure set in; `fastmlp.diagnose` has the evidence and the remedy."""


# What papers and other libraries call things, in lower case and without separators, with the names here, of which the
# table that is asked has one. They are for hints in errors and do not work as names: a net is described, saved and
# compared under one name.
ALIASES: dict[str, tuple[str, ...]] = {
    alias: names
    for aliases, names in (
        ("mse mseloss rmse l2 l2loss meansquarederror squaredloss quadratic", ("squared_error",)),
        ("mae l1 l1loss meanabsoluteerror absoluteloss", ("absolute_error",)),
        ("smoothl1 smoothl1loss huberloss", ("huber",)),
        ("bce bceloss bcewithlogits bcewithlogitsloss binarycrossentropy logloss",
         ("binary_cross_entropy", "log_loss")),
        ("ce crossentropy crossentropyloss categoricalcrossentropy sparsecategoricalcrossentropy nll nllloss",
         ("softmax_cross_entropy", "log_loss")),
        ("logistic", ("sigmoid", "binary_cross_entropy", "log_loss")),
        ("logsig expit", ("sigmoid",)),
        ("swish", ("silu",)),
        ("lrelu", ("leaky_relu",)),
        ("linear", ("identity",)),
        ("none", ("identity", "constant")),
        ("exp", ("exponential",)),
        ("he kaiming kaimingnormal", ("he_normal",)),
        ("kaiminguniform", ("he_uniform",)),
        ("glorot xavier xavieruniform", ("glorot_uniform",)),
        ("xaviernormal", ("glorot_normal",)),
        ("lecun", ("lecun_normal",)),
        ("gpu nvidia", ("cuda",)),
        ("gd gradientdescent momentum nesterov", ("sgd",)),
        ("rms", ("rmsprop",)),
        ("irprop resilient", ("rprop",)),
        ("1cycle onecyclelr", ("one_cycle",)),
        ("cos cosineannealing cosineannealinglr", ("cosine",)),
        ("valloss", ("validation_loss",)),
        ("acc", ("accuracy",)),
        ("valacc valaccuracy", ("validation_accuracy",)),
        ("lr eta stepsize learningrateinit", ("learning_rate",)),
        ("wd", ("weight_decay",)),
        ("alpha", ("l2",)),
        ("activation", ("hidden_activation",)),
        ("hidden hiddensizes layersizes units", ("hidden_layer_sizes",)),
        ("batch bs", ("batch_size",)),
        ("nepochs maxiter iterations", ("epochs",)),
        ("fp32 float32", ("exact",)),
        ("bf16", ("bfloat16",)),
        ("fp16 half", ("float16",)),
    )
    for alias in aliases.split()
}  # fmt: skip
SEPARATORS = str.maketrans("", "", "_- ")
ALIKE = 0.6  # of two spellings; below it "bce" is like "huber"


def unknown_name(kind: str, name: object, choices: Iterable[str]) -> ValueError:
    """The error for a name that is in no table: with what the table calls it, or the nearest match in spelling.

    >>> print(unknown_name("init", "Xavier", ["he_normal", "glorot_uniform"]))
    Unknown init 'Xavier'. Did you mean 'glorot_uniform'? Choose from: he_normal, glorot_uniform.
    """
    choices = list(choices)
    hint = f" Did you mean {near!r}?" if (near := _meant(str(name).lower(), choices)) else ""
    return ValueError(f"Unknown {kind} {shown(name)}.{hint} Choose from: {', '.join(choices)}.")


def _meant(name: str, choices: list[str]) -> str | None:
    """The choice that a name in lower case stands for."""
    for meant in ALIASES.get(name.partition(":")[0].translate(SEPARATORS), ()):  # a device may have a number: "gpu:1"
        if meant in choices:
            return meant
    from difflib import get_close_matches  # takes longer than the rest of this module

    near = get_close_matches(name, choices, n=1, cutoff=ALIKE)
    return near[0] if near else None


def shown(value: object) -> str:
    """Its repr for a message, cut where it is long.

    >>> shown("abc"), shown(10**400)
    ("'abc'", 'a whole number of 401 digits')
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**SHOWN:
        from math import log10

        n_digits = int(log10(abs(value))) + 1  # to write all of them, Python refuses from 4,300 on
        return f"a whole number of {n_digits:,} digits"
    text = repr(value)
    return text if len(text) <= 3 * SHOWN else f"{text[: 2 * SHOWN]} ... {text[-SHOWN // 2 :]}"


def counted(n: int, noun: str, plural: str = "") -> str:
    """A number with its noun in the singular or plural, which is noun + "s" unless given.

    >>> counted(1, "row"), counted(2000, "row"), counted(0, "class", "classes")
    ('1 row', '2,000 rows', '0 classes')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def install_command(extra: str, note: str = "") -> str:
    """How to install what an extra of this package brings, for a release and for a checkout alike; with a remark.

    >>> install_command("table")
    "pip install 'fastmlp[table]' (in a checkout: pip install '.[table]')"
    """
    return f"pip install 'fastmlp[{extra}]' (in a checkout: pip install '.[{extra}]'{note and '; ' + note})"


def is_number(value: object) -> bool:
    """Whether float takes it."""
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def takes(function: Callable, n_arguments: int) -> bool:
    """Whether it can be called with so many arguments; True for a function of C that does not tell."""
    from inspect import signature

    try:
        known = signature(function)
    except (TypeError, ValueError):
        return True
    try:
        known.bind(*range(n_arguments))
    except TypeError:
        return False
    return True


def checked_number(
    name: str, value: object, low: float = float("-inf"), high: float = float("inf"), *, open_low=False, open_high=False
) -> float:
    """`value` as a finite float in [low, high] (or the open interval), else a ValueError that says so."""
    if isinstance(value, Real) and not isinstance(value, bool) and is_number(value):
        number = float(value)
        finite = isfinite(number)
        above = number > low if open_low else number >= low
        below = number < high if open_high else number <= high
        if above and below and finite:
            return number
    left = "(" if open_low or isinf(low) else "["
    right = ")" if open_high or isinf(high) else "]"
    raise ValueError(f"{name} must be a number in {left}{low:g}, {high:g}{right}, but it is {shown(value)}.")


def checked_share(validation_fraction: object, validation_data: object) -> float:
    """The share of samples to hold out, in [0, 1); a ValueError if samples to validate on were given as well."""
    share = checked_number("validation_fraction", validation_fraction, 0.0, 1.0, open_high=True)
    if share and validation_data is not None:
        raise ValueError("Give validation_data or validation_fraction, not both.")
    return share


def checked_count(name: str, value: object, at_least: int = 1, at_most: int | None = MOST_COUNTED) -> int:
    """`value` as an int not below `at_least` nor above `at_most`, else a ValueError that says so."""
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= at_least:
        if at_most is None or int(value) <= at_most:
            return int(value)
        raise ValueError(f"{name} must be a whole number from {at_least} to {at_most:,}, but it is {shown(value)}.")
    raise ValueError(f"{name} must be a whole number of at least {at_least}, but it is {shown(value)}.")


def is_distribution(name: str, value: object) -> bool:
    """Whether it can be drawn from; a ValueError for a SciPy distribution without parameters."""
    if hasattr(value, "rvs") and hasattr(value, "freeze"):
        raise ValueError(f"{name} must be a frozen distribution, one with its parameters, such as loguniform(0.01, 1).")
    return hasattr(value, "rvs")


def checked_setting(name: str, value: Any, *bounds: float, **kinds: bool) -> Any:
    """As checked_number, for a setting that may differ from net to net of a population: a number, one per net in a
    1-D array, or a frozen SciPy distribution to draw them from, whose numbers are checked when they are drawn.
    """
    if is_distribution(name, value):
        return value
    if not isinstance(value, (list, tuple)) and not (hasattr(value, "ndim") and value.ndim):
        return checked_number(name, value, *bounds, **kinds)
    import numpy as np  # not above: the command line's --help needs this module and no NumPy

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
    """Whether a setting that checked_setting has let pass is more than one number."""
    return hasattr(value, "rvs") or getattr(value, "ndim", 0) == 1 or isinstance(value, (list, tuple))


def drawn_setting(name: str, value: Any, n_nets: int, rng: Callable[[], np.random.Generator] | None) -> Any:
    """The setting as a number or as an array (n_nets,), drawn with rng() where it is a distribution."""
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
