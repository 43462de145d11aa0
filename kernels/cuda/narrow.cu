// A step of a net whose layers are at most 128 wide, in one kernel: forward, loss and backward of ROWS samples at a time
// stay in shared memory, and products run on tensor cores. Operands are H (half or bfloat16), sums are float.
//
// Widths are rounded up to 16, with zeros in what is added. Blocks go on from tile to tile and add up their gradients, so
// that only one set of them per block is left for `reduce`. Deltas are not divided by the batch's size before that: in
// half precision they would vanish.

using namespace nvcuda;

constexpr int WARPS = 8;
constexpr int SKEW = 16;  // numbers between rows in shared memory, so that rows start in different banks

__device__ __forceinline__ constexpr int wide(int k) { return (width_of(k) + 15) / 16 * 16; }
__device__ __forceinline__ constexpr int stride(int k) { return wide(k) + SKEW; }

__device__ __forceinline__ constexpr int outputs_at(int k) {  // of layer k's inputs in shared memory
  int at = 0;
  for (int j = 0; j < k; ++j) at += ROWS * stride(j);
  return at;
}

__device__ __forceinline__ constexpr int matrix_at(int k) {  // of layer k's padded weights
  int at = 0;
  for (int j = 0; j < k; ++j) at += wide(j) * wide(j + 1);
  return at;
}

__device__ __forceinline__ constexpr int biases_after(int k) {  // of layer k's bias gradients, behind all matrices
  int at = matrix_at(N_LAYERS);
  for (int j = 0; j < k; ++j) at += wide(j + 1);
  return at;
}

__device__ __forceinline__ constexpr int widest() {
  int most = 0;
  for (int k = 0; k <= N_LAYERS; ++k) most = wide(k) > most ? wide(k) : most;
  return most;
}

constexpr int N_GRADS = biases_after(N_LAYERS);
constexpr int DELTA = ROWS * (widest() + SKEW);

typedef wmma::fragment<wmma::matrix_a, 16, 16, 16, H, wmma::row_major> A;
typedef wmma::fragment<wmma::matrix_a, 16, 16, 16, H, wmma::col_major> ATransposed;
typedef wmma::fragment<wmma::matrix_b, 16, 16, 16, H, wmma::row_major> B;
typedef wmma::fragment<wmma::matrix_b, 16, 16, 16, H, wmma::col_major> BTransposed;
typedef wmma::fragment<wmma::accumulator, 16, 16, 16, float> Sum;

__device__ __forceinline__ float warp_sum(float v) {
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);
  return v;
}

__device__ __forceinline__ float warp_max(float v) {
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, d));
  return v;
}

// Loss, hits and the output's delta of one row, by a warp. z: the row's logits without bias; d: its deltas.
__device__ void judge_row(
    const float* z, const float* b, const float* y, float w, float c, float bound, H* d, float& loss, float& right) {
  const int lane = threadIdx.x % 32, code = activation_of(N_LAYERS - 1);
  float shift = 0.0f;
  if (code == ACTIVATION_SOFTMAX) {
    float top = -INFINITY, whole = 0.0f;
    for (int j = lane; j < N_OUTPUTS; j += 32) top = fmaxf(top, z[j] + b[j]);
    top = warp_max(top);
    for (int j = lane; j < N_OUTPUTS; j += 32) whole += elementary::exp(z[j] + b[j] - top);
    shift = top + elementary::log(warp_sum(whole));
  }
  float best = -INFINITY, target = -INFINITY, chosen = -INFINITY, share = 0.0f;
  for (int j = lane; j < wide(N_LAYERS); j += 32) {
    float delta = 0.0f;
    if (j < N_OUTPUTS && w > 0.0f) {
      const float v = z[j] + b[j] - shift, wanted = y[j];
      const float out = code == ACTIVATION_SOFTMAX ? elementary::exp(v) : activation_value(code, v);
      loss += w * loss_value(LOSS, v, out, wanted, c);
      delta = w * loss_delta(LOSS, out, wanted, c);
      if (!NATURAL) delta *= activation_derivative(code, derivative_of_z(N_LAYERS - 1) ? v : out);
      best = fmaxf(best, out);
      if (wanted > target) target = wanted, chosen = out;
      if (METRIC == METRIC_MARGIN) share += elementary::absolute(out - wanted) <= bound ? 1.0f : 0.0f;
      if (METRIC == METRIC_THRESHOLD) share += (out > bound) == (wanted > bound) ? 1.0f : 0.0f;
    }
    d[j] = H(delta);
  }
  if (METRIC == METRIC_ARGMAX) {
    best = warp_max(best);
    const float wanted = warp_max(target);
    if (warp_max(target >= wanted ? chosen : -INFINITY) >= best && lane == 0) right += w;
  } else {
    right += w * share / N_OUTPUTS;
  }
}

// The gradient of a batch. W: padded weights in H. sums: (blocks, 4) as judge of per_layer.cu leaves them. partials:
// (blocks, N_GRADS).
extern "C" __global__ void __launch_bounds__(32 * WARPS) narrow_gradient(
    const T* x, const T* y, const T* weight, const H* W, const T* params, long long rows, double c, double bound,
    int starts, double* sums, float* partials) {
  FM_DYN_SMEM(float, memory);
  FM_SHARED(float, shares, [2][WARPS]);
  float* const z_top = memory;                                // (ROWS, wide(N_LAYERS))
  float* const stage = z_top + ROWS * wide(N_LAYERS);         // (WARPS, 16, 16)
  float* const in_shared = stage + WARPS * 256;               // (N_GRADS,) if they fit
  H* const a = reinterpret_cast<H*>(in_shared + (GRADS_IN_SHARED ? N_GRADS : 0));
  H* const kept_z = a + outputs_at(N_LAYERS);                 // inputs to f, laid out as a
  H* here = kept_z + (KEEPS ? outputs_at(N_LAYERS) : 0);      // deltas of the layer above and of the one below
  H* below = here + DELTA;
  float* const g = GRADS_IN_SHARED ? in_shared : partials + (long long)blockIdx.x * N_GRADS;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float* const mine = stage + warp * 256;
  float loss = 0.0f, right = 0.0f;
  for (int q = threadIdx.x; q < N_GRADS; q += 32 * WARPS) g[q] = 0.0f;
  for (long long first = (long long)blockIdx.x * ROWS; first < rows; first += (long long)gridDim.x * ROWS) {
    for (int e = threadIdx.x; e < ROWS * wide(0); e += 32 * WARPS) {
      const int r = e / wide(0), i = e % wide(0);
      a[r * stride(0) + i] = H(first + r < rows && i < N_INPUTS ? x[(first + r) * N_INPUTS + i] : 0.0f);
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < N_LAYERS; ++k) {
      const int across = wide(k + 1) / 16, n_out = width_of(k + 1);
      const T* bias = params + biases_at(k);
      for (int item = warp; item < ROWS / 16 * across; item += WARPS) {
        const int r = item / across * 16, o = item % across * 16;
        Sum sum;
        wmma::fill_fragment(sum, 0.0f);
        for (int i = 0; i < wide(k); i += 16) {
          A left;
          B matrix;
          wmma::load_matrix_sync(left, a + outputs_at(k) + r * stride(k) + i, stride(k));
          wmma::load_matrix_sync(matrix, W + matrix_at(k) + i * wide(k + 1) + o, wide(k + 1));
          wmma::mma_sync(sum, left, matrix, sum);
        }
        if (k == N_LAYERS - 1) {
          wmma::store_matrix_sync(z_top + r * wide(k + 1) + o, sum, wide(k + 1), wmma::mem_row_major);
        } else {
          wmma::store_matrix_sync(mine, sum, 16, wmma::mem_row_major);
          __syncwarp();
          for (int e = lane; e < 256; e += 32) {
            const int j = o + e % 16, at = outputs_at(k + 1) + (r + e / 16) * stride(k + 1) + j;
            const float v = j < n_out ? mine[e] + bias[j] : 0.0f;
            a[at] = H(j < n_out ? activation_value(activation_of(k), v) : 0.0f);
            if (KEEPS) kept_z[at] = H(v);
          }
          __syncwarp();
        }
      }
      __syncthreads();
    }
    for (int r = warp; r < ROWS; r += WARPS) {
      const bool real = first + r < rows;
      const float w = real ? (WEIGHTED ? weight[first + r] : 1.0f) : 0.0f;
      judge_row(
          z_top + r * wide(N_LAYERS), params + biases_at(N_LAYERS - 1), y + (real ? first + r : 0) * N_OUTPUTS, w,
          float(c), float(bound), here + r * stride(N_LAYERS), loss, right);
    }
    __syncthreads();
#pragma unroll
    for (int k = N_LAYERS - 1; k >= 0; --k) {
      const int across = wide(k + 1) / 16;
      for (int item = warp; item < wide(k) / 16 * across; item += WARPS) {
        const int i = item / across * 16, o = item % across * 16;
        float* target = g + matrix_at(k) + i * wide(k + 1) + o;
        Sum sum;
        wmma::load_matrix_sync(sum, target, wide(k + 1), wmma::mem_row_major);
        for (int r = 0; r < ROWS; r += 16) {
          ATransposed left;
          B delta;
          wmma::load_matrix_sync(left, a + outputs_at(k) + r * stride(k) + i, stride(k));
          wmma::load_matrix_sync(delta, here + r * stride(k + 1) + o, stride(k + 1));
          wmma::mma_sync(sum, left, delta, sum);
        }
        wmma::store_matrix_sync(target, sum, wide(k + 1), wmma::mem_row_major);
      }
      for (int j = threadIdx.x; j < width_of(k + 1); j += 32 * WARPS) {
        float sum = 0.0f;
        for (int r = 0; r < ROWS; ++r) sum += float(here[r * stride(k + 1) + j]);
        g[biases_after(k) + j] += sum;
      }
      if (k > 0) {
        const int f = k > 0 ? k - 1 : 0, down = wide(k) / 16;
        for (int item = warp; item < ROWS / 16 * down; item += WARPS) {
          const int r = item / down * 16, i = item % down * 16;
          Sum sum;
          wmma::fill_fragment(sum, 0.0f);
          for (int o = 0; o < wide(k + 1); o += 16) {
            A delta;
            BTransposed matrix;
            wmma::load_matrix_sync(delta, here + r * stride(k + 1) + o, stride(k + 1));
            wmma::load_matrix_sync(matrix, W + matrix_at(k) + i * wide(k + 1) + o, wide(k + 1));
            wmma::mma_sync(sum, delta, matrix, sum);
          }
          wmma::store_matrix_sync(mine, sum, 16, wmma::mem_row_major);
          __syncwarp();
          for (int e = lane; e < 256; e += 32) {
            const int j = i + e % 16, row = r + e / 16, at = outputs_at(k) + row * stride(k) + j;
            const float kept = float(KEEPS && derivative_of_z(f) ? kept_z[at] : a[at]);
            below[row * stride(k) + j] = H(j < width_of(k) ? mine[e] * activation_derivative(activation_of(f), kept) : 0.0f);
          }
          __syncwarp();
        }
      }
      __syncthreads();
      H* const kept = here;
      here = below, below = kept;
    }
  }
  loss = warp_sum(loss), right = warp_sum(right);
  if (lane == 0) shares[0][warp] = loss, shares[1][warp] = right;
  __syncthreads();
  if (threadIdx.x == 0) {
    double both[2] = {0.0, 0.0};
    for (int k = 0; k < WARPS; ++k) both[0] += shares[0][k], both[1] += shares[1][k];
    both[0] /= LOSS_WIDTH;
    double* of_block = sums + 4 * blockIdx.x;
    of_block[0] = (starts ? 0.0 : of_block[0]) + both[0], of_block[1] = (starts ? 0.0 : of_block[1]) + both[1];
    of_block[2] = both[0], of_block[3] = both[1];
  }
  if (GRADS_IN_SHARED)
    for (int q = threadIdx.x; q < N_GRADS; q += 32 * WARPS) partials[(long long)blockIdx.x * N_GRADS + q] = g[q];
}

// The blocks' gradients added up: weights into the flat vector, biases into bias_parts, one after another.
extern "C" __global__ void __launch_bounds__(256) reduce(
    const float* partials, long long blocks, double scale, T* g, T* bias_parts) {
  for (long long q = (long long)blockIdx.x * 256 + threadIdx.x; q < N_PARAMS; q += (long long)gridDim.x * 256) {
    const int part = part_of(int(q)), k = part / 2, n_out = width_of(k + 1);
    const int j = int(q) - (part % 2 ? biases_at(k) : weights_at(k));
    const int at = part % 2 ? biases_after(k) + j : matrix_at(k) + j / n_out * wide(k + 1) + j % n_out;
    float sum = 0.0f;
    for (long long b = 0; b < blocks; ++b) sum += partials[b * N_GRADS + at];
    sum *= float(scale);
    if (part % 2) bias_parts[bias_index(k) + j] = sum;
    else g[q] = sum;
  }
}

// Parameters as H, padded with zeros.
extern "C" __global__ void __launch_bounds__(256) narrow_weights(const T* params, H* W) {
  for (int e = blockIdx.x * 256 + threadIdx.x; e < matrix_at(N_LAYERS); e += gridDim.x * 256) {
    int k = 0;
    while (e >= matrix_at(k + 1)) ++k;
    const int i = (e - matrix_at(k)) / wide(k + 1), o = (e - matrix_at(k)) % wide(k + 1);
    const bool inside = i < width_of(k) && o < width_of(k + 1);
    W[e] = H(inside ? params[weights_at(k) + i * width_of(k + 1) + o] : 0.0f);
  }
}
