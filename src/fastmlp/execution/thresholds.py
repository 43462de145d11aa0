"""Thresholds of kernel dispatch: from which size or work on a kernel family, a further thread, more lanes or rows pay.

They are measured or estimated: comments name the study that measured a constant and its entry in the log; constants for
a GPU are estimates so far. Work is counted in multiply-adds of matrix products. dispatch.py chooses by them, with the
help of gpu_costs.py and unrolled_code.py.
"""

from __future__ import annotations

from math import inf

from ..kernels.structs import EVALUATION_CHUNK_ROWS

# ---- samples as SIMD lanes (batch_simd) or a product per layer (layerwise): bench/studies/thresholds.py family,
# bench/log/small_nets.md#family-thresholds

# Largest layer with which samples as lanes win: (samples of a batch up to which the row counts, weights, outputs). A
# layer with so few outputs does not count, whatever its weights: a product takes 16 columns at a time, except the
# product with one row.
BATCH_SIMD_LIMITS = ((1, 200, 0), (8, 200, 2), (31, 600, 4), (63, 2500, 4), (inf, 3500, 4))
# Where the outputs of a layer leave tiles of a product half empty, samples as lanes win with larger layers
# (bench/log/gemm.md#half-filled-tiles).
TILE_COLUMNS = 32  # columns of a product's tile
TILE_FILL = 0.8  # fraction of the tiles' columns that are outputs, below which they count as half empty
HALF_FILLED_FROM_ROWS = 64  # samples of a batch
HALF_FILLED_UP_TO_WEIGHTS = 40_000  # weights of the layer
# Multiply-adds of the layer's product. Samples as lanes have eight threads at the most (n_shards), a larger product
# would give more of them enough to do. Estimated: two CPUs were at hand.
HALF_FILLED_UP_TO_PRODUCT = 16_000_000
EVALUATION_UP_TO_WEIGHTS = 128  # weights of the largest layer up to which a forward pass has samples as lanes ...
EVALUATION_UP_TO_INPUTS = 32  # ... if the net has no more inputs

# ---- data-parallel training of one net: bench/log/threads.md#data-parallel, bench/log/threads.md#no-shared-cache.

DATA_PARALLEL_PARAMS = 60_000  # parameters up to which it always pays, whether or not the threads share a cache
CACHED_BATCH_PARAMS = 200_000  # parameters up to which it pays if a batch's deltas stay in the second-level cache
L2_DELTAS = 250_000  # deltas of a batch that stay there. Those that leave the cache cost another core little.
# Deep nets of narrow layers train data-parallel whatever the batch: threads that share a net read more of what another
# thread has written, and the weights of such layers where they are, without a packed copy.
NARROW_UNITS = 160  # units of the largest layer
NARROW_NET_PARAMS = 1_200_000  # parameters of the net
DATA_PARALLEL_FROM_STEP = 900_000  # multiply-adds of a step from which a second thread with a copy of the net pays

# ---- threads of one net: bench/studies/thresholds.py threads, bench/log/threads.md#thread-thresholds

STEP_PER_THREAD = 1_500_000  # multiply-adds of a step that pay for one more thread at two barriers
CALL_PER_THREAD = 3_000_000  # multiply-adds of a kernel call that pay for waking one more thread
PASS_PER_THREAD = 4_500_000  # multiply-adds of a forward pass; they have less work around them than those of a step
ROWS_PER_THREAD = EVALUATION_CHUNK_ROWS  # fewest samples of a thread
COPIES_SHARE = 0.1  # of the memory: what fits at the same time may take for copies of rows, one for each fit
# Weights that a thread reads for one sample, at least: to wake a second one takes 130 us
# (bench/log/prediction.md#one-row-threads).
WEIGHTS_PER_THREAD = 1_500_000
ACTIVATION_WORK = 20  # multiply-adds that take as long as an activation with samples as lanes
SHARDS_FROM_STEP = 300_000  # work of a step with samples as lanes (multiply-adds) from which two threads pay
STEP_PER_SHARD_THREAD = 600_000  # the same for each further thread

# ---- nets that are trained by a second-order rule, in lanes or one by one: bench/log/second_order.md#lanes
# By rule: (number of nets from which they train in lanes, parameters of a net up to which they do)
SECOND_ORDER_LANES = {"levenbergmarquardt": (4, 200), "lbfgs": (4, 1000)}

# ---- populations in lanes or one by one: bench/studies/thresholds.py lanes,
# bench/log/populations.md#lanes-or-one-by-one

# Numbers of nets from which they train in lanes: (parameters of a net up to which the row counts, numbers of nets in
# batches of up to 4 samples, of up to 16, and in larger ones). They are twice the number that makes a block of lanes
# cheaper than nets one by one, since two threads train two nets one by one in the time of one. More threads would raise
# it further, but a population has the same bits for any number of threads.
LANES_FROM = ((40, (6, 12, 20)), (1000, (8, 14, 24)), (4000, (12, 24, inf)))
LANES_FROM_UNSHUFFLED = 8  # nets of the first row of LANES_FROM, if their samples stay in place
EVALUATION_LANES_UP_TO_PARAMS = 4000  # parameters of a net up to which a forward pass is in lanes ...
EVALUATION_LANES_FROM_NETS = 12  # ... from so many nets on
NET_STEP_WORK = 50  # multiply-adds that take as long as activations and bookkeeping of a tiny net and sample
# A block of unrolled code fills a register with float32. Up to so many parameters it fills two where each thread has
# enough nets: two chains of dependent operations fill each other's gaps. Larger nets would have too few registers.
# (bench/studies/thresholds.py block, bench/log/populations.md#lanes-per-block)
WIDE_UP_TO_PARAMS = 13

# ---- rows: samples that go through a net at once

# Samples of a micro-batch: a larger batch goes through the net in parts, so that it needs no more memory than one of
# them, and numbers stay in caches on their way. A multiple of whole tiles, vectors and blocks of a product.
# (bench/log/gemm.md#micro-batches)
MICRO_BATCH_ROWS = 4096
EVALUATION_ROWS = 256  # samples that a thread takes through the layers at a time in a forward pass ...
LARGE_LAYER_WEIGHTS = 100_000  # ... but for a layer of so many weights, which it copies each time,
LARGE_LAYER_EVALUATION_ROWS = 1024  # it takes so many (bench/log/prediction.md#prediction-rows)
DEVICE_EVALUATION_ROWS = 16_384  # samples that a GPU takes through the layers at a time

# ---- families on a GPU: which can train a net; gpu_costs.py says which of them is fastest

BLOCK_UP_TO_PARAMS = 20_000  # parameters of a net that one block can train by itself
# In a population a block's shared memory should hold parameters, gradient, two vectors of state and a tile of
# activations of its net (gpu_costs.BLOCK_BYTES is what it has).
BLOCK_UP_TO_BYTES = 40_000  # bytes of parameters: 10,000 in float32
THREADS_FROM_NETS = 128  # nets of a population from which each may have a thread: those of one block
# Maximum of the numbers that a thread keeps in registers (parameters, gradients and optimiser state), by bytes per
# number. Other values leave no room for more: tests/unit/kernels/cuda/test_nvrtc.py states how much the largest nets
# spill.
THREAD_UP_TO_NUMBERS = {4: 180, 8: 75}
THREAD_UNROLLED_UP_TO = 160  # parameters times samples up to which a thread's loop over samples is unrolled

# ---- unrolled code

# Unrolled code of one net: parameters and samples of a batch up to which a net is tiny (for larger nets the loops take
# no more than 1.5 to 3 times as long, bench/log/small_nets.md#single-net-unrolled); samples in the data, all of which
# are copied into tiles; steps of an architecture in this process, about 0.1 s of training, after which its code is
# compiled, and after which it is loaded if another process has compiled it.
UNROLLED_UP_TO_PARAMS, UNROLLED_UP_TO_ROWS, UNROLLED_UP_TO_SAMPLES = 256, 4, 4096
COMPILE_UNROLLED_AFTER, LOAD_UNROLLED_AFTER = 1_000_000, 50_000
# Parameters up to which nets of a population have unrolled code. For larger nets unrolling gains little
# (bench/log/populations.md#population-unrolled-limit). Work of all nets of an architecture in this process, each sample
# counted as its products and NET_STEP_WORK, from which the code is compiled; code that is on disk is always used.
# Compiling takes some 4 s, in which the loops do so much work (bench/log/populations.md#population-unrolled-work).
UNROLLED_NETS_UP_TO_PARAMS = 40
COMPILE_UNROLLED_NETS_FROM = 2 * 10**10
# Seconds of a time limit from which generated code of either kind is compiled. That takes 4 to 14 s of the limit.
# However many epochs are asked for, a shorter fit has not so many that it pays.
COMPILE_UNROLLED_FROM_SECONDS = 60.0
