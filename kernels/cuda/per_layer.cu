// What surrounds the matrix products of a large net: one pass of elements per layer and direction, one update.
//
// Rows are samples. A pass runs over blocks of 32 columns x 8 rows; sums over rows leave one partial result per chunk of
// rows, which the next reader adds up in order, so that results do not depend on scheduling.
//
// What differs from step to step is read from the clock (clock.py), which a step's last kernel moves on: the arguments of
// a launch are the same at each step, so that a recorded one can be replayed.

constexpr int ACROSS = 32, DOWN = 8;  // threads of a block
constexpr int WARPS = 8;

// The clock's batch, in the order of its epoch (even, odd) or, without one, as samples stand. One thread per number.
extern "C" __global__ void gather(
    const Clock* clock, const T* X, const T* Y, const T* weight, const int* even, const int* odd, long long batch_size,
    long long rows, T* x, T* y, T* w) {
  const long long width = N_INPUTS + N_OUTPUTS + 1, size = rows * width;
  const long long epoch = clock->step / clock->n_batches, first = clock->step % clock->n_batches * batch_size;
  const int* order = epoch % 2 ? odd : even;
  for (long long e = (long long)blockIdx.x * blockDim.x + threadIdx.x; e < size; e += (long long)gridDim.x * blockDim.x) {
    const long long r = e / width;
    const int j = int(e - r * width);
    const long long sample = order ? order[first + r] : first + r;
    if (j < N_INPUTS) {
      if (X) x[r * N_INPUTS + j] = X[sample * N_INPUTS + j];
    } else if (j < N_INPUTS + N_OUTPUTS) y[r * N_OUTPUTS + j - N_INPUTS] = Y[sample * N_OUTPUTS + j - N_INPUTS];
    else if (WEIGHTED) w[r] = weight[sample];
  }
}

// Whether element e of layer k's outputs in a batch survives dropout, as every device decides it.
__device__ __forceinline__ bool survives(long long e, int k, long long step, long long seed, double rate) {
  const Words four = philox(e >> 2, step, DROPOUT, k, seed);
  const unsigned word = (e & 3) == 0 ? four.x : (e & 3) == 1 ? four.y : (e & 3) == 2 ? four.z : four.w;
  return word >= (unsigned long long)(rate * 4294967296.0);
}

// a = f(z + b) of layer k; `hides` also drops units: then z keeps what f' needs, and mask the factors.
extern "C" __global__ void activate(
    const Clock* clock, int k, const T* b, long long rows, int hides, double rate, long long seed, T* z, T* mask, T* a) {
  const int code = activation_of(k), width = width_of(k + 1);
  const long long size = rows * width;
  const T kept = T(1.0 / (1.0 - rate));
  const long long step = hides ? clock->step : 0;
  for (long long e = (long long)blockIdx.x * blockDim.x + threadIdx.x; e < size; e += (long long)gridDim.x * blockDim.x) {
    const T v = z[e] + b[e % width];
    T out = activation_value(code, v);
    if (hides) {
      const T factor = survives(e, k, step, seed, rate) ? kept : T(0);
      z[e] = derivative_of_z(k) ? v : out;
      mask[e] = factor;
      out *= factor;
    } else if (derivative_of_z(k)) {
      z[e] = v;
    }
    a[e] = out;
  }
}

__device__ __forceinline__ T warp_sum(T v) {
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);
  return v;
}

__device__ __forceinline__ T warp_max(T v) {
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) {
    const T other = __shfl_xor_sync(0xffffffffu, v, d);
    v = other > v ? other : v;
  }
  return v;
}

// The last layer of a chunk of rows: bias, activation, loss, hits, delta and bias gradient. A warp takes a row.
// sums: (chunks, 4), the epoch's loss and hits so far, and those of this batch. bias_parts: (chunks, N_OUTPUTS). Without a
// clock, `starts` says whether the batch is the first of its epoch.
extern "C" __global__ void __launch_bounds__(32 * WARPS) judge(
    const Clock* clock, const T* b, long long rows, long long chunk, const T* y, const T* weight, double scale, double c,
    double bound, int starts, int judged, T* z, T* a, T* delta, double* sums, T* bias_parts) {
  FM_SHARED(T, losses, [WARPS]);
  FM_SHARED(T, hits, [WARPS]);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, code = activation_of(N_LAYERS - 1);
  const long long first = (long long)blockIdx.x * chunk, last = min(first + chunk, rows);
  T loss = T(0), right = T(0);
  for (long long r = first + warp; r < last; r += WARPS) {
    T *zr = z + r * N_OUTPUTS, *ar = a + r * N_OUTPUTS;
    const T w = WEIGHTED && judged ? weight[r] : T(1);
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
    T best = -INFINITY, target = -INFINITY, chosen = -INFINITY, share = T(0);
    for (int j = lane; j < N_OUTPUTS; j += 32) {
      const T v = zr[j] + b[j] - shift;
      const T out = code == ACTIVATION_SOFTMAX ? elementary::exp(v) : activation_value(code, v);
      zr[j] = v, ar[j] = out;
      if (!judged) continue;
      const T wanted = y[r * N_OUTPUTS + j];
      // a sample of weight 0 adds nothing, whatever it is
      if (w > T(0)) loss += w * loss_value(LOSS, v, out, wanted, T(c));
      T d = w > T(0) ? loss_delta(LOSS, out, wanted, T(c)) * (w * T(scale)) : T(0);
      if (!NATURAL) d *= activation_derivative(code, derivative_of_z(N_LAYERS - 1) ? v : out);
      delta[r * N_OUTPUTS + j] = d;
      best = out > best ? out : best;
      if (wanted > target) target = wanted, chosen = out;
      if (METRIC == METRIC_MARGIN) share += elementary::absolute(out - wanted) <= T(bound) ? T(1) : T(0);
      if (METRIC == METRIC_THRESHOLD) share += (out > T(bound)) == (wanted > T(bound)) ? T(1) : T(0);
    }
    if (METRIC == METRIC_ARGMAX && judged) {
      best = warp_max(best);
      const T wanted = warp_max(target);
      if (warp_max(target >= wanted ? chosen : -INFINITY) >= best && lane == 0) right += w;
    } else {
      right += w * share / T(N_OUTPUTS);
    }
  }
  if (!judged) return;
  loss = warp_sum(loss), right = warp_sum(right);
  if (lane == 0) losses[warp] = loss, hits[warp] = right;
  __syncthreads();
  if (threadIdx.x == 0) {
    double both[2] = {0.0, 0.0};
    for (int k = 0; k < WARPS; ++k) both[0] += losses[k], both[1] += hits[k];
    both[0] /= LOSS_WIDTH;
    double* mine = sums + 4 * blockIdx.x;
    if (clock) starts = clock->step % clock->n_batches == 0;
    mine[0] = (starts ? 0.0 : mine[0]) + both[0], mine[1] = (starts ? 0.0 : mine[1]) + both[1];
    mine[2] = both[0], mine[3] = both[1];
  }
  if (bias_parts)
    for (int j = threadIdx.x; j < N_OUTPUTS; j += 32 * WARPS) {
      T sum = T(0);
      for (long long r = first; r < last; ++r) sum += delta[r * N_OUTPUTS + j];
      bias_parts[blockIdx.x * N_OUTPUTS + j] = sum;
    }
}

// delta of hidden layer k: times f' and mask, and its sums over each chunk of rows. Block (columns, chunk).
extern "C" __global__ void __launch_bounds__(ACROSS* DOWN) backward(
    int k, long long rows, long long chunk, int hides, const T* kept, const T* mask, T* delta, T* bias_parts) {
  FM_SHARED(T, parts, [DOWN][ACROSS]);
  const int code = activation_of(k), width = width_of(k + 1);
  const int column = threadIdx.x % ACROSS, down = threadIdx.x / ACROSS, j = blockIdx.x * ACROSS + column;
  const long long first = (long long)blockIdx.y * chunk, last = min(first + chunk, rows);
  T sum = T(0);
  if (j < width)
    for (long long r = first + down; r < last; r += DOWN) {
      const long long e = r * width + j;
      T d = delta[e];
      if (hides) d *= mask[e];
      d *= activation_derivative(code, kept[e]);
      delta[e] = d;
      sum += d;
    }
  parts[down][column] = sum;
  __syncthreads();
  if (down == 0 && j < width) {
    for (int q = 1; q < DOWN; ++q) sum += parts[q][column];
    bias_parts[blockIdx.y * width + j] = sum;
  }
}

// The gradient of parameter q: a weight's from the product, a bias's from its chunks, with penalty and, if there are any,
// layer factors.
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

// The sum of every stride-th number, for all threads of a block of 256; always added up in the same order.
__device__ __forceinline__ double sum_of(const double* values, long long n, int stride) {
  FM_SHARED(double, parts, [8]);
  double sum = 0.0;
  for (long long i = threadIdx.x; i < n; i += 256) sum += values[stride * i];
  for (int d = 16; d > 0; d >>= 1) sum += __shfl_down_sync(0xffffffffu, sum, d);
  __syncthreads();  // an earlier sum has been read
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
  __syncthreads();
  sum = 0.0;
  for (int w = 0; w < 8; ++w) sum += parts[w];
  return sum;
}

// The end of a step's last kernel, for all its threads: the epoch's sums so far into its record; the clock moves on once no
// block has anything more to read from it. `arrived` is counted without an order, but nothing else depends on it.
__device__ __forceinline__ void end_step(Clock* clock, const double* sums, long long all_sums) {
  const long long step = clock->step;
  if (blockIdx.x == 0) {
    const double loss = sum_of(sums, all_sums, 4), right = sum_of(sums + 1, all_sums, 4);
    double* record = clock->records + 2 * (step / clock->n_batches - clock->first / clock->n_batches);
    if (threadIdx.x == 0) record[0] = loss, record[1] = right;
  }
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0 && atomicAdd(reinterpret_cast<unsigned long long*>(&clock->arrived), 1ull) == gridDim.x - 1)
    clock->arrived = 0, clock->step = step + 1;
}

// What the step needs before it: sums over blocks of the squared gradient, and for rules that compare objectives the
// penalty. squares: (blocks, 2), of as many blocks as update has.
extern "C" __global__ void __launch_bounds__(256) measure(
    const T* p, const T* g, const T* bias_parts, long long chunks, long long most_chunks, double l2, double* squares) {
  double slopes = 0.0, weights = 0.0;
  for (long long q = (long long)blockIdx.x * 256 + threadIdx.x; q < N_PARAMS; q += (long long)gridDim.x * 256) {
    const T slope = slope_of(q, p, g, bias_parts, chunks, most_chunks, l2, nullptr);
    if (is_weight(q)) weights += double(p[q]) * double(p[q]);
    slopes += double(slope) * double(slope);
  }
  FM_SHARED(double, parts, [2][8]);
  for (int d = 16; d > 0; d >>= 1) {
    slopes += __shfl_down_sync(0xffffffffu, slopes, d);
    weights += __shfl_down_sync(0xffffffffu, weights, d);
  }
  if (threadIdx.x % 32 == 0) parts[0][threadIdx.x / 32] = slopes, parts[1][threadIdx.x / 32] = weights;
  __syncthreads();
  if (threadIdx.x < 2) {
    double sum = 0.0;
    for (int w = 0; w < 8; ++w) sum += parts[threadIdx.x][w];
    squares[2 * blockIdx.x + threadIdx.x] = sum;
  }
}

// One step of the rule for every parameter, and the end of the step. squares: (blocks, 2) by measure. objectives: (2,), of
// even and of odd steps, for rules that ask whether it has grown. sums: (all_sums, 4) by judge, of which this batch of
// `rows` samples has written the first n_sums.
extern "C" __global__ void __launch_bounds__(256) update(
    Clock* clock, const T* g, const T* bias_parts, long long chunks, long long most_chunks, double l2, double clip_norm,
    const double* squares, const double* sums, long long all_sums, long long n_sums, double rows, double* objectives,
    const double* layer_factors, T* p, T* state) {
  const long long step = clock->step;
  T clip = T(1);
  if (CLIPPED) {
    const double total = sum_of(squares, gridDim.x, 2);
    if (clip_norm > 0.0 && total > clip_norm * clip_norm) clip = T(clip_norm / sqrt(total));
  }
  Settings<T> h = reinterpret_cast<const Settings<T>*>(clock->settings)[step - clock->first];
  if (COMPARES) {
    const double objective = sum_of(sums + 2, n_sums, 4) / rows + 0.5 * l2 * sum_of(squares + 1, gridDim.x, 2);
    h.worse = objective > objectives[(step + 1) % 2] ? T(1) : T(0);
    if (blockIdx.x == 0 && threadIdx.x == 0) objectives[step % 2] = objective;
  }
  for (long long q = (long long)blockIdx.x * 256 + threadIdx.x; q < N_PARAMS; q += (long long)gridDim.x * 256) {
    const T slope = slope_of(q, p, g, bias_parts, chunks, most_chunks, l2, layer_factors) * clip;
    T value = is_weight(q) ? p[q] * h.decay : p[q];
    T s0 = N_STATE > 0 ? state[q] : T(0), s1 = N_STATE > 1 ? state[N_PADDED + q] : T(0),
      s2 = N_STATE > 2 ? state[2 * N_PADDED + q] : T(0);
    apply_rule(RULE, value, slope, s0, s1, s2, h);
    p[q] = value;
    if (N_STATE > 0) state[q] = s0;
    if (N_STATE > 1) state[N_PADDED + q] = s1;
    if (N_STATE > 2) state[2 * N_PADDED + q] = s2;
  }
  end_step(clock, sums, all_sums);
}

// The end of a step of which only the gradient is wanted: those of biases into the flat vector.
extern "C" __global__ void __launch_bounds__(256) settle_biases(
    Clock* clock, const T* bias_parts, long long chunks, long long most_chunks, const double* sums, long long all_sums,
    T* g) {
  for (long long q = (long long)blockIdx.x * 256 + threadIdx.x; q < N_PARAMS; q += (long long)gridDim.x * 256)
    if (!is_weight(q)) g[q] = slope_of(q, g, g, bias_parts, chunks, most_chunks, 0.0, nullptr);
  end_step(clock, sums, all_sums);
}
