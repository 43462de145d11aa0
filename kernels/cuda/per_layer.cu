// The kernels of one large net: the passes of passes.cuh, the update and what it needs before it.

extern "C" __global__ void gather(
    const T* X, const T* Y, const T* weight, const int* order, long long first, long long rows, T* x, T* y, T* w) {
  gather_batch(X, Y, weight, order, first, rows, x, y, w);
}

extern "C" __global__ void activate(
    int k, const T* b, long long rows, int hides, double rate, long long seed, long long step, T* z, T* mask, T* a) {
  activate_layer(k, b, rows, hides, rate, seed, step, z, mask, a);
}

extern "C" __global__ void __launch_bounds__(32 * WARPS) judge(
    const T* b, long long rows, long long chunk, const T* y, const T* weight, double scale, double c, double bound,
    int starts, int judged, T* z, T* a, T* delta, double* sums, T* bias_parts) {
  judge_chunk(b, rows, chunk, y, weight, scale, c, bound, starts, judged, z, a, delta, sums, bias_parts);
}

extern "C" __global__ void __launch_bounds__(ACROSS* DOWN) backward(
    int k, long long rows, long long chunk, int hides, const T* kept, const T* mask, T* delta, T* bias_parts) {
  backward_chunk(k, rows, chunk, hides, kept, mask, delta, bias_parts);
}

// What the step needs before it: sums over blocks of the squared gradient, and for rules that compare objectives the
// penalty. squares: (blocks, 2).
extern "C" __global__ void __launch_bounds__(256) measure(
    const T* p, const T* g, const T* bias_parts, long long chunks, long long most_chunks, double l2, double* squares) {
  FM_SHARED(double, parts, [2][8]);
  double slopes = 0.0, weights = 0.0;
  for (long long q = (long long)blockIdx.x * 256 + threadIdx.x; q < N_PARAMS; q += (long long)gridDim.x * 256) {
    const T slope = slope_of(q, p, g, bias_parts, chunks, most_chunks, l2, nullptr);
    if (is_weight(q)) weights += double(p[q]) * double(p[q]);
    slopes += double(slope) * double(slope);
  }
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

// For rules that compare objectives: whether this step's is higher than the last one's, which is memory[0].
// memory: (2,): the last objective, and 1 if it has grown.
extern "C" __global__ void compare(
    const double* sums, long long chunks, double rows, const double* squares, long long blocks, double l2,
    double* memory) {
  if (threadIdx.x) return;
  double loss = 0.0, weights = 0.0;
  for (long long c = 0; c < chunks; ++c) loss += sums[4 * c + 2];
  for (long long c = 0; c < blocks; ++c) weights += squares[2 * c + 1];
  const double objective = loss / rows + 0.5 * l2 * weights;
  memory[1] = objective > memory[0] ? 1.0 : 0.0;
  memory[0] = objective;
}

// One step of the rule for every parameter. settings: (12,) of this step, in the order of Settings.
extern "C" __global__ void __launch_bounds__(256) update(
    const T* settings, const T* g, const T* bias_parts, long long chunks, long long most_chunks, double l2,
    double clip_norm, const double* squares, long long blocks, const double* compared, const double* layer_factors,
    T* p, T* state) {
  T clip = T(1);
  if (CLIPPED) {
    FM_SHARED(double, total, [1]);
    if (threadIdx.x == 0) {
      double sum = 0.0;
      for (long long c = 0; c < blocks; ++c) sum += squares[2 * c];
      total[0] = sum;
    }
    __syncthreads();
    if (clip_norm > 0.0 && total[0] > clip_norm * clip_norm) clip = T(clip_norm / sqrt(total[0]));
  }
  Settings<T> h = *reinterpret_cast<const Settings<T>*>(settings);
  if (COMPARES) h.worse = T(compared[1]);
  for (long long q = (long long)blockIdx.x * 256 + threadIdx.x; q < N_PARAMS; q += (long long)gridDim.x * 256) {
    const T slope = slope_of(q, p, g, bias_parts, chunks, most_chunks, l2, layer_factors) * clip;
    update_parameter(q, slope, h, p, state);
  }
}

// Bias gradients into the flat vector, where only the gradient is wanted.
extern "C" __global__ void __launch_bounds__(256) settle_biases(
    const T* bias_parts, long long chunks, long long most_chunks, T* g) {
  for (long long q = (long long)blockIdx.x * 256 + threadIdx.x; q < N_PARAMS; q += (long long)gridDim.x * 256)
    if (!is_weight(q)) g[q] = slope_of(q, g, g, bias_parts, chunks, most_chunks, 0.0, nullptr);
}
