"""Structs: the named tuples of arrays and numbers that the kernels of every device take as arguments.

    NetSpec           one net: sizes, codes and offsets           (network/spec.py, network/parameter_layout.py)
    Samples           X (n_samples, n_features), Y (n_samples, n_outputs), both row by row, weight (n_samples,) or empty
    TrainConfig       batches, random numbers and update rule     (fit/one_net.py, optimizers/)
    TrainState        what training changes: flat vectors, zero in their padding, and the records (execution/plan.py)
    PopulationState   settings and results of each net of a population (fit/lanes.py)
    Choice, KernelVariant     what dispatch has chosen            (execution/dispatch.py)
    StopCriteria      when a net of a population is finished

All arrays are C-contiguous. Floating-point arrays have the net's dtype, float32 or float64, where no comment says
float64. Kernels see only pointers to the arrays' first elements, so every size a kernel needs is a field.

A kernel's parameter whose name ends in 0 is an offset: the index in a flat array from which on the call reads or
writes it, such as x0 of x, or w0 and b0 of weights and biases. (s0 to s2 of update rules are optimiser state.)

Also here: thresholds that allocation and kernels have in common, and arrays that start on cache lines and lie in huge
pages (`aligned_zeros`).
"""

from __future__ import annotations

from contextlib import suppress
from itertools import cycle
from math import prod
from typing import NamedTuple

import numpy as np

from .formulas.update_rules import HYPER_PARAMETERS

LINE = 64  # bytes of a cache line, and of the widest vector
# Numbers of float32 in that vector. Kernels take as many at a time in float64 and on narrower processors, too, but in
# several registers.
LANES = LINE // 4
THREAD_STRIDE = 2 * LINE // 8  # numbers of 8 bytes from one thread's entry to the next: no cache line has two threads'


class NetSpec(NamedTuple):
    n_layers: int
    n_padded: int  # n_params rounded up to whole vectors
    sizes: np.ndarray  # int64 (n_layers + 1,)
    activations: np.ndarray  # int64 (n_layers,), codes
    weight_offsets: np.ndarray  # int64 (n_layers,), into params
    bias_offsets: np.ndarray  # int64 (n_layers,)
    keep_z: np.ndarray  # int64 (n_layers,), 1 if f' or the loss needs the layer's pre-activations
    derivative_needs_z: np.ndarray  # int64 (n_layers,), 1 if f' is written in terms of the pre-activations
    dropout: np.ndarray  # float64 (n_layers,), dropout rates; 0 for the output layer
    loss: int
    loss_constant: float
    delta_is_wrt_logit: bool  # whether the loss's delta is already with respect to the logits
    loss_width: int  # number of outputs over which the loss is averaged
    class_threshold: float  # class 1 is predicted for outputs above this value
    margin: float  # METRIC_MARGIN: an output is correct if it is at most this far from its target
    l2: float


class Samples(NamedTuple):
    n_samples: int
    X: np.ndarray  # (n_samples * n_features,), row by row
    Y: np.ndarray  # (n_samples * n_outputs,), row by row
    has_weights: bool
    weight: np.ndarray  # (n_samples,), mean 1; empty if not has_weights
    has_targets: bool  # whether Y holds targets
    metric: int  # one of METRIC_*: when a sample counts as correct


METRIC_NONE, METRIC_THRESHOLD, METRIC_ARGMAX, METRIC_MARGIN = 0, 1, 2, 3


class TrainConfig(NamedTuple):
    batch_size: int
    shuffle: bool
    seed: int
    rule: int  # code of the update rule, or NO_UPDATE to compute only the gradient
    hyper: np.ndarray  # float64 (len(HYPER),), the optimiser's settings in the order of HYPER
    factors: np.ndarray  # float64 (n_steps of this call,), learning-rate factors of the schedule
    layered: bool  # whether the weights and biases of each layer have factors of their own
    # float64 (2, n_layers, 2), factors on the gradients of weights and biases, then on their learning rates; or empty
    layer_factors: np.ndarray


NO_UPDATE = -1
HYPER = tuple(row.name for row in HYPER_PARAMETERS)
# Indices of the hyper-parameters that kernels read, into HYPER.
LEARNING_RATE = HYPER.index("learning_rate")
WEIGHT_DECAY = HYPER.index("weight_decay")
CLIP_NORM = HYPER.index("clip_norm")
BETA1 = HYPER.index("beta1")
BETA2 = HYPER.index("beta2")
DAMPING = HYPER.index("damping")


class TrainState(NamedTuple):
    params: np.ndarray  # (n_padded,)
    grads: np.ndarray  # (n_padded,)
    state: np.ndarray  # flat (n_state * n_padded,), optimiser state
    epoch_loss: np.ndarray  # float64 (n_epochs,), mean over the epoch's samples, each before its step's update
    epoch_accuracy: np.ndarray  # float64 (n_epochs,), fraction of samples predicted correctly
    scalars: np.ndarray  # float64 (n_threads, N_SCALARS), carried from call to call; a copy per thread


POWER1, POWER2, LAST_LOSS, EPOCH_LOSS, EPOCH_N_CORRECT, STEPS_DONE, DIVERGED = range(7)
N_SCALARS = THREAD_STRIDE


class KernelVariant(NamedTuple):
    """Variant of a family's kernels, chosen by execution/dispatch.py; all variants give the same bits.

    It is chosen for each call that trains one net, and once for a fit of a population.
    """

    own_copies: bool = False  # whether each thread has a copy of its own, of the net or of its packed weights
    unrolled: int = 0  # one of UNROLLED_*: whether generated code trains tiny nets
    lanes: int = 0  # number of a population's nets in a block; 0 for one net
    net_per_thread: bool = False  # on a GPU: whether a thread trains a net of a population, or a block of threads does


class Choice(NamedTuple):
    """What execution/dispatch.py has chosen for a fit or an evaluation, once; allocation and backends take it as it is.

    For a call of kernels, it has the threads and the variant of the call.
    """

    family: str
    n_threads: int  # number of threads, at most
    rows: int  # samples of a micro-batch, or that all threads of an evaluation take through the net together
    n_shards: int = 1  # parts of a micro-batch whose gradients are computed apart
    weight_copies: int = 1  # packed copies of the weights, 2 if each of two threads may need its own
    # Threads that share chunks of rows and of weights; 0 if each thread takes its shard as a whole, and all weights.
    sharing_threads: int = 1
    variant: KernelVariant = KernelVariant()

    @property
    def rows_of_thread(self) -> int:
        """Samples that each thread of an evaluation takes through the net at a time."""
        return self.rows // self.n_threads


# Generated code is never used; is used if it has been compiled, by this process or another one; is compiled if needed.
UNROLLED_NEVER, UNROLLED_IF_ON_DISK, UNROLLED_ALWAYS = range(3)


class PopulationState(NamedTuple):
    """Settings and results of each net of a population. With a stride of 0, all nets share one row."""

    n_params: int
    params: np.ndarray  # flat (n_nets, n_params), read when a net starts, written when it ends
    hyper: np.ndarray  # float64, flat (n_nets, len(NET_HYPER)), or one row for all nets
    hyper_stride: int
    n_state: int  # number of state values the update rule keeps per parameter
    bias_correction: bool  # whether the rule uses Adam's betas, which need bias correction
    penalised: bool  # whether any net has an L2 penalty or weight decay
    clipped: bool  # whether any net has a clip_norm
    own_data: bool  # whether each net has its own samples, targets or weights
    dropout: np.ndarray  # float64, flat (n_nets, n_layers), or one row for all nets
    dropout_stride: int
    seeds: np.ndarray  # int64 (n_nets,), for shuffling and dropout
    X_stride: int  # elements from one net's X to the next net's X
    Y_stride: int
    weight_stride: int
    members: np.ndarray  # int64 (n_members,), numbers of the nets to train
    n_members: int
    status: np.ndarray  # int64 (n_nets,), RUNNING, CONVERGED, ALL_EPOCHS, STOPPED_EARLY or DIVERGED_NET
    epochs: np.ndarray  # int64 (n_nets,), number of epochs trained
    best_epochs: np.ndarray  # int64 (n_nets,), epochs trained at the best monitored value; empty without a monitor
    loss: np.ndarray  # float64 (n_nets,), loss of the last epoch
    accuracy: np.ndarray  # float64 (n_nets,), fraction of correct samples in the last epoch
    best_value: np.ndarray  # float64 (n_nets,), best monitored value; empty without a monitor
    checks_final_accuracy: bool  # whether kernels may check the accuracy after the last step
    all_correct: np.ndarray  # int8 (n_nets,), its result: 1 if all samples are correct, 0 if not, or UNCHECKED
    record_epochs: np.ndarray  # int64 (n_records + 1,), increasing; the last entry, NO_EPOCH, is never reached
    n_records: int
    n_nets: int
    records: np.ndarray  # flat (n_records, n_nets), loss in the epochs of record_epochs
    # Whether nets that have trained all their epochs write here what a later call needs to train them further.
    keeps_ended: bool
    kept_vectors: np.ndarray  # flat (n_nets, 2 + n_state, n_params), parameters, those that gave a finite loss, state
    kept_numbers: np.ndarray  # float64, flat (n_nets, N_KEPT_NUMBERS)


NET_HYPER = (*HYPER, "l2")
L2 = NET_HYPER.index("l2")
NET_DEFAULTS = (*(row.default for row in HYPER_PARAMETERS), 0.0)  # in the order of NET_HYPER, as HyperParameter.default
MAX_RECORDS, NO_EPOCH = 64, 2**62
RUNNING, CONVERGED, ALL_EPOCHS, STOPPED_EARLY, DIVERGED_NET = range(5)
# Positions in a row of PopulationState.kept_numbers: what SuspendedNets has in powers, numbers and clock.
KEPT_POWER1, KEPT_POWER2, KEPT_LAST_LOSS, KEPT_BEST_VALUE, KEPT_LOSS, KEPT_N_CORRECT, KEPT_CLOCK = range(7)
N_KEPT_NUMBERS = 7


class SuspendedNets(NamedTuple):
    """Nets of a population in the middle of their training, a row for each, from which they can go on."""

    net_index: np.ndarray  # int64 (n,)
    epochs: np.ndarray  # int64 (n,), completed epochs
    best_epochs: np.ndarray  # int64 (n,), counted from 1; 0 for none
    clock: np.ndarray  # int64 (n,), epochs that the net's lane had trained: those of this net and of nets before it
    params: np.ndarray  # (n, n_params)
    state: np.ndarray  # (n, n_state * n_params)
    safe_params: np.ndarray  # (n, n_params), parameters that gave a finite loss
    best_params: np.ndarray  # (n, n_params), or (n, 0) without a monitored value
    powers: np.ndarray  # float64 (n, 2), of Adam's betas
    numbers: np.ndarray  # float64 (n, 4): the last loss, the best value, the last epoch's mean loss and correct samples

    def part(self, start: int, end: int) -> SuspendedNets:
        """Return the nets of some rows."""
        return SuspendedNets(*(array[start:end] for array in self))

    @staticmethod
    def joined(parts: list[SuspendedNets]) -> SuspendedNets:
        """Return the nets of several parts, at least one."""
        return SuspendedNets(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


NONE_SUSPENDED = SuspendedNets(*[np.empty(0, np.int64)] * len(SuspendedNets._fields))  # cannot be joined with others

UNCHECKED = -1
# Fraction of the samples' weights that counts as all of them; weights are summed in the data's dtype.
FULL_ACCURACY = 1.0 - 1e-5


class StopCriteria(NamedTuple):
    """Criteria by which a net of a population is finished."""

    n_epochs: int
    scheduled: bool  # whether TrainConfig.factors has a number per step; otherwise it has one for all steps
    stop_loss: float  # converged once the epoch's loss is at most this; -inf for never
    stop_n_correct: float  # converged once this many samples are correct; inf for never
    monitor: int  # one of MONITOR_*: the value that early stopping monitors
    patience: int
    min_delta: float


MONITOR_NONE, MONITOR_LOSS, MONITOR_ACCURACY, MONITOR_VALIDATION_LOSS, MONITOR_VALIDATION_ACCURACY = range(5)

HUGE_PAGE_BYTES = 2**21  # bytes of a huge page on x86-64 and most other processors
# From this size in bytes on an array may get pages of its own. All such arrays would begin at one offset in a page;
# so they begin at multiples of START_STAGGER, in turn.
STAGGER_FROM_BYTES, START_STAGGER = 2**16, 81 * LINE
_starts = cycle(range(0, 16 * START_STAGGER, START_STAGGER))


# For one row on several threads, a layer's outputs are divided into a share for every so many outputs.
COLUMNS_PER_SHARE = 128

DATA_PARALLEL_THREADS = 2  # threads, and shards of a batch, of layerwise_data_parallel

# Nets with more parameters do not fit into a cache: a second copy of the weights gains nothing.
LARGE_NET_PARAMS = 2_000_000


def rounds_to_bfloat16(precision: str, itemsize: int) -> bool:
    """Whether a GPU rounds operands of products to bfloat16: where this is permitted, and numbers are float32."""
    return precision == "bfloat16" and itemsize == 4


# Samples of an evaluation whose losses are summed together; threads take multiples of this number at a time.
EVALUATION_CHUNK_ROWS = 8


def aligned_zeros(shape, dtype) -> np.ndarray:
    """Return zeros that start on a cache line; large arrays lie in huge pages.

    A load of a vector that crosses a line costs two accesses.
    """
    dtype = np.dtype(dtype)
    n_bytes = (prod(shape) if isinstance(shape, tuple) else int(shape)) * dtype.itemsize
    # Arrays that are read side by side, such as parameters and gradients, must not start at the same offset in a page:
    # a load would wait for each store to the same offset of another array ("4K aliasing").
    start = next(_starts) if n_bytes >= STAGGER_FROM_BYTES else 0
    raw = _huge_zeros(start + n_bytes) if n_bytes >= HUGE_PAGE_BYTES // 2 else None
    if raw is None:
        raw = np.zeros(start + n_bytes + LINE, np.uint8)
        raw = raw[-raw.ctypes.data % LINE :]
    return raw[start : start + n_bytes].view(dtype).reshape(shape)


def _huge_zeros(size: int) -> np.ndarray | None:
    """Return at least `size` bytes (uint8) from the start of a huge page, or None if huge pages cannot be asked for.

    The first write to a page of 4 KiB costs half a microsecond, to a huge page 190 us for 512 times the memory. Small
    pages lie anywhere in physical memory, so that arrays may collide in a cache they would fit into.
    """
    import mmap

    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    # less than half a huge page at the end stays in small pages
    whole = (size + HUGE_PAGE_BYTES // 2) // HUGE_PAGE_BYTES * HUGE_PAGE_BYTES
    try:
        room = mmap.mmap(-1, max(size, whole) + HUGE_PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:  # out of memory: NumPy's allocation reports it
        return None
    memory = np.frombuffer(room, np.uint8)
    skip = -memory.ctypes.data % HUGE_PAGE_BYTES
    with suppress(OSError):  # an operating system without huge pages gives small ones
        room.madvise(mmap.MADV_HUGEPAGE, skip, whole)
    return memory[skip:]
