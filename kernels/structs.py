"""What kernels of every device are called with: a few named tuples of arrays and numbers.

    Net      the description, as codes and offsets (network.py, layout.py)
    Data     samples: X (n_samples, n_features), Y (n_samples, n_outputs) row by row, weight (n_samples,) or empty
    Course   how to walk through the samples and what to do at each step (training.py, optimizers.py)
    Memory   what training changes: one flat vector each, zero in its padding, and the records it leaves (plan.py)

All arrays are C-contiguous. Floating arrays share one dtype, except records, which are float64. Kernels see pointers to
the arrays' first elements, so every size they need is a number here.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import cycle
from math import prod
from typing import NamedTuple

import numpy as np


class NetSpec(NamedTuple):
    n_layers: int
    n_padded: int  # n_params rounded up to whole vectors
    sizes: np.ndarray  # int64 (n_layers + 1,)
    activations: np.ndarray  # int64 (n_layers,), codes
    weight_offsets: np.ndarray  # int64 (n_layers,), into params
    bias_offsets: np.ndarray  # int64 (n_layers,)
    keep_z: np.ndarray  # int64 (n_layers,), whether f' or the loss needs the layer's input to f
    derivative_needs_z: np.ndarray  # int64 (n_layers,), whether f' is written in that input
    dropout: np.ndarray  # float64 (n_layers,), 0 for the output layer
    loss: int
    loss_constant: float
    delta_is_wrt_logit: bool  # the loss's delta is already with respect to the logit
    loss_width: int  # over how many outputs the loss is a mean
    class_threshold: float  # outputs above it count as class 1
    margin: float  # outputs no further than this from their target count as right, under METRIC_MARGIN
    l2: float


class Samples(NamedTuple):
    n_samples: int
    X: np.ndarray  # flat
    Y: np.ndarray  # flat
    has_weights: bool
    weight: np.ndarray  # mean 1; empty if not has_weights
    has_targets: bool  # there are targets
    metric: int  # one of METRIC_*: what "right" means


METRIC_NONE, METRIC_THRESHOLD, METRIC_ARGMAX, METRIC_MARGIN = 0, 1, 2, 3


class TrainConfig(NamedTuple):
    batch_size: int
    shuffle: bool
    seed: int
    rule: int  # code of the update rule, NO_UPDATE for a gradient only
    hyper: np.ndarray  # float64, the optimiser's settings in the order of HYPER
    factors: np.ndarray  # float64 (n_steps of this call,), the schedule's factor on the learning rate
    layered: bool  # whether gradients are scaled layer by layer
    layer_factors: np.ndarray  # float64 (n_layers, 2), by what, those of weights and of biases; or empty


NO_UPDATE = -1
HYPER = (
    "learning_rate", "weight_decay", "clip_norm", "momentum", "beta1", "beta2", "epsilon", "growth", "shrink",
    "smallest", "biggest",
)  # fmt: skip


class TrainState(NamedTuple):
    params: np.ndarray  # (n_padded,)
    grads: np.ndarray  # (n_padded,)
    state: np.ndarray  # flat (n_state * n_padded,)
    epoch_loss: np.ndarray  # float64 (n_epochs,), mean over the epoch's samples, before each step's update
    epoch_right: np.ndarray  # float64 (n_epochs,), share of samples classified right
    scalars: np.ndarray  # float64 (n_ranks, N_SCALARS), what one call hands to the next; a copy per thread


POWER1, POWER2, LAST_LOSS, EPOCH_LOSS, EPOCH_RIGHT, STEPS_DONE, DIVERGED = range(7)
N_SCALARS = 16  # of a rank: two cache lines, so that ranks do not share one


class PopulationState(NamedTuple):
    """What is each net's own in a population, and what training leaves of it. A stride of 0: all nets share one row."""

    n_params: int
    params: np.ndarray  # flat (n_nets, n_params), read when a net starts, written when it ends
    hyper: np.ndarray  # float64, flat (n_nets, len(NET_HYPER)) or one row of it
    hyper_stride: int
    n_state: int  # numbers of state of the rule
    bias_correction: bool  # whether the rule has Adam's betas
    penalised: bool  # whether some net has an L2 penalty or weight decay
    clipped: bool  # whether some net has a clip_norm
    mixed: bool  # whether nets have data of their own
    dropout: np.ndarray  # float64, flat (n_nets, n_layers) or one row
    dropout_stride: int
    seeds: np.ndarray  # int64 (n_nets,), of shuffles and dropout
    X_stride: int  # elements from one net's samples to the next one's
    Y_stride: int
    weight_stride: int
    members: np.ndarray  # int64 (n_members,), the nets to train
    n_members: int
    status: np.ndarray  # int64 (n_nets,), one of RUNNING ...
    epochs: np.ndarray  # int64 (n_nets,), trained
    best_epochs: np.ndarray  # int64 (n_nets,), trained when the monitored value was best; empty if nothing is monitored
    loss: np.ndarray  # float64 (n_nets,), of the last epoch
    right: np.ndarray  # float64 (n_nets,), share of samples that were right in it
    best: np.ndarray  # float64 (n_nets,), the monitored value at its best; empty if nothing is monitored
    judges_ends: bool  # whether kernels may say in ...
    learned: np.ndarray  # ... int8 (n_nets,), if the net has all samples right after its last step; else it is NOT_SAID
    record_epochs: np.ndarray  # int64 (n_records + 1,), rising; the last one never comes
    n_records: int
    n_nets: int
    records: np.ndarray  # flat (n_records, n_nets), the loss of those epochs


NET_HYPER = (*HYPER, "l2")
MOST_RECORDS, NO_EPOCH = 64, 2**62
RUNNING, CONVERGED, ALL_EPOCHS, STOPPED_EARLY, DIVERGED_NET = range(5)


class Unfinished(NamedTuple):
    """What an interrupted net of a population has reached."""

    net: int
    status: int  # RUNNING, or DIVERGED_NET if its present parameters are not finite
    epochs: int  # done
    params: np.ndarray  # (n_params,): the best with early stopping, else the present or the last finite ones
    loss: float  # of the last whole epoch, NaN without one or after divergence
    right: float  # number of samples that were right in it
    best_epoch: int  # from 1; 0 if there is none
    best_value: float


UNKNOWN_TARGET = -1
ALL_RIGHT = 1.0 - 1e-5  # share of samples' weights, added up in the data's dtype, that counts as all of them


class StopCriteria(NamedTuple):
    """When a net of a population is finished."""

    n_epochs: int
    scheduled: bool  # whether course.factors has a number per step, or one for all
    stop_loss: float  # converged once the epoch's loss is no higher; -inf for never
    stop_right: float  # or once this many samples are right; inf for never
    monitor: int  # of MONITOR_*, what early stopping watches
    patience: int
    min_delta: float


MONITOR_NONE, MONITOR_LOSS, MONITOR_RIGHT, MONITOR_VALIDATION_LOSS, MONITOR_VALIDATION_RIGHT = range(5)

LINE = 64  # bytes of a cache line and of the widest vector
HUGE = 2**21  # bytes of a huge page of x86-64 and of most others
LARGE = 2**16  # bytes from which on an array may have pages to itself, and begin where all of them do
APART = 81 * LINE  # bytes by which the starts of such arrays differ, within their pages and within the caches' sets
_starts = cycle(range(0, 16 * APART, APART))


DATA_PARALLEL_PARAMS = 60_000  # parameters up to which two threads have a net each, wherever their processors are

EVALUATION_CHUNK_ROWS = (
    8  # of an evaluation whose losses are summed up by themselves: threads take multiples of them at a time
)


def parts_of(rows: int) -> int:
    """Of a batch with samples as lanes whose gradients are added up in the end, by as many threads at the most: of at
    least four vectors each, where that makes two. A power of two, so that two or four threads have as many each.
    """
    return next((n for n in (8, 4) if rows >= 64 * n), 2)


def aligned_zeros(shape, dtype) -> np.ndarray:
    """Zeros that start on a cache line: a vector that crosses lines costs two accesses. Many lie in huge pages."""
    dtype = np.dtype(dtype)
    n_bytes = (prod(shape) if isinstance(shape, tuple) else int(shape)) * dtype.itemsize
    # Arrays that are walked along side by side, such as parameters and their gradients, must not all begin at the same
    # place of a page: a load would wait for each store to such a place of another array.
    start = next(_starts) if n_bytes >= LARGE else 0
    raw = _huge_zeros(start + n_bytes) if n_bytes >= HUGE // 2 else None
    if raw is None:
        raw = np.zeros(start + n_bytes + LINE, np.uint8)
        raw = raw[-raw.ctypes.data % LINE :]
    return raw[start : start + n_bytes].view(dtype).reshape(shape)


def _huge_zeros(size: int) -> np.ndarray | None:
    """uint8, at least size bytes from the start of a huge page on; None where the system has no such thing.

    A page of 4 KiB costs half a microsecond when it is first written to, a huge one 190 us for 512 times as much. And
    small pages lie anywhere, so that some arrays may collide in a cache that they would fit into.
    """
    import mmap

    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    whole = (size + HUGE // 2) // HUGE * HUGE  # a rest of less than half of one stays in small ones
    try:
        room = mmap.mmap(-1, max(size, whole) + HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:  # no room: NumPy says so
        return None
    found = np.frombuffer(room, np.uint8)
    skip = -found.ctypes.data % HUGE
    with suppress(OSError):  # a kernel without huge pages
        room.madvise(mmap.MADV_HUGEPAGE, skip, whole)
    return found[skip:]
