// Kernel family `fused_tensor_core`: a step of a net whose layers are at most 128 wide, in one kernel. Forward, loss
// and backward of BLOCK_ROWS samples at a time stay in shared memory, and products run on tensor cores. Operands are
// bfloat16, sums are float.
//
// Widths are rounded up to multiples of 16 and padded with zeros. A block loops over groups of BLOCK_ROWS samples and
// accumulates their gradients, so that `reduce` adds up one gradient per block and divides it by the batch size. Weights
// are stored as tiles in both orders, gradients as tiles of sums.

// Of fused_tensor_core.py, constants for each k, since loops over layers would be left in the innermost loop of products:
//   wide(k)          width of layer k's inputs, rounded up
//   stride(k)        numbers from row to row in shared memory, so that rows start in different banks
//   outputs_at(k)    start of layer k's inputs in shared memory
//   matrix_at(k)     start of layer k's padded weights
//   biases_after(k)  start of layer k's bias gradients, after all matrices
//   DELTA            numbers of the largest layer's deltas

constexpr int N_WEIGHTS = matrix_at(N_LAYERS), N_GRADS = biases_after(N_LAYERS);

constexpr int SHARERS = 32 * WARPS / BLOCK_ROWS;  // neighbouring threads that share a row of outputs

__device__ __forceinline__ long long sample_of(const int* order, long long position) {
  return order ? order[position] : position;
}

// Loss, correct outputs and output delta of one row, by SHARERS threads. z: the row's logits without bias; d: its deltas.
__device__ void loss_and_output_delta_of_row(
    const float* z, const float* b, const float* y, float w, double c, double bound, Bits* d, float& loss,
    float& n_correct) {
  const bool is_softmax = activation_of(N_LAYERS - 1) == ACTIVATION_SOFTMAX;
  const float shift = is_softmax ? log_of_sum<SHARERS>(z, b) : 0.0f;
  RowSoFar row;
  for (int j = threadIdx.x % SHARERS; j < wide(N_LAYERS); j += SHARERS) {
    float delta = 0.0f;
    if (j < N_OUTPUTS) {
      const float v = z[j] + b[j] - shift;
      delta = compare_output(j, v, output_of(v), y[j], w, 1.0, c, bound, row, loss);
    }
    d[j] = bfloat16_bits(delta);
  }
  n_correct += correct_of_row<SHARERS>(row, w);
}

// The gradient of a batch: of x, y and weight, the samples order[start ..] or, without an order, start .., where start is
// step % n_batches * batch_size of the clock. W: from narrow_weights. sums: (blocks, N_CHUNK_SUMS), as written by the
// kernel loss_and_output_delta of layers/passes.cu. partials: (blocks, N_GRADS).
extern "C" __global__ void __launch_bounds__(32 * WARPS) narrow_gradient(
    const Clock* clock, const T* x, const T* y, const T* weight, const int* order, long long batch_size, const Bits* W,
    const T* params, long long rows, double c, double bound, double* sums, float* partials) {
  FM_DYN_SMEM(float, memory);
  float* const z_top = memory;                                   // (BLOCK_ROWS, wide(N_LAYERS))
  float* const in_shared = z_top + BLOCK_ROWS * wide(N_LAYERS);  // (N_GRADS,) if it fits
  Bits* const a = reinterpret_cast<Bits*>(in_shared + (GRADS_IN_SHARED ? N_GRADS : 0));
  Bits* const stored_z = a + outputs_at(N_LAYERS);               // pre-activations, laid out as a
  Bits* here = stored_z + (KEEPS ? outputs_at(N_LAYERS) : 0);    // deltas of the layer above; `below` of the one below
  Bits* below = here + DELTA;
  float* const g = GRADS_IN_SHARED ? in_shared : partials + (long long)blockIdx.x * N_GRADS;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const long long batch = clock->step % clock->n_batches, start = batch * batch_size;
  float loss = 0.0f, n_correct = 0.0f;
  for (int q = threadIdx.x; q < N_GRADS; q += 32 * WARPS) g[q] = 0.0f;
  for (long long first = (long long)blockIdx.x * BLOCK_ROWS; first < rows; first += (long long)gridDim.x * BLOCK_ROWS) {
#pragma unroll 4
    for (int r = warp; r < BLOCK_ROWS; r += WARPS) {
      const bool is_row = first + r < rows;
      const long long sample = is_row ? sample_of(order, start + first + r) : 0;
      // A sample of weight 0 contributes nothing, even if its inputs are not finite.
      const bool counts = is_row && (!WEIGHTED || weight[sample] > 0.0f);
      for (int i = lane; i < wide(0); i += 32)
        a[r * stride(0) + i] = bfloat16_bits(counts && i < N_INPUTS ? x[sample * N_INPUTS + i] : 0.0f);
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < N_LAYERS; ++k) {
      const int across = wide(k + 1) / 16, n_out = width_of(k + 1);
      const T* bias = params + biases_at(k);
      for (int item = warp; item < BLOCK_ROWS / 16 * across; item += WARPS) {
        const int r = item / across * 16, o = item % across * 16;
        Sum sum = {};
        for (int i = 0; i < wide(k); i += 16) {
          Left left;
          Right matrix;
          load(left, a + outputs_at(k) + r * stride(k) + i, stride(k));
          load_packed(matrix, W + matrix_at(k) + (i / 16 * across + o / 16) * 256);
          multiply_add(sum, left, matrix);
        }
#pragma unroll
        for (int e = 0; e < 8; e += 2) {
          const int row = r + row_of(e), j = o + column_of(e);
          if (k == N_LAYERS - 1) {
            z_top[row * wide(k + 1) + j] = sum.x[e], z_top[row * wide(k + 1) + j + 1] = sum.x[e + 1];
          } else {
            const int at = outputs_at(k + 1) + row * stride(k + 1) + j;
            const float u = j < n_out ? sum.x[e] + bias[j] : 0.0f, v = j + 1 < n_out ? sum.x[e + 1] + bias[j + 1] : 0.0f;
            store_pair(a + at, pack(j < n_out ? activation_value(activation_of(k), u) : 0.0f,
                                       j + 1 < n_out ? activation_value(activation_of(k), v) : 0.0f));
            if (KEEPS) store_pair(stored_z + at, pack(u, v));
          }
        }
      }
      __syncthreads();
    }
    const int row = threadIdx.x / SHARERS;
    const bool is_row = first + row < rows;
    const long long sample = is_row ? sample_of(order, start + first + row) : 0;
    const float w = is_row ? (WEIGHTED ? weight[sample] : 1.0f) : 0.0f;
    loss_and_output_delta_of_row(
        z_top + row * wide(N_LAYERS), params + biases_at(N_LAYERS - 1), y + sample * N_OUTPUTS, w, c, bound,
        here + row * stride(N_LAYERS), loss, n_correct);
    __syncthreads();
#pragma unroll
    for (int k = N_LAYERS - 1; k >= 0; --k) {
      const int across = wide(k + 1) / 16;
      for (int item = warp; item < wide(k) / 16 * across; item += WARPS) {
        const int i = item / across * 16, o = item % across * 16;
        float* target = g + matrix_at(k) + item * 256;
        Sum sum;
        load_sum(sum, target);
        for (int r = 0; r < BLOCK_ROWS; r += 16) {
          Left left;
          Right delta;
          load_transposed(left, a + outputs_at(k) + r * stride(k) + i, stride(k));
          load(delta, here + r * stride(k + 1) + o, stride(k + 1));
          multiply_add(sum, left, delta);
        }
        store_sum(sum, target);
      }
      for (int j = threadIdx.x; j < width_of(k + 1); j += 32 * WARPS) {
        float sum = 0.0f;
        for (int r = 0; r < BLOCK_ROWS; ++r) sum += low_of(here[r * stride(k + 1) + j]);
        g[biases_after(k) + j] += sum;
      }
      if (k > 0) {
        const int f = k > 0 ? k - 1 : 0, down = wide(k) / 16;
        for (int item = warp; item < BLOCK_ROWS / 16 * down; item += WARPS) {
          const int r = item / down * 16, i = item % down * 16;
          Sum sum = {};
          for (int o = 0; o < wide(k + 1); o += 16) {
            Left delta;
            Right matrix;
            load(delta, here + r * stride(k + 1) + o, stride(k + 1));
            load_packed(matrix, W + N_WEIGHTS + matrix_at(k) + (i / 16 * across + o / 16) * 256);
            multiply_add(sum, delta, matrix);
          }
#pragma unroll
          for (int e = 0; e < 8; e += 2) {
            const int row = r + row_of(e), j = i + column_of(e), at = outputs_at(k) + row * stride(k) + j;
            const Bits* const stored = (KEEPS && derivative_needs_z(f) ? stored_z : a) + at;
            const float u = sum.x[e] * activation_derivative(activation_of(f), low_of(stored[0]));
            const float v = sum.x[e + 1] * activation_derivative(activation_of(f), low_of(stored[1]));
            store_pair(below + row * stride(k) + j, pack(j < width_of(k) ? u : 0.0f, j + 1 < width_of(k) ? v : 0.0f));
          }
        }
      }
      __syncthreads();
      Bits* const kept = here;
      here = below, below = kept;
    }
  }
  add_to_sums(loss, n_correct, batch == 0, sums);
  if (GRADS_IN_SHARED)
    for (int q = threadIdx.x; q < N_GRADS; q += 32 * WARPS) partials[(long long)blockIdx.x * N_GRADS + q] = g[q];
}

// Store the gradient at position `at` of a block's N_GRADS numbers: a weight's in the flat vector, a bias's in
// bias_parts. Lane i has a position with at % 32 == i. Each layer's code has its constants.
__device__ __forceinline__ void store_gradient(int at, float gradient, T* g, T* bias_parts) {
#pragma unroll
  for (int k = 0; k < N_LAYERS; ++k) {
    const int n_in = width_of(k), n_out = width_of(k + 1), across = wide(k + 1) / 16;
    if (at >= matrix_at(k) && at < matrix_at(k + 1)) {
      const int tile = (at - matrix_at(k)) / 256, e = at % 256 / 32;
      const int i = tile / across * 16 + row_of(e), o = tile % across * 16 + column_of(e);
      if (i < n_in && o < n_out) g[weights_at(k) + i * n_out + o] = gradient;
    }
    const int j = at - biases_after(k);
    if (j >= 0 && j < n_out) bias_parts[bias_index(k) + j] = gradient;
  }
}

// Adds up the gradients of all blocks, 32 numbers at a time in a block of up to WARPS warps: each warp adds up those of
// some blocks, and the first one all warps' sums, always in the same order.
extern "C" __global__ void __launch_bounds__(32 * WARPS) reduce(
    const float* partials, long long blocks, double scale, T* g, T* bias_parts) {
  FM_SHARED(float, parts, [WARPS][32]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, n_warps = blockDim.x / 32;
  for (int from = blockIdx.x * 32; from < N_GRADS; from += gridDim.x * 32) {
    const int at = from + lane;
    const float* p = partials + (long long)warp * N_GRADS + at;
    float sum = 0.0f;
    if (at < N_GRADS)
#pragma unroll 4
      for (int b = warp; b < int(blocks); b += n_warps, p += n_warps * N_GRADS) sum += *p;
    parts[warp][lane] = sum;
    __syncthreads();
    if (!warp) {
      for (int q = 1; q < n_warps; ++q) sum += parts[q][lane];
      if (at < N_GRADS) store_gradient(at, sum * float(scale), g, bias_parts);
    }
    __syncthreads();
  }
}

// Round a pair of layer k's weights for load_packed. pair: its position in the layer's tiles.
__device__ __forceinline__ unsigned rounded_pair(int k, int pair, bool transposed, const T* params) {
  const int tile = pair / 128, lane = pair % 128 / 4, t = pair % 4, across = wide(k + 1) / 16;
  const int i0 = tile / across * 16, o0 = tile % across * 16, n_in = width_of(k), n_out = width_of(k + 1);
  const int row = row_of_right(lane, t), column = column_of_right(lane, t);
  float both[2];
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    const int i = i0 + (transposed ? column : row + e), o = o0 + (transposed ? row + e : column);
    both[e] = i < n_in && o < n_out ? params[weights_at(k) + i * n_out + o] : 0.0f;
  }
  return pack(both[0], both[1]);
}

// Weights as bfloat16, padded with zeros, in tiles for load_packed: W (2, N_WEIGHTS), not transposed and transposed.
// Each layer's code has its constants.
extern "C" __global__ void __launch_bounds__(256) narrow_weights(const T* params, Bits* W) {
  for (int q = blockIdx.x * 256 + threadIdx.x; q < N_WEIGHTS; q += gridDim.x * 256) {
    const bool transposed = q >= N_WEIGHTS / 2;
    const int pair = transposed ? q - N_WEIGHTS / 2 : q;
#pragma unroll
    for (int k = 0; k < N_LAYERS; ++k)
      if (2 * pair >= matrix_at(k) && 2 * pair < matrix_at(k + 1))
        store_pair(W + 2 * q, rounded_pair(k, pair - matrix_at(k) / 2, transposed, params));
  }
}
