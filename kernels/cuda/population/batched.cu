// Kernel family `batched_gemm`: many nets trained in lockstep, with one batched product per layer and the passes of
// layers/passes.cu. The first slots hold the nets in training. A net's own data is reached through Job, and
// population/per_net.cuh decides when it ends. A net that has ended before the others of its epoch keeps its parameters.

// Settings of one step of a net, written by `step_settings` and read by `update`; the host does not read them.
struct Step {
  Settings<T> settings;
  T clip, updates;
};

// A net between its products, in a block of N threads: the `Net` of population/per_net.cuh.
template <int N>
struct BatchedNet : NetVectors<N> {
  const Job& job;
  const long long slot;
  const double* hyper;
  // Sums of the epoch or, for rules that compare objectives, of the batch; and sums over the held-out samples.
  const double *batch_sums, *held_out_sums;
  const long long n_batch_sums, n_held_out_sums;
  bool stays;  // whether the update must not change the parameters

  __device__ __forceinline__ BatchedNet(
      const Job& job, long long slot, const double* batch_sums, long long n_batch_sums, const double* held_out_sums,
      long long n_held_out_sums)
      : job(job), slot(slot), hyper(job.hyper + job.owners[slot] * job.hyper_stride), batch_sums(batch_sums),
        held_out_sums(held_out_sums), n_batch_sums(n_batch_sums), n_held_out_sums(n_held_out_sums), stays(false) {}

  __device__ __forceinline__ T* params() const { return job.params + slot * PARAMS_STRIDE; }
  __device__ __forceinline__ bool leads() const { return threadIdx.x == 0; }

  __device__ Sums added(const double* sums, long long n, int loss_at, int n_correct_at) const {
    double loss = 0.0, n_correct = 0.0;
    for (long long c = 0; c < n; ++c)
      loss += sums[N_CHUNK_SUMS * c + loss_at], n_correct += sums[N_CHUNK_SUMS * c + n_correct_at];
    return {T(loss), T(n_correct)};
  }

  __device__ Sums sums() const {
    return COMPARES ? added(batch_sums, n_batch_sums, SUM_BATCH_LOSS, SUM_BATCH_N_CORRECT)
                    : added(batch_sums, n_batch_sums, SUM_EPOCH_LOSS, SUM_EPOCH_N_CORRECT);
  }
  __device__ Sums validate() const {
    return added(held_out_sums, n_held_out_sums, SUM_EPOCH_LOSS, SUM_EPOCH_N_CORRECT);
  }

  __device__ T penalty() const { return this->template penalty_of<double>(params(), hyper[HYPER_L2]); }
  __device__ T total() const { return this->template total_of<T>(params()); }

  __device__ void save(T* target) {
    if (target == params()) stays = true;
    else this->copy(params(), target);
  }
};

// The order of an epoch's samples, a block per net.
extern "C" __global__ void __launch_bounds__(THREADS) shuffle(const Job* given, long long epoch) {
  const Job& job = *given;
  const long long slot = blockIdx.x, n = job.n_samples;
  shuffle_by_block<THREADS>(n, job.seeds[job.owners[slot]], epoch, job.order + slot * n, job.lists + 2 * slot * n);
}

// Between gradient and update, a block per net: sums, settings of the update rule, saved parameters.
extern "C" __global__ void __launch_bounds__(SETTINGS_THREADS, 1) step_settings(
    const Job* given, const Clock* clock, long long rows, long long chunks, long long most_chunks, long long n_sums,
    const double* sums, const T* bias_parts, T* steps) {
  const Job& job = *given;
  const long long slot = blockIdx.x, epoch = clock->step / job.n_batches, batch = clock->step % job.n_batches;
  const bool ends = batch == job.n_batches - 1;
  Progress s = load_progress(job, slot);
  Step now;
  now.clip = T(1), now.updates = T(0);
  if (s.status == RUNNING) {
    BatchedNet<SETTINGS_THREADS> net(job, slot, sums + N_CHUNK_SUMS * slot * most_chunks, n_sums, nullptr, 0);
    now.settings = before_update(
        job, net, s, slot, load_net_settings(net.hyper), sums_of_step(net, ends), rows, epoch, batch == 0, ends);
    if (CLIPPED) {
      double squares = 0.0, scaled_squares = 0.0;
      const T *p = net.params(), *g = job.grads + slot * PARAMS_STRIDE;
      for (int q = threadIdx.x; q < N_PARAMS; q += SETTINGS_THREADS) {
        const T gradient = gradient_of(
            q, part_of(q), p, g, bias_parts + slot * most_chunks * N_ROW_SUMS, chunks, most_chunks, net.hyper[HYPER_L2],
            nullptr);
        squares += double(gradient) * double(gradient), scaled_squares += scaled_square(gradient);
      }
      const T clip_norm = net.hyper[HYPER_CLIP_NORM];
      squares = block_sum<SETTINGS_THREADS>(squares), scaled_squares = block_sum<SETTINGS_THREADS>(scaled_squares);
      now.clip = squares < INFINITY ? clip_factor(clip_norm, squares) : huge_clip_factor(clip_norm, scaled_squares);
    }
    now.updates = net.stays ? T(0) : T(1);
    if (!ends) ++s.steps;
  }
  __syncthreads();  // all threads have read what is overwritten now
  if (threadIdx.x) return;
  reinterpret_cast<Step*>(steps)[slot] = now;
  store_progress(job, slot, s);
}

// One step of each net's update rule for every parameter. No other block reads the clock here. W: from `round_weights`,
// or null if products read the parameters.
extern "C" __global__ void __launch_bounds__(THREADS) update(
    const Job* given, long long chunks, long long most_chunks, const T* bias_parts, const T* steps, Clock* clock,
    Operand* W) {
  const Job& job = *given;
  const long long net = blockIdx.y;
  if (net == 0 && blockIdx.x == 0 && threadIdx.x == 0) ++clock->step;
  const Step now = reinterpret_cast<const Step*>(steps)[net];
  if (!(now.updates > T(0))) return;
  const double l2 = job.hyper[job.owners[net] * job.hyper_stride + HYPER_L2];
  T *const p = job.params + net * PARAMS_STRIDE, *const state = job.state + net * N_STATE * N_PADDED;
  for (int q = blockIdx.x * THREADS + threadIdx.x; q < N_PARAMS; q += gridDim.x * THREADS) {
    const int part = part_of(q);
    const T gradient = gradient_of(
        q, part, p, job.grads + net * PARAMS_STRIDE, bias_parts + net * most_chunks * N_ROW_SUMS, chunks, most_chunks, l2,
        job.layer_factors);
    update_parameter(
        q, part, gradient * now.clip, now.settings, job.layer_factors, p, state, W + net * N_OPERAND_WEIGHTS);
  }
}

// End of an epoch, a block per net. held_out_sums: sums over the held-out samples. reached: (nets, 2), the sums of
// losses and correct samples of the last complete epoch, needed if the next one is interrupted.
extern "C" __global__ void __launch_bounds__(THREADS, 1) finish(
    const Job* given, long long most_chunks, long long n_held_out_sums, const double* held_out_sums, double* reached) {
  const Job& job = *given;
  const long long slot = blockIdx.x;
  Progress s = load_progress(job, slot);
  if (s.status != RUNNING) return;
  BatchedNet<THREADS> net(
      job, slot, nullptr, 0, held_out_sums + N_CHUNK_SUMS * slot * most_chunks, n_held_out_sums);
  after_epoch(job, net, s, slot, s.steps / job.n_batches);
  ++s.steps;
  store_final_params(job, net, s, slot);
  __syncthreads();  // all threads have read what is overwritten now
  if (threadIdx.x) return;
  store_progress(job, slot, s);
  reached[2 * slot] = s.loss, reached[2 * slot + 1] = s.n_correct;
}

__device__ __forceinline__ void swap_numbers(double* a, double* b) {
  const double kept = *a;
  *a = *b, *b = kept;
}

// Compact the slots: slots pairs[2 b] and pairs[2 b + 1] are swapped, and the second net continues training in the
// first slot. Values that only training needs are not kept for the net that has ended.
extern "C" __global__ void __launch_bounds__(THREADS, 1) swap_slots(
    const Job* given, const long long* pairs, long long* owners, double* reached) {
  const Job& job = *given;
  const long long ended = pairs[2 * blockIdx.x], goes_on = pairs[2 * blockIdx.x + 1];
  T *const p = job.params + ended * PARAMS_STRIDE, *const from = job.params + goes_on * PARAMS_STRIDE;
  for (int q = threadIdx.x; q < N_PARAMS; q += THREADS) {
    const T kept = p[q];
    p[q] = from[q], from[q] = kept;
    job.safe_params[ended * PARAMS_STRIDE + q] = job.safe_params[goes_on * PARAMS_STRIDE + q];
    if (job.best_params) job.best_params[ended * PARAMS_STRIDE + q] = job.best_params[goes_on * PARAMS_STRIDE + q];
  }
  for (int q = threadIdx.x; q < N_STATE * N_PADDED; q += THREADS)
    job.state[ended * N_STATE * N_PADDED + q] = job.state[goes_on * N_STATE * N_PADDED + q];
  for (long long r = threadIdx.x; r < job.n_records; r += THREADS)
    swap_numbers(job.records + r * job.n_slots + ended, job.records + r * job.n_slots + goes_on);
  if (threadIdx.x) return;
  for (int k = 0; k < 2; ++k) swap_numbers(reached + 2 * ended + k, reached + 2 * goes_on + k);
  const Progress first = load_progress(job, ended), second = load_progress(job, goes_on);
  store_progress(job, ended, second);
  store_progress(job, goes_on, first);
  const long long owner = owners[ended];
  owners[ended] = owners[goes_on], owners[goes_on] = owner;
}
