// Passes around the matrix products of nets: one elementwise pass per layer and direction, the gradient of a parameter,
// and its update. Used for one large net (single_net/layerwise.cu) and for nets trained in lockstep
// (population/batched.cu).
//
// Activations, deltas and the weights in products are Operands (build/operands.py): T, or Bfloat16. All else is T: the
// outputs of the net, gradients, and numbers on their way. Bias gradients are sums of deltas as they are stored.
//
// Rows are samples. A pass runs over blocks of 32 columns x 8 rows. Sums over rows give one partial sum per chunk of
// rows, which the next kernel adds up in order, so that results do not depend on scheduling.
//
// In the kernels loss_and_output_delta and backward, which call these functions, read-only pointers are __restrict__:
// then the next row's loads need not wait for this row's stores. Not here: NVRTC would then select the activation
// inside the loop, not before.

constexpr int ACROSS = 32, DOWN = 8;  // threads of a block
constexpr int WARPS = 8;

// Gather a batch: rows order[first ..], or without an order rows first .., of X, Y and weight. One thread per number. x
// and y may be null if they are not needed.
__device__ __forceinline__ void gather_batch(
    const T* X, const T* Y, const T* weight, const int* order, long long first, long long rows, Operand* x, T* y, T* w) {
  const long long width = N_INPUTS + N_OUTPUTS + 1, size = rows * width;
  for (long long e = (long long)blockIdx.x * blockDim.x + threadIdx.x; e < size; e += (long long)gridDim.x * blockDim.x) {
    const long long r = e / width;
    const int j = int(e - r * width);
    const long long sample = order ? order[first + r] : first + r;
    if (j < N_INPUTS) {
      if (x) x[r * N_INPUTS + j] = X[sample * N_INPUTS + j];
    } else if (j < N_INPUTS + N_OUTPUTS) {
      if (y) y[r * N_OUTPUTS + j - N_INPUTS] = Y[sample * N_OUTPUTS + j - N_INPUTS];
    } else if (WEIGHTED) {
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
// which are T: rounded, they would scale all outputs.
__device__ __forceinline__ void activate_layer(
    int k, const T* b, long long rows, int drops, double rate, long long seed, long long step, Operand* z, T* mask,
    Operand* a) {
  const int code = activation_of(k), width = width_of(k + 1);
  const long long size = rows * width;
  const T scaled = T(1.0 / (1.0 - rate));
  for (long long e = (long long)blockIdx.x * blockDim.x + threadIdx.x; e < size; e += (long long)gridDim.x * blockDim.x) {
    const T v = T(z[e]) + b[e % width];
    T out = activation_value(code, v);
    if (drops) {
      const T factor = survives(e, k, step, seed, rate) ? scaled : T(0);
      z[e] = derivative_needs_z(k) ? v : out;
      mask[e] = factor;
      out *= factor;
    } else if (derivative_needs_z(k)) {
      z[e] = v;
    }
    a[e] = out;
  }
}

// The last layer of a chunk of rows: bias, activation, loss, correct samples, delta and bias gradient. A warp per row.
// sums: (chunks, N_CHUNK_SUMS). bias_parts: (chunks, N_OUTPUTS).
__device__ __forceinline__ void loss_and_output_delta_of_chunk(
    const T* b, long long rows, long long chunk, const T* y, const T* weight, double scale, double c, double bound,
    int starts, int has_targets, T* z, T* a, Operand* delta, double* sums, T* bias_parts) {
  FM_SHARED(T, losses, [WARPS]);
  FM_SHARED(T, counts, [WARPS]);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, code = activation_of(N_LAYERS - 1);
  const long long first = (long long)blockIdx.x * chunk, last = min(first + chunk, rows);
  T loss = T(0), n_correct = T(0);
  for (long long r = first + warp; r < last; r += WARPS) {
    T *zr = z + r * N_OUTPUTS, *ar = a + r * N_OUTPUTS;
    const T w = WEIGHTED && has_targets ? weight[r] : T(1);
    T shift = T(0);
    if (code == ACTIVATION_SOFTMAX) {
      T top = -INFINITY, whole = T(0);
      for (int j = lane; j < N_OUTPUTS; j += 32) {
        const T v = zr[j] + b[j];
        top = v > top || v != v ? v : top;
      }
      top = warp_max(top);
      for (int j = lane; j < N_OUTPUTS; j += 32) whole += elementary::exp(zr[j] + b[j] - top);
      shift = top + elementary::log(warp_sum(whole));
    }
    T best = -INFINITY, target = -INFINITY, share = T(0);
    int said = 0, meant = 0;  // indices of the maxima
    for (int j = lane; j < N_OUTPUTS; j += 32) {
      const T v = zr[j] + b[j] - shift;
      const T out = code == ACTIVATION_SOFTMAX ? elementary::exp(v) : activation_value(code, v);
      zr[j] = v, ar[j] = out;
      if (!has_targets) continue;
      const T wanted = y[r * N_OUTPUTS + j];
      // a sample of weight 0 contributes nothing, even if it is not finite
      if (w > T(0)) loss += w * loss_value(LOSS, v, out, wanted, T(c));
      T d = w > T(0) ? loss_delta(LOSS, out, wanted, T(c)) * (w * T(scale)) : T(0);
      if (!DELTA_IS_WRT_LOGIT) d *= activation_derivative(code, derivative_needs_z(N_LAYERS - 1) ? v : out);
      delta[r * N_OUTPUTS + j] = d;
      if (out > best) best = out, said = j;
      if (wanted > target) target = wanted, meant = j;
      if (METRIC == METRIC_MARGIN) share += elementary::absolute(out - wanted) <= T(bound) ? T(1) : T(0);
      if (METRIC == METRIC_THRESHOLD) share += (out > T(bound)) == (wanted > T(bound)) ? T(1) : T(0);
    }
    if (METRIC == METRIC_ARGMAX && has_targets) {
      if (first_of_warp(best, said) == first_of_warp(target, meant) && lane == 0) n_correct += w;
    } else {
      n_correct += w * share / T(N_OUTPUTS);
    }
  }
  if (!has_targets) return;
  loss = warp_sum(loss), n_correct = warp_sum(n_correct);
  if (lane == 0) losses[warp] = loss, counts[warp] = n_correct;
  __syncthreads();
  if (threadIdx.x == 0) {
    double both[2] = {0.0, 0.0};
    for (int k = 0; k < WARPS; ++k) both[0] += losses[k], both[1] += counts[k];
    both[0] /= LOSS_WIDTH;
    double* mine = sums + N_CHUNK_SUMS * blockIdx.x;
    mine[SUM_EPOCH_LOSS] = (starts ? 0.0 : mine[SUM_EPOCH_LOSS]) + both[0],
    mine[SUM_EPOCH_N_CORRECT] = (starts ? 0.0 : mine[SUM_EPOCH_N_CORRECT]) + both[1];
    mine[SUM_BATCH_LOSS] = both[0], mine[SUM_BATCH_N_CORRECT] = both[1];
  }
  if (bias_parts)
    for (int j = threadIdx.x; j < N_OUTPUTS; j += 32 * WARPS) {
      T sum = T(0);
      for (long long r = first; r < last; ++r) sum += T(delta[r * N_OUTPUTS + j]);
      bias_parts[blockIdx.x * N_OUTPUTS + j] = sum;
    }
}

// Delta of hidden layer k: multiplied by f' and mask, and summed over each chunk of rows. Block (columns, chunk).
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
  parts[down][column] = sum;
  __syncthreads();
  if (down == 0 && j < width) {
    for (int q = 1; q < DOWN; ++q) sum += parts[q][column];
    bias_parts[blockIdx.y * width + j] = sum;
  }
}

// Gradient of parameter q: a weight's from the product, a bias's from its chunks; with the penalty and, if given, the
// layer's factor.
__device__ __forceinline__ T slope_of(
    long long q, const T* p, const T* g, const T* bias_parts, long long chunks, long long most_chunks, double l2,
    const double* layer_factors) {
  const int part = part_of(q), k = part / 2;
  T slope;
  if (part % 2) {
    const T* parts = bias_parts + most_chunks * bias_index(k) + (q - biases_at(k));
    slope = T(0);
    for (long long c = 0; c < chunks; ++c) slope += parts[c * width_of(k + 1)];
  } else {
    slope = g[q] + T(l2) * p[q];
  }
  return LAYERED && layer_factors ? slope * T(layer_factors[part]) : slope;
}

#ifdef ROUNDS_OPERANDS
// Copy parameter q, if it is a weight, to W: the weights as products read them, layer k's from operand_weights_at(k) on.
__device__ __forceinline__ void copy_weight(long long q, const T* p, Operand* W) {
  const int part = part_of(q), k = part / 2;
  if (part % 2 == 0) W[operand_weights_at(k) + (q - weights_at(k))] = p[q];
}

// x = X, both of `size` numbers: inputs, which products read where they are if their operands are T.
extern "C" __global__ void round_inputs(const T* X, long long size, Operand* x) {
  for (long long e = (long long)blockIdx.x * blockDim.x + threadIdx.x; e < size; e += (long long)gridDim.x * blockDim.x)
    x[e] = X[e];
}
#endif

// One step of the update rule for parameter q, and of its copy in W if operands are rounded.
__device__ __forceinline__ void update_parameter(
    long long q, T slope, const Settings<T>& of_net, const double* layer_factors, T* p, T* state, Operand* W) {
  const Settings<T> h = LAYERED ? settings_of_part(of_net, layer_factors, part_of(q)) : of_net;
  const T value = is_weight(q) ? p[q] * h.decay : p[q];
  update_with_state<N_STATE>(RULE, value, slope, p + q, state + q, N_PADDED, h);
#ifdef ROUNDS_OPERANDS
  copy_weight(q, p, W);
#endif
}
