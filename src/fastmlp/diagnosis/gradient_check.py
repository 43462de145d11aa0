"""check_gradients: comparison of a hand-written backward pass with central differences, with findings in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import checked_count, checked_number, counted, shown
from .verdicts.verdict import number

STEP = 6e-6  # relative to an entry of at least 1; cube root of the precision: balances rounding and truncation errors
FACTORS = {
    2.0: "twice",
    0.5: "half",
    -1.0: "minus",
    -2.0: "minus twice",
    -0.5: "minus half",
    4.0: "four times",
    0.25: "a quarter of",
}
NEAR = 0.02  # relative deviation up to which a factor counts as a round one
MISSING = 1e-9  # an array whose largest gradient is below this fraction of the true one counts as missing


class Finding(NamedTuple):
    """Error in the gradient of one array.

    Parameters
    ----------
    name : str
        Name of the array.
    kind : str
        "missing", "factor", "transposed", "wrong" or "not finite".
    text : str
        The error in words.
    factor : float
        Least-squares factor between the given and the true gradient; NaN if it does not apply.
    error : float
        Largest deviation, relative to the largest true value of the array.

    Examples
    --------
    >>> check = check_gradients(lambda w: (float((w**2).sum()), w), np.array([1.0, 2.0]))
    >>> check.findings[0].kind, round(check.findings[0].factor, 3)
    ('factor', 0.5)
    """

    name: str
    kind: str
    text: str
    factor: float
    error: float


@dataclass(frozen=True)
class GradientCheck:
    """Result of check_gradients. bool(check) is `ok`, and print(check) shows the findings.

    Parameters
    ----------
    ok : bool
        Whether all compared entries are right.
    findings : tuple of Finding
        One for each wrong array.
    max_error : float
        Largest deviation, relative to the largest true value of its array.
    worst : tuple of tuple
        (name, index, given value, true value) of the worst entries, the worst first.
    n_checked : int
        Number of entries that were compared.
    n_entries : int
        Number of all entries.

    Examples
    --------
    >>> check = check_gradients(lambda w: (float((w**2).sum()), 2 * w), np.array([1.0, 2.0]))
    >>> check.ok, check.n_checked, check.findings
    (True, 2, ())
    """

    ok: bool
    findings: tuple[Finding, ...]
    max_error: float
    worst: tuple[tuple[str, tuple[int, ...], float, float], ...]
    n_checked: int
    n_entries: int

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        entries = counted(self.n_entries, "entry", "entries")
        seen = f"{self.n_checked:,} of {entries} were compared with central differences"
        if self.ok:
            return f"The gradient is right: {seen}; the largest deviation is {self.max_error:.1e}."
        lines = ["; ".join(finding.text for finding in self.findings) + ".", f"  {seen}; the worst of them:"]
        for name, index, given, true in self.worst:
            place = f"{name}[{', '.join(map(str, index))}]"
            lines.append(f"  {place:<28} given {given:>12.5g}   true {true:>12.5g}")
        return "\n".join(lines)


def check_gradients(
    loss_and_gradient: Callable[[Any], tuple[float, Any]],
    params: Any,
    *,
    tolerance: float = 1e-4,
    max_entries: int = 100,
) -> GradientCheck:
    """Compare a gradient with central differences, and describe the errors.

    Parameters
    ----------
    loss_and_gradient : callable
        Function of params that returns (loss, gradient), with the gradient in the same form as params.
    params : list of ndarray, dict of ndarray, or ndarray
        A list of arrays [W, b, W, b, ...], a dictionary of arrays, or one array; loss_and_gradient gets copies of them
        in float64.
    tolerance : float, default 1e-4
        Largest accepted deviation, relative to the largest true value among the compared entries of the array, or to
        1e-6 of the largest of all arrays if that is more.
    max_entries : int, default 100
        Largest number of entries to compare in each array; in larger arrays they are drawn at random.

    Returns
    -------
    GradientCheck

    Raises
    ------
    ValueError
        If params is none of these forms, if the gradient does not have its form (an array may be transposed) or is
        float32, or if the loss is not a finite number.

    Notes
    -----
    The true derivative of entry w is (loss(w + h) - loss(w - h)) / (2 h), with h = 6e-6 * max(1, abs(w)).

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([[1.0], [0.0]])
    >>> def loss_and_gradient(params):
    ...     W, b = params
    ...     error = x @ W + b - y
    ...     return (error**2).mean(), [2 * x.T @ error, 0 * b]
    >>> print(check_gradients(loss_and_gradient, [np.ones((2, 1)), np.zeros(1)]))
    dW of layer 1 is twice the true value; bias gradient of layer 1 is missing.
      3 of 3 entries were compared with central differences; the worst of them:
      dW of layer 1[0, 0]          given           16   true            8
      bias gradient of layer 1[0]  given            0   true            4
      dW of layer 1[1, 0]          given            4   true            2
    """
    checked_number("tolerance", tolerance, 0.0, open_low=True)
    checked_count("max_entries", max_entries)
    names, arrays, rebuild = _taken_apart(params)
    result = loss_and_gradient(rebuild([part.copy() for part in arrays]))
    if not isinstance(result, tuple) or len(result) != 2:
        raise ValueError("loss_and_gradient must return a pair (loss, gradient).")
    gradients = _gradient_parts(result[1], params, names, arrays)

    def loss() -> float:
        value = loss_and_gradient(rebuild([array.copy() for array in arrays]))[0]
        if np.ndim(value) and np.size(value) != 1:
            raise ValueError(f"loss_and_gradient must return (loss, gradient), a number first, but it is {value!r}.")
        return float(np.asarray(value).reshape(-1)[0])

    if not np.isfinite(loss()):
        raise ValueError(f"The loss at these params is {loss()}: check the gradient where the loss is finite.")
    rng, derivatives = np.random.default_rng(0), []
    for array in arrays:
        entries = np.arange(array.size)
        if array.size > max_entries:
            entries = np.sort(rng.choice(array.size, max_entries, replace=False))
        values = np.array([_central_difference(loss, array.reshape(-1), i) for i in entries])
        derivatives.append((entries, values, float(np.abs(values).max(initial=0.0))))
    overall = max((largest for *_, largest in derivatives), default=0.0)
    findings, errors, worst = [], [0.0], []
    for name, gradient, (entries, values, largest) in zip(names, gradients, derivatives, strict=True):
        gradient_entries = gradient.reshape(-1)[entries]
        off = np.abs(gradient_entries - values)
        error = float(off.max(initial=0.0)) / max(largest, 1e-6 * overall, 1e-10)
        errors.append(error if np.isfinite(error) else np.inf)
        if errors[-1] > tolerance:
            findings.append(_finding(name, gradient, entries, values, errors[-1]))
            off = np.nan_to_num(off, nan=np.inf)
            for i in np.argsort(-off, kind="stable")[:3]:
                index = tuple(int(j) for j in np.unravel_index(entries[i], gradient.shape))
                worst += [(off[i], (name, index, float(gradient_entries[i]), float(values[i])))] if off[i] > 0 else []
    return GradientCheck(
        ok=not findings,
        findings=tuple(findings),
        max_error=max(errors),
        worst=tuple(entry for _, entry in sorted(worst, key=lambda pair: -pair[0])[:6]),
        n_checked=sum(len(entries) for entries, *_ in derivatives),
        n_entries=sum(array.size for array in arrays),
    )


def _central_difference(loss: Callable[[], float], flat: np.ndarray, i: int) -> float:
    """Return the central difference of the loss with respect to entry i of an array, which is a view of it."""
    value = flat[i]
    h = STEP * max(1.0, abs(value))
    flat[i] = value + h
    above = loss()
    flat[i] = value - h
    below = loss()
    flat[i] = value
    return (above - below) / (2.0 * h)


def _taken_apart(params: Any):
    """Return (names, float64 arrays, function from a list of arrays back to the form of params)."""
    copy = _checked_copy
    if isinstance(params, Mapping):
        keys = list(params)
        rebuild = lambda parts: dict(zip(keys, parts, strict=True))
        return [str(key) for key in keys], [copy(params[key]) for key in keys], rebuild
    if isinstance(params, (list, tuple)) and any(copy(part).ndim for part in params):
        arrays = [copy(part) for part in params]
        return _names_of(arrays), arrays, list
    return ["gradient"], [copy(params)], lambda parts: parts[0]


def _checked_copy(array: Any) -> np.ndarray:
    """Return a copy in float64. Raises ValueError for what is no array of numbers, such as a pair (W, b)."""
    try:
        return np.array(array, np.float64, order="C")
    except (TypeError, ValueError):
        raise ValueError(
            "params must be a list of arrays [W, b, W, b, ...], a dictionary of arrays, or one array, but one of its "
            f"parts is {shown(array)}. Write pairs (W, b) as a flat list: [array for pair in params for array in pair]."
        ) from None


def _names_of(arrays: Sequence[np.ndarray]) -> list[str]:
    """Return the names of gradient arrays, in order: "dW of layer 1", "bias gradient of layer 1", ..."""
    names, n_weights, n_biases = [], 0, 0
    n_dims = {array.ndim for array in arrays}
    for position, array in enumerate(arrays, start=1):
        # a bias as (1, fan_out) or (fan_out, 1), where biases are not those with one dimension
        is_row = 1 not in n_dims and array.ndim == 2 and 1 in array.shape and n_weights > n_biases
        if array.ndim not in (1, 2) or 2 not in n_dims:
            names.append(f"gradient of array {position}")
        elif array.ndim == 2 and not is_row:
            n_weights += 1
            names.append(f"dW of layer {n_weights}")
        else:
            n_biases += 1
            names.append(f"bias gradient of layer {n_biases}")
    return names


def _gradient_parts(gradient: Any, params: Any, names: list[str], arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Return the arrays of the gradient in the order of params. Raises ValueError if their form differs."""
    if isinstance(params, Mapping):
        if not isinstance(gradient, Mapping) or set(gradient) != set(params):
            raise ValueError(f"The gradient must be a dictionary with the keys of params, {list(params)}.")
        parts = [gradient[key] for key in params]
    elif names == ["gradient"]:
        parts = [gradient]
    else:
        if not isinstance(gradient, (list, tuple)) or len(gradient) != len(arrays):
            raise ValueError(f"The gradient must be a list of {counted(len(arrays), 'array')}, as params is.")
        parts = list(gradient)
    if {str(getattr(part, "dtype", "")).removeprefix("torch.") for part in parts} & {"float32", "float16", "bfloat16"}:
        raise ValueError(
            "The gradient is float32, in which rounding and the kinks of relu make central differences inexact: check "
            "it in float64, of an MLP with dtype='float64'."
        )
    parts = [np.asarray(part, np.float64) for part in parts]
    for name, part, array in zip(names, parts, arrays, strict=True):
        if part.shape != array.shape and part.T.shape != array.shape:
            raise ValueError(f"{name} has shape {part.shape}, but its parameters have {array.shape}: they must agree.")
    return [part if part.shape == array.shape else part.T for part, array in zip(parts, arrays, strict=True)]


def _finding(name: str, gradient: np.ndarray, entries: np.ndarray, true: np.ndarray, error: float) -> Finding:
    """Return what is wrong with one array of the gradient, of which some entries have the derivatives `true`."""
    given, largest = gradient.reshape(-1)[entries], float(np.abs(true).max(initial=0.0))
    if not np.isfinite(given).all():
        return Finding(name, "not finite", f"{name} is not finite", np.nan, error)
    if np.abs(given).max(initial=0.0) <= MISSING * max(largest, 1e-300):
        return Finding(name, "missing", f"{name} is missing", 0.0, error)
    squares = float(true @ true)
    factor = float(given @ true) / squares if squares > 0 else np.nan
    if np.isfinite(factor) and abs(factor) > 1e-6:
        is_multiple = np.abs(given - factor * true).max() <= NEAR * abs(factor) * largest
        if is_multiple and abs(factor - 1.0) > NEAR:
            return Finding(name, "factor", f"{name} is {_times(factor)}", factor, error)
        if is_multiple:
            deviation = f"deviates by {error:.1g} of its largest value"
            text = f"{name} {deviation}: a small term, such as a penalty's, may be missing"
            return Finding(name, "wrong", text, factor, error)
    is_square = gradient.ndim == 2 and gradient.shape[0] == gradient.shape[1]
    if is_square and np.abs(gradient.T.reshape(-1)[entries] - true).max() <= NEAR * largest:
        return Finding(name, "transposed", f"{name} is transposed", np.nan, error)
    cosine = float(given @ true) / max(np.sqrt(squares * float(given @ given)), 1e-300)
    where = f"the angle to the true one is {np.degrees(np.arccos(np.clip(cosine, -1, 1))):.0f} degrees"
    return Finding(name, "wrong", f"{name} is wrong, {where}", factor, error)


def _times(factor: float) -> str:
    """Return a factor in words, such as "twice the true value", with the usual cause of such a factor."""
    for round_factor, word in FACTORS.items():
        if abs(factor / round_factor - 1.0) < NEAR:
            return f"{word} the true value"
    if abs(factor - round(factor)) < min(NEAR * abs(factor), 0.1) and abs(factor) > 1.5:
        return f"{round(factor)} times the true value, as if a sum stood for a mean over {abs(round(factor))}"
    inverse = 1.0 / factor
    if abs(inverse - round(inverse)) < min(NEAR * abs(inverse), 0.1) and abs(inverse) > 1.5:
        return f"1/{round(inverse)} of the true value, as if it were divided by {abs(round(inverse))} once too often"
    return f"{number(factor)} times the true value"
