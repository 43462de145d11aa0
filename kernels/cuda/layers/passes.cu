// Passes around the matrix products of nets: one elementwise pass per layer and direction, the gradient of a parameter,
// and its update. The net is a dimension of the grid: one large net (single_net/layerwise.cu), or nets trained in
// lockstep (population/batched.cu).
//
// Activations, deltas and the weights in products are Operands (build/net_constants.py): T, or Bfloat16. All else is T: the
// outputs of the net, gradients, and numbers on their way. Bias gradients are sums of deltas as they are stored.
//
// Rows are samples. Sums over rows give one partial sum per chunk of rows, which the next kernel adds up in order, so
// that results do not depend on scheduling.
//
// Every array has a stride from net to net: PARAMS_STRIDE for a flat vector, max_rows rows of activations (the maximum
// batch size), most_chunks partial sums over rows. Grids are (numbers, net); of `loss_and_output_delta` (chunk, net),
// and of `backward` (columns, chunk, net), with blocks of 32 columns x 8 rows. A layer's biases b, and bias_parts, are
// those of the first net.
//
// Values that differ from step to step are read from the clock, which a step's last kernel advances: the arguments of a
// launch are the same at every step, so that a captured launch can be replayed. Without a clock nothing is trained.
//
// In the kernels loss_and_output_delta and backward, read-only pointers are __restrict__: then the next row's loads need
// not wait for this row's stores. Not in the functions that they call: NVRTC would then select the activation inside the
// loop, not before.

constexpr int ACROSS = 32, DOWN = 8;  // threads of a block
constexpr int N_ROW_SUMS = bias_index(N_LAYERS - 1) + N_OUTPUTS;  // gradients of biases

// The number of this block's net, and of its row in the arrays of NetInputs; of one net they are known to the compiler.
__device__ __forceinline__ long long net_of(unsigned block) { return ONE_NET ? 0 : block; }
__device__ __forceinline__ long long owner_of(const NetInputs& inputs, long long net) {
  return ONE_NET ? 0 : inputs.owners[net];
}

// Gather each net's batch, one number per thread: rows order[first ..] or, without an order, rows first .. of its samples.
// x, y and w: null if they are not needed. first: without a clock, the first row.
extern "C" __global__ void gather(
    const Clock* clock, const NetInputs* inputs, const int* order, long long first, long long rows, long long max_rows,
    Operand* x, T* y, T* w) {
  const NetInputs& from = *inputs;
  const long long net = net_of(blockIdx.y), owner = owner_of(from, net);
  const T *const X = from.X + owner * from.X_stride, *const Y = from.Y + owner * from.Y_stride;
  const T* const weight = from.weight + owner * from.weight_stride;
  if (clock) first = clock->step % clock->n_batches * from.batch_size;
  if (order) order += net * from.n_samples;
  if (x) x += net * max_rows * N_INPUTS;
  if (y) y += net * max_rows * N_OUTPUTS;
  if (w) w += net * max_rows;
  const long long width = N_INPUTS + N_OUTPUTS + 1, size = rows * width;
  for (long long e = (long long)blockIdx.x * blockDim.x + threadIdx.x; e < size; e += (long long)gridDim.x * blockDim.x) {
    const long long r = e / width;
    const int j = int(e - r * width);
    const long long sample = order ? order[first + r] : first + r;
    if (j < N_INPUTS) {
      if (x) x[r * N_INPUTS + j] = X[sample * N_INPUTS + j];
    } else if (j < N_INPUTS + N_OUTPUTS) {
      if (y) y[r * N_OUTPUTS + j - N_INPUTS] = Y[sample * N_OUTPUTS + j - N_INPUTS];
    } else if (w) {
      w[r] = weight[sample];
    }
  }
}

// Whether element e of layer k's outputs in a batch survives dropout; the same on every device.
__device__ __forceinline__ bool survives(long long e, int k, long long step, long long seed, double rate) {
  const Words four = philox(e >> 2, step, DROPOUT, k, seed);
  return word_of(four, int(e & 3)) >= (unsigned long long)(rate * 4294967296.0);
}

// a = f(z + b) of hidden layer k. `drops` also applies dropout: then z keeps the argument of f', and mask the factors,
// which are T even where operands are bfloat16: 1 / (1 - rate), rounded, would scale all outputs.
extern "C" __global__ void activate(
    const Clock* clock, const NetInputs* inputs, int k, long long rows, long long max_rows, int drops, const T* b,
    Operand* z, T* mask, Operand* a) {
  const int code = activation_of(k), width = width_of(k + 1);
  const long long net = net_of(blockIdx.y), at = net * max_rows * width, size = rows * width;
  b += net * PARAMS_STRIDE, z += at, mask += at, a += at;
  const bool keeps_z = derivative_needs_z(k);
  double rate = 0.0;
  long long seed = 0, step = 0;
  if (drops) {
    const long long owner = owner_of(*inputs, net);
    rate = inputs->dropout[owner * inputs->dropout_stride + k], seed = inputs->seeds[owner], step = clock->step;
  }
  const T scaled = T(1.0 / (1.0 - rate));
  for (long long e = (long long)blockIdx.x * blockDim.x + threadIdx.x; e < size; e += (long long)gridDim.x * blockDim.x) {
    const T v = T(z[e]) + b[e % width];
    T out = activation_value(code, v);
    if (drops) {
      const T factor = survives(e, k, step, seed, rate) ? scaled : T(0);
      z[e] = keeps_z ? v : out;
      mask[e] = factor;
      out *= factor;
    } else if (keeps_z) {
      z[e] = v;
    }
    a[e] = out;
  }
}

// Whether a thread adds up the bias gradients of its outputs in registers; otherwise they are sums of stored deltas.
constexpr bool SUMS_IN_REGISTERS = N_OUTPUTS <= 32;

// The rows of a chunk: outputs, losses, correct samples and deltas. SHARERS neighbouring threads of a warp share a row;
// each has every SHARERS-th output. Returns, in lane j, this warp's part of the bias gradient of output j, if such sums
// are in registers. All lanes take part in the sums of their warp, those without a row with the first one's.
template <int SHARERS>
__device__ __forceinline__ T take_rows(
    const T* b, long long first, long long last, const T* y, const T* weight, double scale, double c, double bound,
    int has_targets, const T* z, T* a, Operand* delta, T& loss, T& n_correct) {
  constexpr int OF_WARP = 32 / SHARERS, EACH = (N_OUTPUTS + SHARERS - 1) / SHARERS;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, sharer = lane % SHARERS;
  T sums[SUMS_IN_REGISTERS ? EACH : 1] = {};
  for (long long from = first + OF_WARP * warp; from < last; from += OF_WARP * WARPS) {
    const bool is_row = SHARERS == 32 || from + lane / SHARERS < last;
    const long long r = is_row ? from + lane / SHARERS : from, at = r * N_OUTPUTS;
    const T w = !is_row ? T(0) : weight && has_targets ? weight[r] : T(1);
    T shift = T(0);
    if (activation_of(N_LAYERS - 1) == ACTIVATION_SOFTMAX) shift = log_of_sum<SHARERS>(z + at, b);
    RowSoFar row;
#pragma unroll(EACH <= 32 ? EACH : 4)
    for (int k = 0; k < EACH; ++k) {
      const int j = sharer + k * SHARERS;
      if (N_OUTPUTS % SHARERS && k == EACH - 1 && j >= N_OUTPUTS) break;
      const T v = z[at + j] + b[j] - shift, out = output_of(v);
      if (is_row) a[at + j] = out;
      if (!has_targets) continue;
      const Operand d = compare_output(j, v, out, y[at + j], w, scale, c, bound, row, loss);
      if (is_row) delta[at + j] = d;
      if (SUMS_IN_REGISTERS) sums[k] += T(d);
    }
    if (has_targets) n_correct += correct_of_row<SHARERS>(row, w);
  }
  T bias_gradient = T(0);
  if constexpr (SUMS_IN_REGISTERS)
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
      const T sum = strided_warp_sum<SHARERS>(sums[k]);
      if (lane / SHARERS == k) bias_gradient = sum;
    }
  return bias_gradient;
}

// Bias gradients of the outputs from their deltas, after a barrier: up to COLUMNS outputs at a time, whose rows are
// shared by PARTS threads.
__device__ __forceinline__ void add_columns(long long first, long long last, const Operand* delta, T* bias_gradients) {
  constexpr int COLUMNS = N_OUTPUTS > 128 ? 256 : N_OUTPUTS > 64 ? 128 : 64, PARTS = 32 * WARPS / COLUMNS;
  FM_SHARED(T, parts, [PARTS > 1 ? (PARTS - 1) * COLUMNS : 1]);
  const int column = threadIdx.x % COLUMNS, part = threadIdx.x / COLUMNS;
  for (int from = 0; from < N_OUTPUTS; from += COLUMNS) {
    const int j = from + column;
    T sum = T(0);
    if (j < N_OUTPUTS)
#pragma unroll 8
      for (long long r = first + part; r < last; r += PARTS) sum += T(delta[r * N_OUTPUTS + j]);
    if (PARTS > 1) {
      if (part) parts[(part - 1) * COLUMNS + column] = sum;
      __syncthreads();
      if (!part)
        for (int q = 0; q < PARTS - 1; ++q) sum += parts[q * COLUMNS + column];
      __syncthreads();
    }
    if (!part && j < N_OUTPUTS) bias_gradients[j] = sum;
  }
}

// The last layer of a chunk of rows: bias, activation, loss, correct samples, delta and bias gradient.
// sums: (chunks, N_CHUNK_SUMS). bias_parts: (chunks, N_OUTPUTS).
__device__ __forceinline__ void loss_and_output_delta_of_chunk(
    const T* b, long long rows, long long chunk, const T* y, const T* weight, double scale, double c, double bound,
    int starts, int has_targets, const T* z, T* a, Operand* delta, double* sums, T* bias_parts) {
  // Threads that share a row: as many as leave few of a block's warps idle where chunks are short. Of long chunks a
  // thread takes a row of few outputs, which is half of the instructions in all.
  constexpr int OF_SHORT = N_OUTPUTS > 128 ? 32 : N_OUTPUTS > 32 ? 16 : N_OUTPUTS > 4 ? 8 : N_OUTPUTS > 2 ? 4 : N_OUTPUTS;
  constexpr int OF_LONG = N_OUTPUTS > 32 ? OF_SHORT : 1, LONG_CHUNK = 16 * WARPS;
  FM_SHARED(T, biases, [SUMS_IN_REGISTERS ? (WARPS - 1) * 32 : 1]);  // of all warps but the first
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const long long first = (long long)blockIdx.x * chunk, last = min(first + chunk, rows);
  T loss = T(0), n_correct = T(0), bias_gradient;
  if (OF_SHORT == OF_LONG || chunk >= LONG_CHUNK)
    bias_gradient = take_rows<OF_LONG>(
        b, first, last, y, weight, scale, c, bound, has_targets, z, a, delta, loss, n_correct);
  else
    bias_gradient = take_rows<OF_SHORT>(
        b, first, last, y, weight, scale, c, bound, has_targets, z, a, delta, loss, n_correct);
  if (!has_targets) return;
  if (SUMS_IN_REGISTERS && warp) biases[(warp - 1) * 32 + lane] = bias_gradient;
  add_to_sums(loss, n_correct, starts, sums);  // with a barrier: all deltas and biases are there after it
  if (!bias_parts) return;
  T* const bias_gradients = bias_parts + (long long)blockIdx.x * N_OUTPUTS;
  if constexpr (!SUMS_IN_REGISTERS) {
    add_columns(first, last, delta, bias_gradients);
  } else if (threadIdx.x < N_OUTPUTS) {
    for (int k = 0; k < WARPS - 1; ++k) bias_gradient += biases[k * 32 + lane];
    bias_gradients[lane] = bias_gradient;
  }
}

// Loss and output delta of the last layer. weight: null if all weights are equal. y_stride,
// weight_stride: from net to net, 0 if all nets share them. starts:
// without a clock, whether sums begin here.
extern "C" __global__ void __launch_bounds__(32 * WARPS, 2) loss_and_output_delta(
    const Clock* clock, const T* __restrict__ b, long long rows, long long max_rows, long long chunk,
    long long most_chunks, const T* __restrict__ y, long long y_stride, const T* __restrict__ weight,
    long long weight_stride, double scale, double c, double bound, int starts, int has_targets,
    const T* __restrict__ z, T* a, Operand* delta, double* sums, T* bias_parts) {
  const long long net = net_of(blockIdx.y), at = net * max_rows * N_OUTPUTS;
  if (clock) starts = clock->step % clock->n_batches == 0;
  loss_and_output_delta_of_chunk(
      b + net * PARAMS_STRIDE, rows, chunk, y + net * y_stride, weight ? weight + net * weight_stride : nullptr, scale, c, bound, starts,
      has_targets, z + at, a + at, delta + at, sums + N_CHUNK_SUMS * net * most_chunks,
      bias_parts ? bias_parts + net * most_chunks * N_ROW_SUMS : nullptr);
}

// The sum of a column's threads, for the first of them.
__device__ __forceinline__ T sum_of_column(T (*parts)[ACROSS], T sum) {
  const int column = threadIdx.x % ACROSS, down = threadIdx.x / ACROSS;
  parts[down][column] = sum;
  __syncthreads();
  if (down == 0)
    for (int q = 1; q < DOWN; ++q) sum += parts[q][column];
  return sum;
}

// Delta of hidden layer k: multiplied by mask and f', and summed over each chunk of rows. Block (columns, chunk).
__device__ __forceinline__ void backward_chunk(
    int k, long long rows, long long chunk, int drops, const Operand* stored, const T* mask, Operand* delta,
    T* bias_parts) {
  FM_SHARED(T, parts, [DOWN][ACROSS]);
  const int code = activation_of(k), width = width_of(k + 1);
  const int column = threadIdx.x % ACROSS, down = threadIdx.x / ACROSS, j = blockIdx.x * ACROSS + column;
  const long long first = (long long)blockIdx.y * chunk, last = min(first + chunk, rows);
  T sum = T(0);
  if (j < width)
    for (long long r = first + down; r < last; r += DOWN) {
      const long long e = r * width + j;
      T d = T(delta[e]);
      if (drops) d *= mask[e];
      d *= activation_derivative(code, T(stored[e]));
      const Operand kept = d;
      delta[e] = kept;
      sum += T(kept);
    }
  sum = sum_of_column(parts, sum);
  if (down == 0 && j < width) bias_parts[blockIdx.y * width + j] = sum;
}

extern "C" __global__ void __launch_bounds__(ACROSS* DOWN) backward(
    int k, long long rows, long long max_rows, long long chunk, long long most_chunks, int drops,
    const Operand* __restrict__ stored, const T* __restrict__ mask, Operand* delta, T* bias_parts) {
  const long long net = net_of(blockIdx.z), at = net * max_rows * width_of(k + 1);
  const long long parts_at = net * most_chunks * N_ROW_SUMS;
  backward_chunk(
      k, rows, chunk, drops, stored + at, mask + at, delta + at, bias_parts + parts_at);
}

// Gradient of parameter q of this part (include/layout.cuh): a weight's from the product, a bias's from its chunks; with
// the penalty and, if given, the layer's factor.
__device__ __forceinline__ T gradient_of(
    int q, int part, const T* p, const T* g, const T* bias_parts, long long chunks, long long most_chunks, double l2,
    const double* layer_factors) {
  T gradient;
  if (part % 2) {
    const int k = part / 2, width = width_of(k + 1);
    const T* parts = bias_parts + most_chunks * bias_index(k) + (q - biases_at(k));
    gradient = T(0);
#pragma unroll 8
    for (int c = 0; c < int(chunks); ++c, parts += width) gradient += *parts;
  } else {
    gradient = g[q] + T(l2) * p[q];
  }
  return LAYERED && layer_factors ? gradient * T(layer_factors[part]) : gradient;
}

#ifdef ROUNDS_OPERANDS
// Copy parameter q of this part, if it is a weight, to W: the weights as products read them.
__device__ __forceinline__ void copy_weight(int q, int part, const T* p, Operand* W) {
  if (part % 2 == 0) W[q - before_operands(part / 2)] = p[q];
}

// W: (nets, N_OPERAND_WEIGHTS), the weights as products read them, of parameters that no update has written, or that
// have another slot since.
extern "C" __global__ void round_weights(const T* params, Operand* W) {
  const long long net = net_of(blockIdx.y);
  for (int q = blockIdx.x * blockDim.x + threadIdx.x; q < N_PARAMS; q += gridDim.x * blockDim.x)
    copy_weight(q, part_of(q), params + net * PARAMS_STRIDE, W + net * N_OPERAND_WEIGHTS);
}

// x = X, both of `size` numbers: inputs, which products read where they are if their operands are T.
extern "C" __global__ void round_inputs(const T* X, long long size, Operand* x) {
  for (long long e = (long long)blockIdx.x * blockDim.x + threadIdx.x; e < size; e += (long long)gridDim.x * blockDim.x)
    x[e] = X[e];
}
#endif

// One step of the update rule for parameter q of this part, and of its copy in W if operands are rounded.
__device__ __forceinline__ void update_parameter(
    int q, int part, T gradient, const Settings<T>& of_net, const double* layer_factors, T* p, T* state, Operand* W) {
  const Settings<T> h = LAYERED ? settings_of_part(of_net, layer_factors, part) : of_net;
  const T value = part % 2 == 0 ? p[q] * h.decay : p[q];
  update_with_state<N_STATE>(RULE, value, gradient, p + q, state + q, N_PADDED, h);
#ifdef ROUNDS_OPERANDS
  copy_weight(q, part, p, W);
#endif
}
