"""Passes over layers whose units are rows and whose samples are columns, for any number of lanes.

Unit u's values start at u * columns, a multiple of the lanes. Columns are the samples of one net (batch_simd.py), or
each sample times the nets of a block (per_net.py): a lane then is a net, and nothing here mixes lanes.
"""

from __future__ import annotations

from ...formulas.activations import ACTIVATIONS, activation_derivative, activation_value
from ...formulas.losses import loss_delta, loss_value
from ...jit.decorators import helper, loop_selector
from ...simd.elementary import exp, log
from ...simd.load_store import fill, load, store
from ...simd.vector import absolute, where
from ...structs import METRIC_ARGMAX, METRIC_MARGIN
from ..workspace import LANES_SMALL


def still_right(right, output, best, wanted, target):
    """1 if the first largest output is the target's up to this unit, from whether it was before it, else 0."""
    return where(output > best, where(wanted > target, 1.0, 0.0), where(wanted > target, 0.0, right))


_still_right = helper(still_right)


def make_passes(lanes):
    """(activate, backward, loss_and_delta, softmax_columns, count_right) for vectors of this many lanes."""

    if lanes == LANES_SMALL:  # one vector a unit: loops for each code would only be more to compile

        @helper
        def activate(code, z, a, start, size, keep_z):
            for i in range(start, start + size, lanes):
                v = load(a, i, lanes)
                if keep_z:
                    store(z, i, v)
                store(a, i, activation_value(code, v))

        @helper
        def backward(code, kept, delta, start, size):
            for i in range(start, start + size, lanes):
                store(delta, i, load(delta, i, lanes) * activation_derivative(code, load(kept, i, lanes)))

    else:
        names = {"lanes": lanes, "load": load, "store": store}
        activate = loop_selector(
            [row.value for row in ACTIVATIONS],
            "z, a, start, size, keep_z",
            """
            for i in range(start, start + size, lanes):
                v = load(a, i, lanes)
                if keep_z:
                    store(z, i, v)
                store(a, i, FORMULA(v))
            """,
            **names,
        )
        backward = loop_selector(
            [row.derivative for row in ACTIVATIONS],
            "kept, delta, start, size",
            """
            for i in range(start, start + size, lanes):
                store(delta, i, load(delta, i, lanes) * FORMULA(load(kept, i, lanes)))
            """,
            **names,
        )

    @helper
    def loss_and_delta(code, z, a, delta, start, y, weight, columns, size, scale, c):
        """A lane's sums of weight * loss; delta = scale * weight * slope."""
        shares = fill(z, 0.0, lanes)
        for s in range(0, columns, lanes):
            w = load(weight, s, lanes)
            for i in range(s, size, columns):
                zv, av, yv = load(z, start + i, lanes), load(a, start + i, lanes), load(y, i, lanes)
                shares += w * loss_value(code, zv, av, yv, c)
                store(delta, start + i, loss_delta(code, av, yv, c) * (w * scale))
        return shares

    @helper
    def softmax_columns(z, a, start, columns, size):
        """z becomes log-probabilities over the units of a layer, a their exponentials."""
        for s in range(0, columns, lanes):
            top = load(z, start + s, lanes)
            for i in range(s + columns, size, columns):
                v = load(z, start + i, lanes)
                top = where(v > top, v, top)
            whole = fill(z, 0.0, lanes)
            for i in range(s, size, columns):
                v = load(z, start + i, lanes) - top
                e = exp(v)
                store(z, start + i, v)
                store(a, start + i, e)
                whole += e
            shift, factor = log(whole), 1.0 / whole
            for i in range(s, size, columns):
                store(z, start + i, load(z, start + i, lanes) - shift)
                store(a, start + i, load(a, start + i, lanes) * factor)

    @helper
    def count_right(metric, a, start, y, columns, size, weight, bound):
        """A lane's sum of the weights of samples that are right, as elements.count_right counts."""
        count = fill(a, 0.0, lanes)
        share = 1.0 if metric == METRIC_ARGMAX else columns / size
        for s in range(0, columns, lanes):
            hit = fill(a, 0.0, lanes)
            if metric == METRIC_ARGMAX:
                hit += 1.0
                best, target = load(a, start + s, lanes), load(y, s, lanes)
                for i in range(s + columns, size, columns):
                    av, yv = load(a, start + i, lanes), load(y, i, lanes)
                    hit = _still_right(hit, av, best, yv, target)
                    best, target = where(av > best, av, best), where(yv > target, yv, target)
            elif metric == METRIC_MARGIN:
                for i in range(s, size, columns):
                    far = absolute(load(a, start + i, lanes) - load(y, i, lanes))
                    hit += where(far <= bound, 1.0, 0.0)
            else:
                for i in range(s, size, columns):
                    said = where(load(a, start + i, lanes) > bound, 1.0, 0.0)
                    hit += 1.0 - absolute(said - where(load(y, i, lanes) > bound, 1.0, 0.0))
            count += load(weight, s, lanes) * hit
        return count * share

    return activate, backward, loss_and_delta, softmax_columns, count_right
