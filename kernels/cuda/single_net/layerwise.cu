// Kernels that the family `layerwise` has besides layers/passes.cu: they order the samples and update one large net, with
// many blocks of threads.

// Order of an epoch in two launches: lists of all steps (include/permutation.cuh), then the order itself.
extern "C" __global__ void list_steps(long long n, long long seed, long long epoch, int* heads, int* nexts) {
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x)
    list_step(i, n, seed, epoch, heads, nexts);
}

extern "C" __global__ void order_samples(
    long long n, long long seed, long long epoch, const int* heads, const int* nexts, int* order) {
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x)
    order[i] = sample_at(i, n, seed, epoch, heads, nexts);
}

// The sum of every stride-th number, for all threads of a block of 256; always added up in the same order.
__device__ __forceinline__ double sum_of(const double* values, long long n, int stride) {
  double sum = 0.0;
  for (long long i = threadIdx.x; i < n; i += 256) sum += values[stride * i];
  return block_sum<256>(sum);
}

// The end of a step's last kernel, called by all threads: at the end of an epoch or of the call, writes the epoch's sums
// so far to its record; and advances the clock after the last block has read it. Blocks arrive in any order, but only
// `arrived` depends on that.
__device__ __forceinline__ void end_step(Clock* clock, const double* sums, long long all_sums) {
  const long long step = clock->step;
  if (blockIdx.x == 0 && ((step + 1) % clock->n_batches == 0 || step + 1 == clock->end)) {
    const double loss = sum_of(sums + SUM_EPOCH_LOSS, all_sums, N_CHUNK_SUMS),
                 n_correct = sum_of(sums + SUM_EPOCH_N_CORRECT, all_sums, N_CHUNK_SUMS);
    double* record = clock->records + 2 * (step / clock->n_batches - clock->first / clock->n_batches);
    if (threadIdx.x == 0) record[0] = loss, record[1] = n_correct;
  }
  __syncthreads();  // all threads have read the clock; the last block reads nothing that others have written
  if (threadIdx.x) return;
  __threadfence();
  if (atomicAdd(reinterpret_cast<unsigned long long*>(&clock->arrived), 1ull) == gridDim.x - 1)
    clock->arrived = 0, clock->step = step + 1;
}

// Values needed before the step: per block, the sums of squared gradients, of the same times huge_scale() (which do not
// overflow in float64; 0 in float32) and of squared weights, for the penalty of rules that compare objectives.
// bias_parts: partial gradients of biases, one for each of the `chunks` of this batch, of most_chunks. squares: (blocks,
// N_SQUARES), with as many blocks as `update`.
extern "C" __global__ void __launch_bounds__(256) measure(
    const T* p, const T* g, const T* bias_parts, long long chunks, long long most_chunks, double l2, double* squares) {
  double gradients = 0.0, scaled = 0.0, weights = 0.0;
  for (int q = blockIdx.x * 256 + threadIdx.x; q < N_PARAMS; q += gridDim.x * 256) {
    const int part = part_of(q);
    const T gradient = gradient_of(q, part, p, g, bias_parts, chunks, most_chunks, l2, nullptr);
    if (part % 2 == 0) weights += double(p[q]) * double(p[q]);
    gradients += double(gradient) * double(gradient);
    if (sizeof(T) == 8) scaled += scaled_square(gradient);
  }
  gradients = block_sum<256>(gradients), scaled = block_sum<256>(scaled), weights = block_sum<256>(weights);
  if (threadIdx.x) return;
  double* const mine = squares + N_SQUARES * blockIdx.x;
  mine[SQUARES_OF_GRADIENT] = gradients, mine[SQUARES_OF_SCALED_GRADIENT] = scaled, mine[SQUARES_OF_WEIGHTS] = weights;
}

// One step of the update rule for every parameter, and the end of the step. squares: (blocks, N_SQUARES), from `measure`.
// objectives: (2,), of even and odd steps, for rules that ask whether the objective has increased. sums: (all_sums,
// N_CHUNK_SUMS), from `loss_and_output_delta`; this batch of `rows` samples has written the first n_sums. W: from
// `round_weights`, or null if products read p.
extern "C" __global__ void __launch_bounds__(256) update(
    Clock* clock, const T* g, const T* bias_parts, long long chunks, long long most_chunks, double l2, double clip_norm,
    const double* squares, const double* sums, long long all_sums, long long n_sums, double rows, double* objectives,
    const double* layer_factors, T* p, T* state, Operand* W) {
  const long long step = clock->step;
  T clip = T(1);
  if (CLIPPED) {
    const double total = sum_of(squares + SQUARES_OF_GRADIENT, gridDim.x, N_SQUARES);
    clip = total < INFINITY  // the same branch for all threads
               ? clip_factor(clip_norm, total)
               : huge_clip_factor(clip_norm, sum_of(squares + SQUARES_OF_SCALED_GRADIENT, gridDim.x, N_SQUARES));
  }
  Settings<T> h = reinterpret_cast<const Settings<T>*>(clock->settings)[step - clock->first];
  if (COMPARES) {
    const double objective = sum_of(sums + SUM_BATCH_LOSS, n_sums, N_CHUNK_SUMS) / rows +
                             0.5 * l2 * sum_of(squares + SQUARES_OF_WEIGHTS, gridDim.x, N_SQUARES);
    h.loss_increased = objective > objectives[(step + 1) % 2] ? T(1) : T(0);
    if (blockIdx.x == 0 && threadIdx.x == 0) objectives[step % 2] = objective;
  }
  for (int q = blockIdx.x * 256 + threadIdx.x; q < N_PARAMS; q += gridDim.x * 256) {
    const int part = part_of(q);
    // With the factor of its layer; the clip factor is of gradients without it.
    const T gradient = gradient_of(q, part, p, g, bias_parts, chunks, most_chunks, l2, layer_factors) * clip;
    update_parameter(q, part, gradient, h, layer_factors, p, state, W);
  }
  end_step(clock, sums, all_sums);
}

// The end of a step that computes only the gradient: adds up the gradients of biases into the flat vector.
extern "C" __global__ void __launch_bounds__(256) reduce_bias_gradients(
    Clock* clock, const T* bias_parts, long long chunks, long long most_chunks, const double* sums, long long all_sums,
    T* g) {
  for (int q = blockIdx.x * 256 + threadIdx.x; q < N_PARAMS; q += gridDim.x * 256) {
    const int part = part_of(q);
    if (part % 2) g[q] = gradient_of(q, part, g, g, bias_parts, chunks, most_chunks, 0.0, nullptr);
  }
  end_step(clock, sums, all_sums);
}
