// A net per block of threads: parameters, gradients, optimiser state and the activations of TILE samples are in shared
// memory, or in global memory if they do not fit (include/block_memory.cuh). For nets of some tens to some thousands of
// parameters.

struct BlockNet : NetVectors<THREADS> {
  const Job& job;
  const long long slot, owner;
  const double* hyper;
  const double* dropout;
  Arrays m;
  T loss, n_correct;  // this thread's part of the sums

  __device__ __forceinline__ bool leads() const { return threadIdx.x == 0; }

  __device__ void load() {
    for (int q = threadIdx.x; q < N_PARAMS; q += THREADS) m.p[q] = job.params[slot * N_PARAMS + q];
    for (int q = threadIdx.x; q < N_STATE * N_PADDED; q += THREADS)
      m.state[q] = job.state[slot * N_STATE * N_PADDED + q];
    loss = n_correct = T(0);
    __syncthreads();
  }

  __device__ void store_state() {
    for (int q = threadIdx.x; q < N_STATE * N_PADDED; q += THREADS) job.state[slot * N_STATE * N_PADDED + q] = m.state[q];
  }

  __device__ void load_sums() {
    loss = job.sums_of_threads[threadIdx.x], n_correct = job.sums_of_threads[THREADS + threadIdx.x];
  }

  __device__ void store_sums() const {
    job.sums_of_threads[threadIdx.x] = loss, job.sums_of_threads[THREADS + threadIdx.x] = n_correct;
  }

  __device__ void save(T* target) const { copy(m.p, target); }
  __device__ T total() const { return total_of<T>(m.p); }
  __device__ T penalty() const { return penalty_of<T>(m.p, hyper[HYPER_L2]); }

  __device__ void shuffle(long long epoch) {
    const long long n = job.n_samples;
    shuffle_by_block<THREADS>(n, job.seeds[owner], epoch, job.order + slot * n, job.lists + 2 * slot * n);
  }

  // Copy samples first .. first + rows into the columns of the arrays.
  __device__ void fill(const Samples& from, long long first, int rows) {
    for (int e = threadIdx.x; e < N_INPUTS * TILE; e += THREADS) {
      const int s = e / N_INPUTS, i = e % N_INPUTS;
      const long long sample = s < rows ? (from.order ? from.order[first + s] : first + s) : 0;
      m.a[i * PITCH + s] = s < rows ? from.X[sample * N_INPUTS + i] : T(0);
    }
    for (int s = threadIdx.x; s < TILE; s += THREADS) {
      const long long sample = s < rows ? (from.order ? from.order[first + s] : first + s) : 0;
      m.weight[s] = s < rows ? (from.weight ? from.weight[sample] : T(1)) : T(0);
#pragma unroll
      for (int j = 0; j < N_OUTPUTS; ++j) m.y[j * PITCH + s] = s < rows ? from.Y[sample * N_OUTPUTS + j] : T(0);
    }
    __syncthreads();
  }

  // Draw the dropout masks of a layer, the same as on every device: four neighbours in the batch's rows at a time.
  __device__ void draw_masks(int k, long long row, long long step) {
    const int width = width_of(k + 1);
    const double rate = dropout[k];
    const unsigned long long threshold = (unsigned long long)(rate * 4294967296.0);
    const T scaled = T(1.0 / (1.0 - rate));
    const long long low = row * width, high = (row + TILE) * width;
    for (long long group = (low >> 2) + threadIdx.x; group < (high + 3) >> 2; group += THREADS) {
      const Words four = philox(group, step, DROPOUT, k, job.seeds[owner]);
      const unsigned word[4] = {four.x, four.y, four.z, four.w};
      for (int q = 0; q < 4; ++q) {
        const long long e = 4 * group + q;
        if (e >= low && e < high)
          m.mask[(units_at(k + 1) + e % width) * PITCH + (e / width - row)] = word[q] >= threshold ? scaled : T(0);
      }
    }
  }

  // Forward pass of TILE samples whose first row in the batch is `row`; writes a, and z where it is stored.
  __device__ void forward(bool training, long long row, long long step) {
#pragma unroll
    for (int k = 0; k < N_LAYERS; ++k) {
      const int n_in = width_of(k), n_out = width_of(k + 1);
      const bool drops = DROPS && training && k < N_LAYERS - 1 && dropout[k] > 0.0;
      if (drops) {
        draw_masks(k, row, step);
        __syncthreads();
      }
      const T *W = m.p + weights_at(k), *b = m.p + biases_at(k), *below = m.a + units_at(k) * PITCH;
      constexpr int QUADS = TILE / 4;
      for (int item = threadIdx.x; item < QUADS * ((n_out + 3) / 4); item += THREADS) {
        const int s = item % QUADS * 4, o = item / QUADS * 4;
        T sum[4][4];
#pragma unroll
        for (int j = 0; j < 4; ++j)
#pragma unroll
          for (int q = 0; q < 4; ++q) sum[j][q] = o + j < n_out ? b[o + j] : T(0);
        for (int i = 0; i < n_in; ++i) {
          T x[4], w[4];
          load4(below + i * PITCH + s, x);
          if (n_out % 4 == 0 && weights_at(k) % 4 == 0) load_weights<true>(W + i * n_out, o, n_out, w);
          else load_weights<false>(W + i * n_out, o, n_out, w);
#pragma unroll
          for (int j = 0; j < 4; ++j)
#pragma unroll
            for (int q = 0; q < 4; ++q) sum[j][q] += w[j] * x[q];
        }
#pragma unroll
        for (int j = 0; j < 4; ++j)
          if (o + j < n_out)
#pragma unroll
            for (int q = 0; q < 4; ++q) {
              const int at = (units_at(k + 1) + o + j) * PITCH + s + q;
              const T z = sum[j][q];
              T value = activation_value(activation_of(k), z);
              if (KEEPS || k == N_LAYERS - 1) m.z[at] = drops && !derivative_needs_z(k) ? value : z;
              if (drops) value *= m.mask[at];
              m.a[at] = value;
            }
      }
      __syncthreads();
    }
    if (activation_of(N_LAYERS - 1) == ACTIVATION_SOFTMAX) {
      T *z = m.z + units_at(N_LAYERS) * PITCH, *a = m.a + units_at(N_LAYERS) * PITCH;
      for (int s = threadIdx.x; s < TILE; s += THREADS) {  // z becomes log-probabilities
        T top = z[s], whole = T(0);
        for (int j = 1; j < N_OUTPUTS; ++j) top = z[j * PITCH + s] > top ? z[j * PITCH + s] : top;
        for (int j = 0; j < N_OUTPUTS; ++j) whole += elementary::exp(z[j * PITCH + s] - top);
        const T shift = top + elementary::log(whole);
        for (int j = 0; j < N_OUTPUTS; ++j) {
          const T v = z[j * PITCH + s] - shift;
          z[j * PITCH + s] = v, a[j * PITCH + s] = elementary::exp(v);
        }
      }
      __syncthreads();
    }
  }

  // Add this thread's part of the sums of losses and correct samples; write the output's delta if `scale` is not 0.
  __device__ void loss_and_output_delta(T scale) {
    const int top = units_at(N_LAYERS) * PITCH;
    const T c = T(job.loss_constant);
    for (int e = threadIdx.x; e < N_OUTPUTS * TILE; e += THREADS) {
      const int at = e / TILE * PITCH + e % TILE;
      const T a = m.a[top + at], z = m.z[top + at], y = m.y[at], weight = m.weight[e % TILE];
      // a sample of weight 0 contributes nothing, even if it is not finite
      loss += weight > T(0) ? weight * loss_value(LOSS, z, a, y, c) : T(0);
      T d = weight > T(0) ? loss_delta(LOSS, a, y, c) * (weight * scale) : T(0);
      if (!DELTA_IS_WRT_LOGIT)
        d *= activation_derivative(activation_of(N_LAYERS - 1), derivative_needs_z(N_LAYERS - 1) ? z : a);
      if (scale != T(0)) m.delta[top + at] = d;
    }
    if (METRIC != METRIC_NONE)
      for (int s = threadIdx.x; s < TILE; s += THREADS)
        n_correct += m.weight[s] * correct_fraction(m.a + top + s, m.y + s, T(job.bound), PITCH);
    __syncthreads();
  }

  // Write the gradients of TILE samples to g, or add them to those of the batch's earlier samples if `adds`.
  __device__ void backward(bool adds) {
    constexpr int QUADS = TILE / 4;
#pragma unroll
    for (int k = N_LAYERS - 1; k >= 0; --k) {
      const int n_in = width_of(k), n_out = width_of(k + 1);
      const T *below = m.a + units_at(k) * PITCH, *delta = m.delta + units_at(k + 1) * PITCH;
      T* g = m.g + weights_at(k);
      // A thread has the weights of four inputs and four outputs, a quarter of them apart, so that neighbouring threads
      // read neighbouring rows, which start in different banks.
      const int quads_in = (n_in + 3) / 4, quads_out = (n_out + 3) / 4;
      for (int item = threadIdx.x; item < quads_in * quads_out; item += THREADS) {
        const int i = item / quads_out, o = item % quads_out;
        T sum[4][4];
#pragma unroll
        for (int r = 0; r < 4; ++r)
#pragma unroll
          for (int j = 0; j < 4; ++j) sum[r][j] = T(0);
        for (int s = 0; s < TILE; s += 4) {
          T x[4][4], d[4][4];  // rows past the end repeat the last one; their sums are not stored
#pragma unroll
          for (int r = 0; r < 4; ++r) {
            load4(below + min(i + r * quads_in, n_in - 1) * PITCH + s, x[r]);
            load4(delta + min(o + r * quads_out, n_out - 1) * PITCH + s, d[r]);
          }
#pragma unroll
          for (int q = 0; q < 4; ++q)
#pragma unroll
            for (int r = 0; r < 4; ++r)
#pragma unroll
              for (int j = 0; j < 4; ++j) sum[r][j] += x[r][q] * d[j][q];
        }
#pragma unroll
        for (int r = 0; r < 4; ++r)
#pragma unroll
          for (int j = 0; j < 4; ++j)
            if (i + r * quads_in < n_in && o + j * quads_out < n_out) {
              const int q = (i + r * quads_in) * n_out + o + j * quads_out;
              g[q] = adds ? g[q] + sum[r][j] : sum[r][j];
            }
      }
      for (int o = threadIdx.x; o < n_out; o += THREADS) {
        T sum = adds ? m.g[biases_at(k) + o] : T(0);
        for (int s = 0; s < TILE; s += 4) {
          T d[4];
          load4(delta + o * PITCH + s, d);
#pragma unroll
          for (int q = 0; q < 4; ++q) sum += d[q];
        }
        m.g[biases_at(k) + o] = sum;
      }
      if (k > 0) {
        const bool drops = DROPS && dropout[k > 0 ? k - 1 : 0] > 0.0;
        const T* W = m.p + weights_at(k);
        for (int item = threadIdx.x; item < QUADS * ((n_in + 3) / 4); item += THREADS) {
          const int s = item % QUADS * 4, i = item / QUADS * 4;
          T sum[4][4];
#pragma unroll
          for (int r = 0; r < 4; ++r)
#pragma unroll
            for (int q = 0; q < 4; ++q) sum[r][q] = T(0);
          for (int o = 0; o < n_out; ++o) {
            T d[4], w[4];
            load4(delta + o * PITCH + s, d);
#pragma unroll
            for (int r = 0; r < 4; ++r) w[r] = i + r < n_in ? W[(i + r) * n_out + o] : T(0);
#pragma unroll
            for (int r = 0; r < 4; ++r)
#pragma unroll
              for (int q = 0; q < 4; ++q) sum[r][q] += w[r] * d[q];
          }
#pragma unroll
          for (int r = 0; r < 4; ++r)
            if (i + r < n_in)
#pragma unroll
              for (int q = 0; q < 4; ++q) {
                const int at = (units_at(k) + i + r) * PITCH + s + q, f = k > 0 ? k - 1 : 0;
                T d = sum[r][q];
                if (drops) d *= m.mask[at];
                const T stored = KEEPS && (drops || derivative_needs_z(f)) ? m.z[at] : m.a[at];
                m.delta[at] = d * activation_derivative(activation_of(f), stored);
              }
        }
      }
      __syncthreads();
    }
  }

  __device__ void gradient(long long first, long long rows, T share, long long step) {
    const Samples from = {
        job.X + owner * job.X_stride, job.Y + owner * job.Y_stride,
        job.weight ? job.weight + owner * job.weight_stride : nullptr,
        SHUFFLES ? job.order + slot * job.n_samples : nullptr};
    for (long long row = 0; row < rows; row += TILE) {
      fill(from, first + row, int(min((long long)TILE, rows - row)));
      forward(true, row, step);
      loss_and_output_delta(share);
      backward(row > 0);
    }
  }

  __device__ Sums sums() {
    const Sums both = {block_sum<THREADS>(loss) / T(LOSS_WIDTH), block_sum<THREADS>(n_correct)};
    loss = n_correct = T(0);
    return both;
  }

  __device__ Sums validate() {
    const T mine_loss = loss, mine_n_correct = n_correct;
    loss = n_correct = T(0);
    const Samples from = {
        job.held_out_X, job.held_out_Y, job.held_out_weight, nullptr};
    for (long long row = 0; row < job.n_held_out; row += TILE) {
      fill(from, row, int(min((long long)TILE, job.n_held_out - row)));
      forward(false, 0, 0);
      loss_and_output_delta(T(0));
    }
    const Sums both = sums();
    loss = mine_loss, n_correct = mine_n_correct;
    return both;
  }

  __device__ void update(const Settings<T>& of_net, T l2, T clip_norm) {
    if (RULE == NO_UPDATE) return copy(m.g, job.grads);
    update_by_rule(job, m.p, m.g, m.state, N_PADDED, of_net, l2, clip_norm);
    __syncthreads();
  }
};

// One block per net of job.active.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_AT_ONCE) train_nets(const Job* __restrict__ given) {
  FM_DYN_SMEM(T, memory);
  const Job& job = *given;
  const long long slot = job.active[blockIdx.x], owner = job.owners[slot];
  T* const own = IN_SHARED ? memory : job.workspace + blockIdx.x * job.workspace_stride;
  BlockNet net{{}, job, slot, owner, job.hyper + owner * job.hyper_stride, job.dropout + owner * job.dropout_stride,
               arrays_at(own), T(0), T(0)};
  net.load();
  Progress s = load_progress(job, slot);
  __syncthreads();
  train_net(job, net, s, slot, net.hyper);
  net.store_state();
  if (net.leads()) store_progress(job, slot, s);
}
