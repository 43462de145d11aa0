"""Training loop around the unrolled code of one tiny net: copies samples into tiles, and calls the generated steps."""

from __future__ import annotations

from ...formulas.counter_rng import permutation
from ...jit.decorators import kernel
from ...simd.load_store import as_pointers, offset, scalar_like
from ...structs import DIVERGED, METRIC_MARGIN
from ..threads.in_kernels import flush_denormals, restore_denormals
from ..workspace import LANES_SMALL
from .single_net_codegen import SingleNetArguments, call_unrolled


@kernel
def train(thread, n_threads, barrier, net, data, config, state, workspace, address, tiles, first_step, n_steps):
    """Train for n_steps steps, from step number first_step on, with unrolled code.

    address : memory address of the generated function
    tiles : scratch for the samples of an epoch, as compiled.make_tiles returns it
    """
    net, data, config = as_pointers(net), as_pointers(data), as_pointers(config)
    state, workspace = as_pointers(state), as_pointers(workspace)
    n, size, n_inputs, n_outputs = data.n_samples, config.batch_size, net.sizes[0], net.sizes[net.n_layers]
    n_batches = (n + size - 1) // size
    stride = tiles.size // n_batches
    tiles, p = offset(tiles, 0), state.params
    scale = scalar_like(p, 1.0 / (min(size, n) * net.loss_width))
    last_scale = scalar_like(p, 1.0 / ((n - (n_batches - 1) * size) * net.loss_width))
    bound = scalar_like(p, net.margin if data.metric == METRIC_MARGIN else net.class_threshold)
    done, last, before = first_step, first_step + n_steps, flush_denormals()
    while done < last:  # once per epoch where samples are shuffled, else once
        stop = last
        epoch = done // n_batches
        if config.shuffle:
            stop = min(last, (epoch + 1) * n_batches)
            permutation(n, config.seed, epoch, workspace.words, workspace.order)
        for batch in range(n_batches):
            for lane in range(LANES_SMALL):
                s = batch if size == 1 else batch * size + lane
                exists = s < min(n, (batch + 1) * size)
                sample = 0
                if exists:
                    sample = workspace.order[s] if config.shuffle else s
                at = batch * stride + lane
                weight = zero = scalar_like(p, 0.0)
                if exists:
                    weight = data.weight[sample] if data.has_weights else scalar_like(p, 1.0)
                counts = weight != 0.0  # else the sample is zeros: it contributes nothing, even if its loss overflows
                for i in range(n_inputs):
                    tiles[at + i * LANES_SMALL] = data.X[sample * n_inputs + i] if counts else zero
                for j in range(n_outputs):
                    tiles[at + (n_inputs + j) * LANES_SMALL] = data.Y[sample * n_outputs + j] if counts else zero
                tiles[at + (n_inputs + n_outputs) * LANES_SMALL] = weight
        arguments = SingleNetArguments(
            p=p,
            state=state.state,
            tiles=tiles,
            hyper=config.hyper,
            factors=offset(config.factors, done - first_step),
            scalars=state.scalars,
            epoch_loss=state.epoch_loss,
            epoch_accuracy=state.epoch_accuracy,
            n_samples=n,
            batch_size=size,
            n_batches=n_batches,
            first_step=done,
            n_steps=stop - done,
            n_padded=net.n_padded,
            metric=data.metric,
            scale=scale,
            last_scale=last_scale,
            c=scalar_like(p, net.loss_constant),
            bound=bound,
        )
        call_unrolled(address, arguments)
        done = stop if state.scalars[DIVERGED] == 0.0 else last
    restore_denormals(before)
