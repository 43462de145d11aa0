"""One tiny net that trains for long: its steps in straight-line form, made when they have been worth making.

Making takes a few tenths of a second, and loading what another process has made some milliseconds, so the first steps
of an architecture are done by the loops of per_sample.py. Nobody can tell: all bits are the same.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..activations import SOFTMAX
from ..arguments import DIVERGED, METRIC_MARGIN, NO_UPDATE, Course, Data, Net
from ..jit import kernel
from ..memory import bare, number, offset
from ..random import permutation
from .on_demand import c_function, is_on_disk, source
from .one_net_code import COUNTS, LANES, NAMES, NUMBERS, POINTERS, RECORDS, make_steps, tile_size
from .straight_line import MOST_PARAMETERS
from .update import CLIP_NORM, WEIGHT_DECAY

MAKE_AFTER = 1_000_000  # steps of an architecture in this process, about 0.1 s
LOAD_AFTER = 50_000  # steps, if another process has made it
MOST_SAMPLES = 4096  # which are copied, each with as many lanes as a batch

_steps_done: dict[tuple, int] = {}


def _kinds(x):
    """Numba's types of NAMES, for numbers of type x."""
    number, double = types.CPointer(x), types.CPointer(types.float64)
    return (*[number] * len(POINTERS), *[double] * len(RECORDS), *[types.intp] * len(COUNTS), *[x] * len(NUMBERS))


def _source(architecture: tuple) -> str:
    return source(f"{make_steps.__module__}.make_steps", NAMES, architecture)


@cache
def compiled(architecture: tuple, dtype: np.dtype):
    """The C function of make_steps(*architecture)."""
    x = types.float32 if dtype.itemsize == 4 else types.float64
    return c_function(_source(architecture), types.void(*_kinds(x)))


@cache
def _is_on_disk(architecture: tuple) -> bool:
    return is_on_disk(_source(architecture))


def address_for(net: Net, data: Data, course: Course, dtype: np.dtype, n_steps: int) -> int:
    """Where the function for the next n_steps is, or 0 if the loops are to do them."""
    if course.batch_size > LANES or data.n_samples > MOST_SAMPLES or course.rule == NO_UPDATE or course.layered:
        return 0
    if net.bias_offsets[-1] + net.sizes[-1] > MOST_PARAMETERS or net.activations[-1] == SOFTMAX:
        return 0
    if net.l2 or course.hyper[WEIGHT_DECAY] or course.hyper[CLIP_NORM]:
        return 0
    sizes, activations = tuple(net.sizes.tolist()), tuple(net.activations.tolist())
    architecture = (sizes, activations, int(net.loss), int(course.rule), course.batch_size == 1)
    done = _steps_done.get((architecture, dtype), 0)
    _steps_done[architecture, dtype] = done + n_steps
    if done >= MAKE_AFTER or (done >= LOAD_AFTER and _is_on_disk(architecture)):
        return compiled(architecture, dtype).address
    return 0


@intrinsic
def _call(
    typing_context, address, p, state, tiles, hyper, factors, scalars, epoch_loss, epoch_right, n_samples, batch_size,
    n_batches, first_step, n_steps, n_padded, metric, scale, last_scale, c, bound,
):  # fmt: skip
    """Call the function at `address`, whose arguments are NAMES."""

    def build(context, builder, sig, args):
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in args[1:]])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(types.intp, *_kinds(p.dtype)), build


def make_tiles(net: Net, data: Data, course: Course, dtype: np.dtype) -> np.ndarray:
    """Room for the samples of an epoch, batch by batch."""
    n_batches = -(-data.n_samples // course.batch_size)
    return np.zeros(n_batches * tile_size(int(net.sizes[0]), int(net.sizes[-1])), dtype)


@kernel
def train(rank, n_ranks, barrier, net, data, course, memory, work, address, tiles, first_step, n_steps):
    """n_steps of training from first_step on."""
    net, data, course, memory, work = bare(net), bare(data), bare(course), bare(memory), bare(work)
    n, size, n_inputs, n_outputs = data.n_samples, course.batch_size, net.sizes[0], net.sizes[net.n_layers]
    n_batches = (n + size - 1) // size
    stride = tiles.size // n_batches
    tiles, p = offset(tiles, 0), memory.params
    scale = number(p, 1.0 / (min(size, n) * n_outputs))
    last_scale = number(p, 1.0 / ((n - (n_batches - 1) * size) * n_outputs))
    bound = number(p, net.margin if data.metric == METRIC_MARGIN else net.middle)
    done, last = first_step, first_step + n_steps
    while done < last:
        stop = last
        epoch = done // n_batches
        if course.shuffle:
            stop = min(last, (epoch + 1) * n_batches)
            permutation(n, course.seed, epoch, work.words, work.order)
        for batch in range(n_batches if course.shuffle or done == first_step else 0):
            for lane in range(LANES):
                s = batch if size == 1 else batch * size + lane
                exists = s < min(n, (batch + 1) * size)
                sample = 0
                if exists:
                    sample = work.order[s] if course.shuffle else s
                at = batch * stride + lane
                for i in range(n_inputs):
                    tiles[at + i * LANES] = data.X[sample * n_inputs + i]
                for j in range(n_outputs):
                    tiles[at + (n_inputs + j) * LANES] = data.Y[sample * n_outputs + j]
                weight = number(p, 0.0)
                if exists:
                    weight = data.weight[sample] if data.weighted else number(p, 1.0)
                tiles[at + (n_inputs + n_outputs) * LANES] = weight
        _call(
            address, p, memory.state, tiles, course.hyper, offset(course.factors, done - first_step), memory.scalars,
            memory.epoch_loss, memory.epoch_right, n, size, n_batches, done, stop - done, net.n_padded, data.metric,
            scale, last_scale, number(p, net.loss_constant), bound,
        )  # fmt: skip
        done = stop
        if memory.scalars[DIVERGED] > 0.0:
            return
