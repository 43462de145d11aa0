"""Own formulas: rows that a program adds to the tables of activations and losses while it runs.

An own formula is plain data, its source among it, so that another process can make the same row. Codes differ from
process to process, digests do not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

from ..jit.decorators import MOST_ROWS, formula, own_digests
from ..system.fork_lock import FORK_LOCK
from . import numpy_math
from .activations import ACTIVATIONS, ActivationRow
from .losses import LOSSES, LossRow


class OwnActivation(NamedTuple):
    """An activation of a program. value, derivative : sources of functions in the grammar of formulas"""

    name: str
    value: str
    derivative: str
    low: float
    high: float


class OwnLoss(NamedTuple):
    """A loss of a program. value, derivative : sources of functions in the grammar of formulas"""

    name: str
    value: str
    derivative: str


_codes: dict[tuple[type, str], int] = {}  # of the rows that this process has made


def digest_of(own: OwnActivation | OwnLoss, constant: float = 0.0) -> str:
    """Return the digest of a definition, with the constant of a loss."""
    digest = hashlib.sha256(repr(own).encode()).hexdigest()[:16]
    return f"{digest} {constant:.17g}" if constant else digest


def function_of(source: str) -> Any:
    """Return the function with this source, which the printer of CUDA C++ finds as its `source`."""
    scope = dict(vars(numpy_math))
    exec(source, scope)
    function = scope[source[len("def ") : source.index("(")]]
    function.source = source
    return function


def code_of(own: OwnActivation | OwnLoss) -> int:
    """Return the code of an own formula, whose row is made if this process has none.

    Raises
    ------
    ValueError
        If the table is full.
    """
    digest = digest_of(own)
    with FORK_LOCK:
        code = _codes.get((type(own), digest))
        if code is None:
            is_loss = isinstance(own, OwnLoss)
            table = LOSSES if is_loss else ACTIVATIONS
            code = len(table) + len(table.own)
            if code == MOST_ROWS:
                raise ValueError(
                    f"{own.name!r} would be row {MOST_ROWS + 1} of the table of formulas, which has {MOST_ROWS}: "
                    "start Python anew to define others."
                )
            value, derivative = (formula(function_of(source)) for source in (own.value, own.derivative))
            table.own.append(_row(own, value, derivative, digest))
            own_digests["NetSpec.loss" if is_loss else "NetSpec.activations", code] = digest
            _codes[type(own), digest] = code
    return code


def _row(own: OwnActivation | OwnLoss, value: Callable, derivative: Callable, digest: str) -> Any:
    if isinstance(own, OwnActivation):
        return ActivationRow(own.name, value, derivative, own.low, own.high, digest=digest, own=own)
    return LossRow(own.name, value, derivative, (), False, digest=digest, own=own)
