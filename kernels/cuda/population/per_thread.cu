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

  __device__ __forceinline__ void save(T* target) const {
#pragma unroll
    for (int q = 0; q < N_PARAMS; ++q) target[q] = p[q];
  }

  __device__ __forceinline__ T total() const {
    T sum = T(0);
#pragma unroll
    for (int q = 0; q < N_PARAMS; ++q) sum += p[q];
    return sum;
  }

  __device__ __forceinline__ T penalty() const {
    T sum = T(0);
#pragma unroll
    for (int q = 0; q < N_PARAMS; ++q)
      if (is_weight(q)) sum += p[q] * p[q];
    return T(0.5) * T(job.hyper[owner * job.hyper_stride + HYPER_L2]) * sum;
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
    if (PENALISED)
#pragma unroll
      for (int q = 0; q < N_PARAMS; ++q)
        if (is_weight(q)) g[q] += l2 * p[q];
    T clip = T(1);
    if (CLIPPED) {
      T squares = T(0);
#pragma unroll
      for (int q = 0; q < N_PARAMS; ++q) squares += g[q] * g[q];
      if (squares < INFINITY) {
        clip = clip_factor(clip_norm, squares);
      } else {
        double scaled_squares = 0.0;
#pragma unroll
        for (int q = 0; q < N_PARAMS; ++q) scaled_squares += scaled_square(g[q]);
        clip = huge_clip_factor(clip_norm, scaled_squares);
      }
    }
#pragma unroll
    for (int q = 0; q < N_PARAMS; ++q) {
      const T gradient = CLIPPED || LAYERED ? g[q] * (LAYERED ? clip * T(job.layer_factors[part_of(q)]) : clip) : g[q];
      const Settings<T> h = LAYERED ? settings_of_part(of_net, job.layer_factors, part_of(q)) : of_net;
      const T value = PENALISED && is_weight(q) ? p[q] * h.decay : p[q];
      update_with_state<N_STATE>(RULE, value, gradient, &p[q], &state[0][q], N_PARAMS, h);
    }
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
