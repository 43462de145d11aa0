"""Second-order steps of the nets of a block, each in a lane; single_net/ has the methods.

Levenberg-Marquardt: the Gauss-Newton matrix is stored by rows, its lower triangle alone: the entry of parameters q and
r <= q is number q (q + 1) / 2 + r of block.matrix. block.powers has, per lane, the damping as a multiple of the initial
one, and half of its next growth.
"""

from __future__ import annotations

from ...formulas.activations import IDENTITY, SOFTMAX
from ...formulas.losses import loss_curvature
from ...formulas.update_rules import LEVENBERG_MARQUARDT
from ...jit.decorators import helper, inline_helper, linked_helper
from ...jit.intrinsics import dereference
from ...simd.load_store import cast_like, fill, load, load_scalar, scalar_like, store
from ...simd.vector import sqrt, where
from ...structs import DAMPING, L2, LEARNING_RATE, METRIC_NONE
from ..single_net.column_passes import backward
from ..single_net.levenberg_marquardt import LEAST_FACTOR, MOST_FACTOR, MOST_GROWTH
from ..workspace import FILLED_FIRST, FILLED_N
from .gradient import Tile, fill_tile
from .gradient_loops import Units, Weights, add_losses, dense, forward, gradient_by_loops
from .parameter_update import factors_now, penalties


@helper
def output_roots(net, block, k, m, scale):
    """Write to the deltas of the outputs a column of the root of the loss's curvature, for output k of each sample."""
    lanes, n_outputs = block.lanes, net.sizes[net.n_layers]
    start = load_scalar(block.units, net.n_layers) * m * lanes
    is_softmax = load_scalar(net.activations, net.n_layers - 1) == SOFTMAX
    c, zero = scalar_like(block.a, net.loss_constant), fill(block.a, 0.0, lanes)
    for s in range(m):
        i = start + (k * m + s) * lanes
        z, a, y = load(block.z, i, lanes), load(block.a, i, lanes), load(block.y, (k * m + s) * lanes, lanes)
        weight = load(block.weight, s * lanes, lanes) * scalar_like(block.a, scale)
        root = sqrt(loss_curvature(net.loss, z, a, y, c) * weight)
        for j in range(n_outputs):
            q = start + (j * m + s) * lanes
            own = root if j == k else zero
            # diag(a) - a a^T = sum over k of a[k] (e[k] - a) (e[k] - a)^T, for outputs a of a softmax
            store(block.delta, q, own - load(block.a, q, lanes) * root if is_softmax else own)


@helper
def jacobian_of_deltas(net, block, m):
    """Write to block.jacobian, (n_params, m, lanes), the derivatives by the parameters for deltas of the outputs."""
    lanes, jacobian, columns = block.lanes, block.jacobian, m * block.lanes
    for k in range(net.n_layers - 1, -1, -1):
        fan_in, fan_out = load_scalar(net.sizes, k), load_scalar(net.sizes, k + 1)
        weight_start, bias = load_scalar(net.weight_offsets, k), load_scalar(net.bias_offsets, k)
        below, above = load_scalar(block.units, k) * columns, load_scalar(block.units, k + 1) * columns
        code = IDENTITY if k == net.n_layers - 1 and net.delta_is_wrt_logit else load_scalar(net.activations, k)
        stored_activation = block.z if load_scalar(net.derivative_needs_z, k) == 1 else block.a
        if code != IDENTITY:
            backward(code, stored_activation, block.delta, above, fan_out * columns, lanes)
        for j in range(fan_out):
            for s in range(0, columns, lanes):
                d = load(block.delta, above + j * columns + s, lanes)
                store(jacobian, (bias + j) * columns + s, d)
                for i in range(fan_in):
                    a = load(block.a, below + i * columns + s, lanes)
                    store(jacobian, (weight_start + i * fan_out + j) * columns + s, a * d)
        if k > 0:
            delta, transposed = Units(block.delta, above, fan_out), Weights(block.p, weight_start, fan_out, 1, -1)
            dense(transposed, delta, Units(block.delta, below, fan_in), m, lanes)


@helper
def add_products(jacobian, matrix, n_params, m, lanes):
    """Add the products of the rows of the Jacobian, (n_params, m, lanes), to the lower triangle of the matrix."""
    columns = m * lanes
    for q in range(n_params):
        row, first = q * (q + 1) // 2, q * columns
        whole = (q + 1) - (q + 1) % 4
        for r in range(0, whole, 4):
            k, x = (row + r) * lanes, r * columns
            v0, v1 = load(matrix, k, lanes), load(matrix, k + lanes, lanes)
            v2, v3 = load(matrix, k + 2 * lanes, lanes), load(matrix, k + 3 * lanes, lanes)
            for s in range(0, columns, lanes):
                d = load(jacobian, first + s, lanes)
                v0 = load(jacobian, x + s, lanes) * d + v0
                v1 = load(jacobian, x + columns + s, lanes) * d + v1
                v2 = load(jacobian, x + 2 * columns + s, lanes) * d + v2
                v3 = load(jacobian, x + 3 * columns + s, lanes) * d + v3
            store(matrix, k, v0)
            store(matrix, k + lanes, v1)
            store(matrix, k + 2 * lanes, v2)
            store(matrix, k + 3 * lanes, v3)
        for r in range(whole, q + 1):
            k = (row + r) * lanes
            v = load(matrix, k, lanes)
            for s in range(0, columns, lanes):
                v = load(jacobian, r * columns + s, lanes) * load(jacobian, first + s, lanes) + v
            store(matrix, k, v)


@linked_helper()
def add_curvature(net, nets, block, m, scale, adds):
    """Compute the Gauss-Newton matrix of a tile in block.matrix, added to that of the batch's earlier tiles if `adds`.

    net, nets, block : references
    scale : factor on the matrix
    """
    net, nets, block = dereference(net), dereference(nets), dereference(block)
    n, lanes = nets.n_params, block.lanes
    if not adds:
        zero = fill(block.matrix, 0.0, lanes)
        for i in range(0, n * (n + 1) // 2 * lanes, lanes):
            store(block.matrix, i, zero)
    for k in range(net.sizes[net.n_layers]):
        output_roots(net, block, k, m, scale)
        jacobian_of_deltas(net, block, m)
        add_products(block.jacobian, block.matrix, n, m, lanes)


@inline_helper
def gradient_and_curvature(task, request, tile, scale):
    """Do what gradient_by_loops does, and add a tile's part of the Gauss-Newton matrix."""
    gradient_by_loops(task, request, tile, scale)
    if task.config.rule == LEVENBERG_MARQUARDT:
        add_curvature(task.refs.net, task.refs.nets, task.refs.block, tile.m, scale, tile.row > 0)


@helper
def factorise(matrix, n, lanes):
    """Replace the matrix by its Cholesky factor, with reciprocals on the diagonal.

    Returns 1 for each lane whose matrix is positive definite, else 0.
    """
    is_definite, one = fill(matrix, 1.0, lanes), fill(matrix, 1.0, lanes)
    for k in range(n):
        diagonal = (k * (k + 1) // 2 + k) * lanes
        pivot = load(matrix, diagonal, lanes)
        is_definite = where(pivot > 0.0, is_definite, 0.0)
        inverse = one / sqrt(where(pivot > 0.0, pivot, 1.0))
        store(matrix, diagonal, inverse)
        for i in range(k + 1, n):
            row = i * (i + 1) // 2
            factor = load(matrix, (row + k) * lanes, lanes) * inverse
            store(matrix, (row + k) * lanes, factor)
            for j in range(k + 1, i + 1):  # rows up to this one have been scaled
                other = load(matrix, (j * (j + 1) // 2 + k) * lanes, lanes)
                q = (row + j) * lanes
                store(matrix, q, load(matrix, q, lanes) - factor * other)
    return is_definite


@helper
def solve(matrix, n, x, lanes):
    """Replace x, (n, lanes), by the solution of L L^T d = x. Returns the squares of L^-1 x, summed: x^T d."""
    total = fill(x, 0.0, lanes)
    for i in range(n):
        row, v = i * (i + 1) // 2 * lanes, load(x, i * lanes, lanes)
        for j in range(i):
            v = v - load(matrix, row + j * lanes, lanes) * load(x, j * lanes, lanes)
        v = v * load(matrix, row + i * lanes, lanes)
        total = v * v + total
        store(x, i * lanes, v)
    for i in range(n - 1, -1, -1):
        row = i * (i + 1) // 2 * lanes
        v = load(x, i * lanes, lanes) * load(matrix, row + i * lanes, lanes)
        store(x, i * lanes, v)
        for j in range(i):
            store(x, j * lanes, load(x, j * lanes, lanes) - load(matrix, row + j * lanes, lanes) * v)
    return total


@linked_helper()
def solve_damped(net, nets, block):
    """Replace block.g by the damped Gauss-Newton step, with the penalties of the nets.

    Leaves g^T d and d^T H d for the step d in block.expected, or zeros if there is no step.

    net, nets, block : references
    """
    net, nets, block = dereference(net), dereference(nets), dereference(block)
    n, lanes, g, matrix = nets.n_params, block.lanes, block.g, block.matrix
    damping = load(block.hyper, DAMPING * lanes, lanes) * cast_like(g, load(block.powers, 0, lanes))
    l2 = load(block.hyper, L2 * lanes, lanes)
    for k in range(net.n_layers):
        weights, biases = net.weight_offsets[k], net.bias_offsets[k]
        for q in range(weights, biases + net.sizes[k + 1]):
            i, added = (q * (q + 1) // 2 + q) * lanes, damping
            if q < biases and nets.penalised:
                store(g, q * lanes, load(g, q * lanes, lanes) + l2 * load(block.p, q * lanes, lanes))
                added = damping + l2
            store(matrix, i, load(matrix, i, lanes) + added)
    is_definite = factorise(matrix, n, lanes)
    total, squares = solve(matrix, n, g, lanes), fill(g, 0.0, lanes)
    for i in range(0, n * lanes, lanes):
        squares = load(g, i, lanes) * load(g, i, lanes) + squares
    store(block.expected, 0, where(is_definite > 0.0, total, 0.0))
    store(block.expected, lanes, where(is_definite > 0.0, total - damping * squares, 0.0))


@inline_helper
def loss_of_batch(task, batch, rows):
    """Return each lane's mean loss of a batch of `rows` samples."""
    block, refs, shuffle = task.block, task.refs, task.config.shuffle
    zero = fill(block.p, 0.0, block.lanes)
    store(block.monitored_value, 0, zero)
    store(block.n_correct_at_end, 0, zero)
    first = batch * block.batch_size
    for row in range(0, rows, block.tile_rows):
        n = min(block.tile_rows, rows - row)
        tile = Tile(first + row, row, n, n)
        if shuffle or block.filled[FILLED_FIRST] != tile.first or block.filled[FILLED_N] != n:
            fill_tile(task.net, task.data, task.nets, block, task.nets.own_data, shuffle, tile, 1.0)
        forward(refs.net, refs.nets, refs.block, tile, batch, 1, False)
        add_losses(refs.net, refs.block, METRIC_NONE, n, 1.0, block.monitored_value, block.n_correct_at_end)
    return load(block.monitored_value, 0, block.lanes) * scalar_like(block.p, 1.0 / rows)


@inline_helper
def damped_step(task, mode, batch, rows, objective):
    """Make a step for all lanes, where it lowers the objective, and adapt the damping.

    objective : (lanes,) mean loss of the batch before the step
    """
    net, nets, block, lanes, p, g = task.net, task.nets, task.block, task.block.lanes, task.block.p, task.block.g
    size, l2 = nets.n_params * lanes, load(block.hyper, L2 * lanes, lanes)
    if nets.penalised:
        objective += penalties(net, block, l2)
    solve_damped(task.refs.net, task.refs.nets, task.refs.block)
    rate = load(block.hyper, LEARNING_RATE * lanes, lanes)
    if task.criteria.scheduled:
        rate = rate * factors_now(task.config.factors, task.criteria, block, batch, mode.n_batches)
    for i in range(0, size, lanes):
        v = load(p, i, lanes)
        store(block.trial, i, v)
        store(p, i, v - rate * load(g, i, lanes))
    now = loss_of_batch(task, batch, rows)
    if nets.penalised:
        now += penalties(net, block, l2)
    expected = rate * (load(block.expected, 0, lanes) - 0.5 * rate * load(block.expected, lanes, lanes))
    falls = (now < objective) & (expected > 0.0)
    for i in range(0, size, lanes):
        store(p, i, where(falls, load(p, i, lanes), load(block.trial, i, lanes)))
    ratio = (objective - now) / where(expected > 0.0, expected, 1.0)
    t = 2.0 * where(ratio < 1.5, ratio, 1.5) - 1.0
    shrink = 1.0 - t * t * t
    growth = 2.0 * cast_like(p, load(block.powers, lanes, lanes))
    factor = where(falls, where(shrink > 1.0 / 3.0, shrink, 1.0 / 3.0), growth)
    growth = where(falls, 1.0, where(growth < MOST_GROWTH, growth, MOST_GROWTH))
    power = load(block.powers, 0, lanes) * cast_like(block.powers, factor)
    power = where(power < LEAST_FACTOR, LEAST_FACTOR, where(power < MOST_FACTOR, power, MOST_FACTOR))
    store(block.powers, 0, power)
    store(block.powers, lanes, cast_like(block.powers, growth))
