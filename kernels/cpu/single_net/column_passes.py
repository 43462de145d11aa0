"""Elementwise passes over layers with units as rows and samples as columns, for any number of lanes (simd/lanes.py).

Unit u's values start at u * columns, a multiple of the lanes. Columns are the samples of one net
(single_net/batch_simd.py), or each sample times the nets of a block (population/gradient.py): a lane is then a net, and
no pass mixes lanes.
"""

from __future__ import annotations

from ...formulas.activations import ACTIVATIONS
from ...formulas.losses import LOSSES
from ...jit.decorators import LANES_OF, helper, linked_helper, linked_table
from ...simd.elementary import exp, log
from ...simd.load_store import fill, frozen, load, load_partial, store, store_partial
from ...simd.vector import absolute, where
from ...structs import METRIC_ARGMAX, METRIC_MARGIN


def still_correct(right, output, best, wanted, target):
    """Return 1 if the first largest output up to this unit is at the first largest target, else 0.

    right : the result for the units before this one
    output, wanted : output and target of this unit
    best, target : largest output and largest target of the units before this one
    """
    return where(output > best, where(wanted > target, 1.0, 0.0), where(wanted > target, 0.0, right))


_still_correct = helper(still_correct)


def _make_activate(row):
    value = row.value

    @helper
    def activate(z, a, start, size, keep_z, lanes):
        for i in range(start, start + size, lanes):
            v = frozen(load(a, i, lanes))
            if keep_z:
                store(z, i, v)
            store(a, i, value(v))

    return activate


def _make_backward(row):
    derivative = row.derivative

    @helper
    def backward(stored, delta, start, size, lanes):
        whole = start + size - size % lanes
        for i in range(start, whole, lanes):
            store(delta, i, load(delta, i, lanes) * derivative(load(stored, i, lanes)))
        if whole < start + size:  # of layers with samples as rows, which need not be whole vectors
            n = start + size - whole
            d = load_partial(delta, whole, n, lanes) * derivative(load_partial(stored, whole, n, lanes))
            store_partial(delta, whole, n, d)

    return backward


# activate(code, z, a, start, size, keep_z, lanes)      a = f(a); if keep_z, z = a before
activate = linked_table(f"{__name__}.activate", _make_activate, ACTIVATIONS, "NetSpec.activations")
# backward(code, stored, delta, start, size, lanes)      delta *= f'(stored)
backward = linked_table(f"{__name__}.backward", _make_backward, ACTIVATIONS, "NetSpec.activations")


def _make_loss(row):
    value, delta = row.value, row.delta

    @helper
    def loss_and_delta(outputs, y, weight, columns, size, scale, c, lanes):
        z, a, start = outputs.z, outputs.a, outputs.start
        losses = fill(z, 0.0, lanes)
        for s in range(0, columns, lanes):
            w = load(weight, s, lanes)
            for i in range(s, size, columns):
                zv, av, yv = load(z, start + i, lanes), load(a, start + i, lanes), load(y, i, lanes)
                losses += w * value(zv, av, yv, c)
                store(outputs.delta, start + i, delta(av, yv, c) * (w * scale))
        return losses

    return loss_and_delta


# loss_and_delta(code, outputs, y, weight, columns, size, scale, c, lanes) -> each lane's sum of weight * loss
#     delta = scale * weight * derivative of the loss
loss_and_delta = linked_table(f"{__name__}.loss_and_delta", _make_loss, LOSSES, "NetSpec.loss", LANES_OF)


@linked_helper()
def softmax_columns(z, a, start, columns, size, lanes):
    """Replace z by log-probabilities over the units of a layer, and write their exponentials to a."""
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
def count_correct(metric, a, start, y, columns, size, weight, bound, lanes):
    """Return each lane's sum of the weights of correct samples, as elementwise.count_correct counts them."""
    count = fill(a, 0.0, lanes)
    fraction = 1.0 if metric == METRIC_ARGMAX else columns / size
    for s in range(0, columns, lanes):
        correct = fill(a, 0.0, lanes)
        if metric == METRIC_ARGMAX:
            correct += 1.0
            best, target = load(a, start + s, lanes), load(y, s, lanes)
            for i in range(s + columns, size, columns):
                av, yv = load(a, start + i, lanes), load(y, i, lanes)
                correct = _still_correct(correct, av, best, yv, target)
                best, target = where(av > best, av, best), where(yv > target, yv, target)
        elif metric == METRIC_MARGIN:
            for i in range(s, size, columns):
                distance = absolute(load(a, start + i, lanes) - load(y, i, lanes))
                correct += where(distance <= bound, 1.0, 0.0)
        else:
            for i in range(s, size, columns):
                predicted = where(load(a, start + i, lanes) > bound, 1.0, 0.0)
                correct += 1.0 - absolute(predicted - where(load(y, i, lanes) > bound, 1.0, 0.0))
        count += load(weight, s, lanes) * correct
    return count * fraction
