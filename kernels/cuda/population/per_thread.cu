// A net per thread: parameters, gradients and optimiser state are in registers, and the net's code is unrolled. For
// many nets of up to some tens of parameters. Threads share only the data.

struct ThreadNet : NetVectors<1> {
  const Job& job;
  const long long slot, owner;
  const T bound, loss_constant;
  T p[N_PARAMS], g[N_PARAMS], state[N_STATE > 0 ? N_STATE : 1][N_PARAMS];
  T loss, n_correct;

  __device__ __forceinline__ bool leads() const { return true; }

  __device__ __forceinline__ void load() {
    const T* params = job.params + slot * N_PARAMS;
#pragma unroll
    for (int q = 0; q < N_PARAMS; ++q) p[q] = params[q];
#pragma unroll
    for (int s = 0; s < N_STATE; ++s)
#pragma unroll
      for (int q = 0; q < N_PARAMS; ++q) state[s][q] = job.state[(slot * N_STATE + s) * N_PADDED + q];
    loss = n_correct = T(0);
  }

  __device__ __forceinline__ void store_state() {
#pragma unroll
    for (int s = 0; s < N_STATE; ++s)
#pragma unroll
      for (int q = 0; q < N_PARAMS; ++q) job.state[(slot * N_STATE + s) * N_PADDED + q] = state[s][q];
  }

  __device__ __forceinline__ void load_sums() {}  // launches of populations end with an epoch
  __device__ __forceinline__ void store_sums() const {}

  __device__ __forceinline__ void save(T* target) const { copy(p, target); }
  __device__ __forceinline__ T total() const { return total_of<T>(p); }
  __device__ __forceinline__ T penalty() const {
    return penalty_of<T>(p, job.hyper[owner * job.hyper_stride + HYPER_L2]);
  }

  __device__ __forceinline__ void shuffle(long long epoch) {
    shuffle_by_thread(job.n_samples, job.seeds[owner], epoch, job.order + slot, job.n_slots);
  }

  // Compute one sample's outputs and add its gradient to g.
  __device__ __forceinline__ void take(long long sample, T share) {
    T x[N_INPUTS], y[N_OUTPUTS], a[N_OUTPUTS];
    const T* X = job.X + owner * job.X_stride + sample * N_INPUTS;
    const T* Y = job.Y + owner * job.Y_stride + sample * N_OUTPUTS;
    const T weight = WEIGHTED ? job.weight[owner * job.weight_stride + sample] : T(1);
    if (WEIGHTED && !(weight > T(0))) return;  // a sample of weight 0 contributes nothing, even if it is not finite
#pragma unroll
    for (int i = 0; i < N_INPUTS; ++i) x[i] = X[i];
#pragma unroll
    for (int j = 0; j < N_OUTPUTS; ++j) y[j] = Y[j];
    loss += weight * gradient_unrolled(p, g, x, y, weight * share, loss_constant, a);
    n_correct += weight * correct_fraction(a, y, bound);
  }

  __device__ __forceinline__ void gradient(long long first, long long rows, T share, long long) {
#pragma unroll
    for (int q = 0; q < N_PARAMS; ++q) g[q] = T(0);
#pragma unroll(FIXED_ROWS ? FIXED_ROWS : 1)
    for (long long r = 0; r < rows; ++r)
      take(SHUFFLES ? job.order[(first + r) * job.n_slots + slot] : first + r, share);
  }

  __device__ __forceinline__ Sums sums() {
    const Sums both = {loss / T(LOSS_WIDTH), n_correct};
    loss = n_correct = T(0);
    return both;
  }

  __device__ __forceinline__ Sums validate() {
    T unused[N_PARAMS], loss = T(0), n_correct = T(0);
    for (long long r = 0; r < job.n_held_out; ++r) {
      T x[N_INPUTS], y[N_OUTPUTS], a[N_OUTPUTS];
#pragma unroll
      for (int i = 0; i < N_INPUTS; ++i) x[i] = job.held_out_X[r * N_INPUTS + i];
#pragma unroll
      for (int j = 0; j < N_OUTPUTS; ++j) y[j] = job.held_out_Y[r * N_OUTPUTS + j];
      const T weight = job.held_out_weight ? job.held_out_weight[r] : T(1);
      const T value = gradient_unrolled(p, unused, x, y, T(0), loss_constant, a);
      loss += weight > T(0) ? weight * value : T(0);  // a sample of weight 0 contributes nothing, even if not finite
      n_correct += weight * correct_fraction(a, y, bound);
    }
    return {loss / T(LOSS_WIDTH), n_correct};
  }

  __device__ __forceinline__ void update(const Settings<T>& of_net, T l2, T clip_norm) {
    update_by_rule(job, p, g, state[0], N_PARAMS, of_net, l2, clip_norm);
  }
};

// One thread per net of job.active.
extern "C" __global__ void __launch_bounds__(THREADS) train_nets(const Job* __restrict__ given) {
  const Job& job = *given;
  const long long place = (long long)blockIdx.x * THREADS + threadIdx.x;
  if (place >= job.n_active) return;
  const long long slot = job.active[place], owner = job.owners[slot];
  ThreadNet net{{}, job, slot, owner, T(job.bound), T(job.loss_constant)};
  net.load();
  Progress s = load_progress(job, slot);
  train_net(job, net, s, slot, job.hyper + owner * job.hyper_stride);
  net.store_state();
  store_progress(job, slot, s);
}
