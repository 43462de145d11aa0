"""Operation counts: the multiply-adds that training a net needs at least, for the arithmetic limit.

Other operations are counted as the multiply-adds that would take the same time. On a CPU, an exponential and the
division after it count as 8: six for the exponential, whose power of two comes from a table in registers, and two for
the division of a whole register (measured by leaving divisions out, bench/log/elementary.md#exp-division-cost). On a
GPU both go through units with an eighth of the rate and count as 16. An update counts as the operations of its formula,
without comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence

from competitors import DEVICE

EXPONENTIAL, DIVISION = {"cpu": (8, 2), "cuda": (16, 8)}[DEVICE]  # EXPONENTIAL includes a division
WITH_EXPONENTIAL = {"sigmoid", "tanh", "softmax"}
PER_UNIT = 3  # of a unit and sample: adding the bias, the derivative, and the product with it
UPDATE = {"sgd": 1, "adam": 10, "quickprop": 10, "rprop": 5}  # of one parameter; a division or a root counts as two


def multiply_adds_of_step(
    shapes: Sequence[tuple[int, int]], activations: Sequence[str], rows: int, optimizer: str
) -> int:
    """Multiply-adds of one optimiser step.

    shapes : (fan_in, fan_out) per layer
    activations : name per layer

    >>> multiply_adds_of_step([(2, 2), (2, 1)], ["relu", "identity"], 1, "sgd")
    32
    """
    products = [i * j for i, j in shapes]
    units = [j for _, j in shapes]
    elementwise = sum(
        n * (PER_UNIT + EXPONENTIAL * (name in WITH_EXPONENTIAL)) for n, name in zip(units, activations, strict=True)
    )
    return rows * (3 * sum(products) - products[0] + elementwise) + UPDATE[optimizer] * (sum(products) + sum(units))
