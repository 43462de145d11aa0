"""Training loop around the unrolled code of one tiny net: copies samples into tiles, and calls the generated steps."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ...formulas.counter_rng import permutation
from ...jit.decorators import kernel
from ...simd.load_store import as_pointers, offset, scalar_like
from ...structs import DIVERGED, METRIC_MARGIN
from ..threads.denormals import flush_denormals, restore_denormals
from ..workspace import LANES_SMALL
from .single_net_codegen import kinds


@intrinsic
def _call(
    typing_context,
    address,
    p,
    state,
    tiles,
    hyper,
    factors,
    scalars,
    epoch_loss,
    epoch_right,
    n_samples,
    batch_size,
    n_batches,
    first_step,
    n_steps,
    n_padded,
    metric,
    scale,
    last_scale,
    c,
    bound,
):
    """Call the function at `address`, whose arguments are single_net_codegen.NAMES."""

    def build(context, builder, sig, args):
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in args[1:]])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(types.intp, *kinds(p.dtype)), build


@kernel
def train(rank, n_ranks, barrier, net, data, course, memory, work, address, tiles, first_step, n_steps):
    """Train for n_steps steps, from step number first_step on, with unrolled code.

    address : of the generated function
    tiles : scratch for the samples of an epoch, as single_net_lookup.make_tiles returns it
    """
    net, data, course, memory, work = (
        as_pointers(net),
        as_pointers(data),
        as_pointers(course),
        as_pointers(memory),
        as_pointers(work),
    )
    n, size, n_inputs, n_outputs = data.n_samples, course.batch_size, net.sizes[0], net.sizes[net.n_layers]
    n_batches = (n + size - 1) // size
    stride = tiles.size // n_batches
    tiles, p = offset(tiles, 0), memory.params
    scale = scalar_like(p, 1.0 / (min(size, n) * net.loss_width))
    last_scale = scalar_like(p, 1.0 / ((n - (n_batches - 1) * size) * net.loss_width))
    bound = scalar_like(p, net.margin if data.metric == METRIC_MARGIN else net.class_threshold)
    done, last, mode = first_step, first_step + n_steps, flush_denormals()
    while done < last:
        stop = last
        epoch = done // n_batches
        if course.shuffle:
            stop = min(last, (epoch + 1) * n_batches)
            permutation(n, course.seed, epoch, work.words, work.order)
        for batch in range(n_batches if course.shuffle or done == first_step else 0):
            for lane in range(LANES_SMALL):
                s = batch if size == 1 else batch * size + lane
                exists = s < min(n, (batch + 1) * size)
                sample = 0
                if exists:
                    sample = work.order[s] if course.shuffle else s
                at = batch * stride + lane
                for i in range(n_inputs):
                    tiles[at + i * LANES_SMALL] = data.X[sample * n_inputs + i]
                for j in range(n_outputs):
                    tiles[at + (n_inputs + j) * LANES_SMALL] = data.Y[sample * n_outputs + j]
                weight = scalar_like(p, 0.0)
                if exists:
                    weight = data.weight[sample] if data.has_weights else scalar_like(p, 1.0)
                tiles[at + (n_inputs + n_outputs) * LANES_SMALL] = weight
        _call(
            address,
            p,
            memory.state,
            tiles,
            course.hyper,
            offset(course.factors, done - first_step),
            memory.scalars,
            memory.epoch_loss,
            memory.epoch_right,
            n,
            size,
            n_batches,
            done,
            stop - done,
            net.n_padded,
            data.metric,
            scale,
            last_scale,
            scalar_like(p, net.loss_constant),
            bound,
        )
        done = stop if memory.scalars[DIVERGED] == 0.0 else last
    restore_denormals(mode)
