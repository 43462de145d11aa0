// Outputs of a net compared with their targets, and the sums of losses and correct samples of a block.

constexpr int WARPS = 8;  // of a block

// A row's outputs so far: indices of the largest output and target, and the outputs that are right.
struct RowSoFar {
  T best = -INFINITY, target = -INFINITY, n_right = T(0);
  int said = 0, meant = 0;
};

__device__ __forceinline__ T output_of(T v) {
  return activation_of(N_LAYERS - 1) == ACTIVATION_SOFTMAX ? elementary::exp(v)
                                                           : activation_value(activation_of(N_LAYERS - 1), v);
}

// Compare output j of a row with its target, add its loss, and return its delta. v: its pre-activation or, of softmax, the
// logarithm of the output. w: weight of the sample; one of weight 0 contributes nothing, even if it is not finite.
__device__ __forceinline__ T compare_output(
    int j, T v, T out, T wanted, T w, double scale, double c, double bound, RowSoFar& row, T& loss) {
  T d = T(0);
  if (w > T(0)) {
    loss += w * loss_value(LOSS, v, out, wanted, T(c));
    d = loss_delta(LOSS, out, wanted, T(c)) * (w * T(scale));
    if (!DELTA_IS_WRT_LOGIT)
      d *= activation_derivative(activation_of(N_LAYERS - 1), derivative_needs_z(N_LAYERS - 1) ? v : out);
  }
  if (out > row.best) row.best = out, row.said = j;
  if (wanted > row.target) row.target = wanted, row.meant = j;
  if (METRIC == METRIC_MARGIN) row.n_right += elementary::absolute(out - wanted) <= T(bound) ? T(1) : T(0);
  if (METRIC == METRIC_THRESHOLD) row.n_right += (out > T(bound)) == (wanted > T(bound)) ? T(1) : T(0);
  return d;
}

// Logarithm of the sum of exp(z + b) over a row's outputs, which SHARERS neighbouring threads share.
template <int SHARERS>
__device__ __forceinline__ T log_of_sum(const T* z, const T* b) {
  const int sharer = threadIdx.x % SHARERS;
  T top = -INFINITY, whole = T(0);
  for (int j = sharer; j < N_OUTPUTS; j += SHARERS) {
    const T v = z[j] + b[j];
    top = v > top || v != v ? v : top;
  }
  top = warp_max<SHARERS>(top);
  for (int j = sharer; j < N_OUTPUTS; j += SHARERS) whole += elementary::exp(z[j] + b[j] - top);
  return top + elementary::log(warp_sum<SHARERS>(whole));
}

// This thread's part of a row's correct samples, times its weight w. `row` has the outputs of one of SHARERS threads.
template <int SHARERS>
__device__ __forceinline__ T correct_of_row(const RowSoFar& row, T w) {
  if (METRIC != METRIC_ARGMAX) return w * row.n_right / T(N_OUTPUTS);
  const int said = first_of_warp<SHARERS>(row.best, row.said), meant = first_of_warp<SHARERS>(row.target, row.meant);
  return said == meant && threadIdx.x % SHARERS == 0 ? w : T(0);
}

// Add the losses and correct samples of all threads of a block to its row of sums, (blocks, N_CHUNK_SUMS). All threads
// pass a barrier. starts: whether the sums of an epoch begin here.
__device__ __forceinline__ void add_to_sums(T loss, T n_correct, bool starts, double* sums) {
  FM_SHARED(T, losses, [WARPS]);
  FM_SHARED(T, counts, [WARPS]);
  loss = warp_sum(loss), n_correct = warp_sum(n_correct);
  if (threadIdx.x % 32 == 0) losses[threadIdx.x / 32] = loss, counts[threadIdx.x / 32] = n_correct;
  __syncthreads();
  if (threadIdx.x) return;
  double both[2] = {0.0, 0.0};
  for (int k = 0; k < WARPS; ++k) both[0] += losses[k], both[1] += counts[k];
  both[0] /= LOSS_WIDTH;
  double* const mine = sums + N_CHUNK_SUMS * blockIdx.x;
  mine[SUM_EPOCH_LOSS] = (starts ? 0.0 : mine[SUM_EPOCH_LOSS]) + both[0];
  mine[SUM_EPOCH_N_CORRECT] = (starts ? 0.0 : mine[SUM_EPOCH_N_CORRECT]) + both[1];
  mine[SUM_BATCH_LOSS] = both[0], mine[SUM_BATCH_N_CORRECT] = both[1];
}
