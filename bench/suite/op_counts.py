"""Operation counts: the multiply-adds that training a net needs at least, for the arithmetic limit.

Besides multiply-adds what takes their place in the same pipe. An exponential and the division after it are 8 of them on
a processor: six where the power of two comes from a table in registers, and a division of a whole register, which costs
as much as two (measured by leaving divisions out, bench/log/README.md#exp-division-cost). On a GPU each of them goes
through units that have an eighth of the rate: 16. An update counts as its formula's operations, comparisons left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from competitors import DEVICE

EXPONENTIAL, DIVISION = {"cpu": (8, 2), "cuda": (16, 8)}[DEVICE]  # the former with a division
HAVE_ONE = {"sigmoid", "tanh", "softmax"}
AROUND = 3  # of a unit and sample: its bias, the derivative, and the product with it
UPDATE = {"sgd": 1, "adam": 10, "quickprop": 10, "rprop": 5}  # of one parameter; a division or a root counts as two


def multiply_adds_of_step(
    shapes: Sequence[tuple[int, int]], activations: Sequence[str], rows: int, optimizer: str
) -> int:
    """shapes : (fan_in, fan_out) of each layer; activations : of each

    >>> multiply_adds_of_step([(2, 2), (2, 1)], ["relu", "identity"], 1, "sgd")
    32
    """
    products = [i * j for i, j in shapes]
    units = [j for _, j in shapes]
    passes = sum(n * (AROUND + EXPONENTIAL * (name in HAVE_ONE)) for n, name in zip(units, activations, strict=True))
    return rows * (3 * sum(products) - products[0] + passes) + UPDATE[optimizer] * (sum(products) + sum(units))
