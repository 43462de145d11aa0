// Training loop of one net: epochs, batches, stopping, records. The same control flow serves nets in a thread's
// registers (population/per_thread.cu) and in a block's shared memory (population/per_block.cu), both through
// train_net, and nets trained in lockstep, kernel by kernel (population/batched.cu), through the functions that
// train_net is made of.
//
// A `Net` supplies
//   shuffle(epoch)                     the order of the epoch's samples
//   gradient(first, rows, share, step) of a batch; adds to this thread's part of the sums (losses, correct samples)
//   sums()                             those sums over all threads; resets them
//   load_sums()  store_sums()          this thread's part, if a launch begins or ends within an epoch
//   penalty()                          l2 / 2 times the sum of squared weights
//   update(h, l2, clip_norm)           one step of the update rule
//   total()                            the sum of its parameters
//   save(target)                       write its parameters to global memory
//   validate()                         sums of losses and correct samples over the held-out samples
// and, from NetVectors,
//   total_of(params)                   the sum of a parameter vector in global memory, at full precision
//   copy(source, target)  exchange(a, b)     parameter vectors in global memory
// All threads of a net call each of these together and get the same numbers. leads(): whether a thread writes records.
//
// SCHEDULED: whether job.factors has a factor on the learning rate per step. PARAMS_STRIDE: elements from one net's vector to the next one's. FIXED_ROWS: number of samples in every batch, if the
// kernel is compiled for a fixed number; otherwise 0.

struct Sums {
  T loss, n_correct;
};

// Vectors of a net's parameters, by the N threads of a block that have the net, or by one thread of it, whose loops are
// unrolled: then a vector may be in registers. Each thread reads only what it has written itself.
template <int N>
struct NetVectors {
  static constexpr int UNROLLED = N == 1 ? N_PARAMS : 4;

  __device__ __forceinline__ static int first() { return N == 1 ? 0 : threadIdx.x; }

  template <typename V>
  __device__ __forceinline__ static V sum_over_threads(V v) {
    if constexpr (N > 1) v = block_sum<N>(v);
    return v;
  }

  __device__ __forceinline__ void copy(const T* source, T* target) const {
#pragma unroll(UNROLLED)
    for (int q = first(); q < N_PARAMS; q += N) target[q] = source[q];
  }

  __device__ __forceinline__ void exchange(T* a, T* b) const {
    for (int q = first(); q < N_PARAMS; q += N) {
      const T kept = a[q];
      a[q] = b[q], b[q] = kept;
    }
  }

  template <typename V = double>
  __device__ __forceinline__ V total_of(const T* params) const {
    V sum = V(0);
#pragma unroll(UNROLLED)
    for (int q = first(); q < N_PARAMS; q += N) sum += params[q];
    return sum_over_threads(sum);
  }

  // l2 / 2 times the sum of the squared weights, which is added up in V.
  template <typename V>
  __device__ __forceinline__ T penalty_of(const T* params, double l2) const {
    V sum = V(0);
#pragma unroll(UNROLLED)
    for (int q = first(); q < N_PARAMS; q += N)
      if (is_weight(q)) sum += V(params[q]) * V(params[q]);
    return T(V(0.5) * V(l2) * sum_over_threads(sum));
  }

  // One step of the update rule for parameters p with gradients g. State value k of parameter q: state[k * stride + q].
  __device__ __forceinline__ void update_by_rule(
      const Job& job, T* p, T* g, T* state, int stride, const Settings<T>& of_net, T l2, T clip_norm) const {
    if (PENALISED)
#pragma unroll(UNROLLED)
      for (int q = first(); q < N_PARAMS; q += N)
        if (is_weight(q)) g[q] += l2 * p[q];
    T clip = T(1);
    if (CLIPPED) {
      T squares = T(0);
#pragma unroll(UNROLLED)
      for (int q = first(); q < N_PARAMS; q += N) squares += g[q] * g[q];
      squares = sum_over_threads(squares);
      if (squares < INFINITY) {
        clip = clip_factor(clip_norm, squares);
      } else {  // the same branch for all threads
        double scaled_squares = 0.0;
#pragma unroll(UNROLLED)
        for (int q = first(); q < N_PARAMS; q += N) scaled_squares += scaled_square(g[q]);
        clip = huge_clip_factor(clip_norm, sum_over_threads(scaled_squares));
      }
    }
#pragma unroll(UNROLLED)
    for (int q = first(); q < N_PARAMS; q += N) {
      const T gradient = CLIPPED || LAYERED ? g[q] * (LAYERED ? clip * T(job.layer_factors[part_of(q)]) : clip) : g[q];
      const Settings<T> h = LAYERED ? settings_of_part(of_net, job.layer_factors, part_of(q)) : of_net;
      const T value = PENALISED && is_weight(q) ? p[q] * h.decay : p[q];
      update_with_state<N_STATE>(RULE, value, gradient, p + q, state + q, stride, h);
    }
  }
};

// State that is carried from launch to launch: the numbers and integers that a net has in Job's scalars and counters, in
// the order of ProgressScalar and ProgressCounter of build/structs.py.
struct ProgressScalars {
  double power1, power2;   // powers of Adam's betas, at full precision
  double last_loss;        // objective at the last step
  double best_value;       // lowest monitored value so far
  double loss, n_correct;  // sums of the epoch so far; at its end, of the whole epoch
};

struct ProgressCounters {
  long long steps, best_epoch, next_record, status;
};

struct Progress : ProgressScalars, ProgressCounters {
  T bias_correction1, bias_correction2;  // of float: 1 minus each power after a step of this launch; before, 0
};

__device__ __forceinline__ Progress load_progress(const Job& job, long long slot) {
  return {reinterpret_cast<const ProgressScalars*>(job.scalars)[slot],
          reinterpret_cast<const ProgressCounters*>(job.counters)[slot], T(0), T(0)};
}

__device__ __forceinline__ void store_progress(const Job& job, long long slot, const Progress& s) {
  reinterpret_cast<ProgressScalars*>(job.scalars)[slot] = s;
  reinterpret_cast<ProgressCounters*>(job.counters)[slot] = s;
}

// Settings of one net, in the type its kernel computes in; `hyper` holds them at full precision.
struct NetSettings {
  const double* hyper;
  Settings<T> settings;
  T weight_decay, l2, clip_norm;
};

__device__ __forceinline__ NetSettings load_net_settings(const double* h) {
  NetSettings g;
  g.hyper = h;
  g.settings = given_settings<T>(h);
  g.weight_decay = T(h[HYPER_WEIGHT_DECAY]), g.l2 = T(h[HYPER_L2]), g.clip_norm = T(h[HYPER_CLIP_NORM]);
  return g;
}

// Return the settings of the update rule at this step; advances the powers of Adam's betas. Once 1 minus a power is 1 in
// float, it stays 1, and the power ends as 0, wherever launches end: after some 170 steps with a beta of 0.9. Arithmetic
// in double takes 64 times as long on some cards. Nets in double have it anyway, and no registers to spare.
__device__ __forceinline__ Settings<T> settings_now(
    const NetSettings& net_settings, double factor, bool loss_increased, Progress& s) {
  Settings<T> now = net_settings.settings;
  now.learning_rate *= T(factor);
  now.decay = T(1) - now.learning_rate * net_settings.weight_decay;
  now.inv_sqrt_bias_correction2 = T(1), now.loss_increased = loss_increased ? T(1) : T(0);
  if (CORRECTS) {
    constexpr bool IS_DOUBLE = sizeof(T) == sizeof(double);
    if (IS_DOUBLE || s.bias_correction1 != T(1)) {
      s.power1 *= net_settings.hyper[HYPER_BETA1];
      s.bias_correction1 = T(1.0 - s.power1);
      if (!IS_DOUBLE && s.bias_correction1 == T(1)) s.power1 = 0.0;
      now.learning_rate /= s.bias_correction1;
    }
    if (IS_DOUBLE || s.bias_correction2 != T(1)) {
      s.power2 *= net_settings.hyper[HYPER_BETA2];
      s.bias_correction2 = T(1.0 - s.power2);
      if (!IS_DOUBLE && s.bias_correction2 == T(1)) s.power2 = 0.0;
      now.inv_sqrt_bias_correction2 = T(1) / elementary::sqrt(s.bias_correction2);
    }
  }
  return now;
}

template <typename Net>
__device__ __forceinline__ void track_best(
    const Job& job, Net& net, Progress& s, long long slot, long long epoch, double value) {
  if (value < s.best_value - job.min_delta) {
    s.best_value = value;
    s.best_epoch = epoch + 1;
    net.save(job.best_params + slot * PARAMS_STRIDE);
  }
}

template <typename Net>
__device__ __forceinline__ void track_best_training(
    const Job& job, Net& net, Progress& s, long long slot, long long epoch) {
  if (job.monitor == MONITOR_LOSS) track_best(job, net, s, slot, epoch, s.loss / job.n_samples);
  if (job.monitor == MONITOR_ACCURACY) track_best(job, net, s, slot, epoch, -s.n_correct / job.n_samples);
}

// Whether the sums of a whole epoch meet the convergence rule.
__device__ __forceinline__ bool has_converged(const Job& job, const Progress& s) {
  return s.loss / job.n_samples <= job.stop_loss || s.n_correct >= job.stop_n_correct;
}

// Return the sums of a step's gradient; before the end of an epoch only rules that compare objectives need them.
template <typename Net>
__device__ __forceinline__ Sums sums_of_step(Net& net, bool ends) {
  return COMPARES || ends ? net.sums() : Sums{T(0), T(0)};
}

// Between the gradient of a batch of `rows` samples and the update: saves parameters if needed, and returns the rule's
// settings.
// is_checked : whether this step ends an epoch that after_epoch will check
template <typename Net>
__device__ __forceinline__ Settings<T> before_update(
    const Job& job, Net& net, Progress& s, long long slot, const NetSettings& net_settings, const Sums& sums,
    long long rows, long long epoch, bool begins, bool is_checked) {
  if (begins) s.loss = s.n_correct = 0.0;
  if (COMPARES || is_checked) {
    s.loss += sums.loss, s.n_correct += sums.n_correct;
    if (is_checked && job.n_batches == 1) {  // the parameters that gave this loss are still there
      if (epoch % SAFE_EVERY == 0 && elementary::absolute(T(s.loss / job.n_samples) + net.total()) < INFINITY)
        net.save(job.safe_params + slot * PARAMS_STRIDE);
      if (has_converged(job, s)) net.save(job.params + slot * PARAMS_STRIDE);
      track_best_training(job, net, s, slot, epoch);
    }
  }
  const double objective = COMPARES ? double(sums.loss) / rows + (PENALISED ? double(net.penalty()) : 0.0) : 0.0;
  const long long last = job.n_factors - 1, place = s.steps - job.first_factor;
  const double factor = SCHEDULED ? job.factors[place < last ? place : last] : 1.0;
  const Settings<T> h = settings_now(net_settings, factor, objective > s.last_loss, s);
  s.last_loss = objective;
  return h;
}

// After the last update of an epoch: writes records, and decides whether training ends here.
template <typename Net>
__device__ __forceinline__ void after_epoch(const Job& job, Net& net, Progress& s, long long slot, long long epoch) {
  const double loss = s.loss / job.n_samples;
  if (job.n_batches > 1) {
    if (epoch % SAFE_EVERY == 0 && elementary::absolute(T(loss) + net.total()) < INFINITY)
      net.save(job.safe_params + slot * PARAMS_STRIDE);
    track_best_training(job, net, s, slot, epoch);
  }
  if (VALIDATES) {
    const Sums held_out = net.validate();
    const bool by_loss = job.monitor == MONITOR_VALIDATION_LOSS;
    track_best(
        job, net, s, slot, epoch, (by_loss ? double(held_out.loss) : -double(held_out.n_correct)) / job.n_held_out);
  }
  const long long done = epoch + 1;
  if (s.next_record < job.n_records && job.record_epochs[s.next_record] == done) {
    if (net.leads()) {
      job.records[s.next_record * job.n_slots + slot] = loss;
      if (job.accuracy_records) job.accuracy_records[s.next_record * job.n_slots + slot] = s.n_correct / job.n_samples;
    }
    ++s.next_record;
  }
  if (!(elementary::absolute(T(loss)) < INFINITY)) s.status = DIVERGED_NET;
  else if (has_converged(job, s)) s.status = CONVERGED;
  else if (job.monitor != MONITOR_NONE && done - s.best_epoch >= job.patience) s.status = STOPPED_EARLY;
  else if (done == job.n_epochs) s.status = ALL_EPOCHS;
}

// Write the net's final parameters to job.params. A finite loss proves neither that the step after it was sound nor
// that every parameter was finite: if the final parameters are not finite, the net has diverged. For a single net, the
// host checks them. If the final parameters are those of the best epoch, job.best_params gets those of the last epoch,
// from which the net can go on.
template <typename Net>
__device__ __forceinline__ void store_final_params(const Job& job, Net& net, Progress& s, long long slot) {
  T *const params = job.params + slot * PARAMS_STRIDE, *const safe = job.safe_params + slot * PARAMS_STRIDE;
  if (s.status != DIVERGED_NET && !(s.status == CONVERGED && job.n_batches == 1)) net.save(params);
  if (s.status == ALL_EPOCHS && !(elementary::absolute(net.total_of(params)) < INFINITY)) s.status = DIVERGED_NET;
  const bool is_monitored = job.monitor != MONITOR_NONE && s.status != CONVERGED && s.status != RUNNING;
  if (is_monitored && s.best_epoch > 0) net.exchange(job.best_params + slot * PARAMS_STRIDE, params);
  else if (s.status == DIVERGED_NET) net.copy(safe, params);
  if (s.status == RUNNING || elementary::absolute(net.total_of(params)) < INFINITY) return;
  net.copy(safe, params);
  s.status = DIVERGED_NET;
}

// Selects the epochs whose end is checked. Most need no action, and a check takes as long as an epoch of a tiny net.
// Bounds are in T, with a margin for rounding: has_converged decides.
struct EpochCheck {
  T loss, n_correct;  // sums of an epoch from which a net may have converged
  long long due;  // the next epoch that is checked regardless of its sums

  // The launch's first epoch is always checked: its sums may have begun in an earlier launch.
  __device__ __forceinline__ EpochCheck(const Job& job, long long epoch)
      : loss(T(job.stop_loss * job.n_samples * (job.stop_loss > 0.0 ? 1.0 + 1e-6 : 1.0 - 1e-6))),
        n_correct(T(job.stop_n_correct * (1.0 - 1e-6))), due(epoch) {}

  // Find the next epoch to check, from `epoch` on. end : the net's number of steps at the end of the launch
  __device__ __forceinline__ void move_on(const Job& job, const Progress& s, long long epoch, long long end) {
    due = epoch;
    if (job.monitor != MONITOR_NONE || (COMPARES && job.n_batches > 1)) return;  // sums of batches are not an epoch's
    due = min((end - 1) / job.n_batches, (epoch + SAFE_EVERY - 1) / SAFE_EVERY * SAFE_EVERY);
    if (s.next_record < job.n_records) due = min(due, job.record_epochs[s.next_record] - 1);
    if (job.n_epochs > epoch) due = min(due, job.n_epochs - 1);  // for a single net, the host counts epochs
  }

  __device__ __forceinline__ bool is_due(long long epoch, const Sums& sums) const {
    return !(epoch < due && sums.loss > loss && sums.loss < INFINITY && sums.n_correct < n_correct);
  }
};

// Weight of one term in the mean over a batch's samples and outputs.
__device__ __forceinline__ T share_of(long long rows) { return T(1.0 / (double(rows) * LOSS_WIDTH)); }

// Run up to job.n_steps steps of a net, or until it ends, and write its parameters to job.params. A step of a tiny net
// takes some hundred instructions: divisions, and values that do not change from step to step, are computed outside of
// it.
template <typename Net>
__device__ void train_net(const Job& job, Net& net, Progress& s, long long slot, const double* hyper) {
  const NetSettings loaded = load_net_settings(hyper);
  const long long n_samples = FIXED_ROWS ? FIXED_ROWS : job.n_samples,
                  batch_size = FIXED_ROWS ? FIXED_ROWS : job.batch_size;
  const long long n_batches = FIXED_ROWS ? 1 : job.n_batches, end = s.steps + job.n_steps;
  long long epoch = s.steps / n_batches, first = s.steps % n_batches * batch_size, shared_by = batch_size;
  T share = share_of(shared_by);
  EpochCheck epoch_check(job, epoch);
  if (first) net.load_sums();
  while (s.steps < end && s.status == RUNNING) {
    const long long left = n_samples - first, rows = min(batch_size, left);
    if (rows != shared_by) share = share_of(shared_by = rows);
    const bool begins = first == 0, ends = rows == left;
    if (begins && SHUFFLES) net.shuffle(epoch);
    net.gradient(first, rows, share, s.steps);
    // float64 needs no conversion, and has no registers to spare
    const NetSettings net_settings = sizeof(T) == sizeof(double) ? load_net_settings(hyper) : loaded;
    const Sums sums = sums_of_step(net, ends);
    const bool is_checked = ends && epoch_check.is_due(epoch, sums);
    const Settings<T> h = before_update(job, net, s, slot, net_settings, sums, rows, epoch, begins, is_checked);
    net.update(h, net_settings.l2, net_settings.clip_norm);
    if (is_checked) {
      after_epoch(job, net, s, slot, epoch);
      epoch_check.move_on(job, s, epoch + 1, end);
    }
    ++s.steps, first += rows;
    if (ends) first = 0, ++epoch;
  }
  // Part by part: a sum over all threads here would make the epoch's loss depend on where a launch ends.
  if (s.status == RUNNING && first) net.store_sums();
  store_final_params(job, net, s, slot);
}

// Accuracy of a sample: for METRIC_ARGMAX whether its first maximum is the target's, else the fraction of outputs
// that are correct. `a` and `y` hold an output every `step` numbers.
__device__ __forceinline__ T correct_fraction(const T* a, const T* y, T bound, int step = 1) {
  if (METRIC == METRIC_NONE) return T(0);
  T count = T(0), best = a[0], target = y[0];
  bool same = true;  // whether the first largest output so far is the target's
#pragma unroll
  for (int j = 0; j < N_OUTPUTS; ++j) {
    const T out = a[j * step], wanted = y[j * step];
    if (METRIC == METRIC_ARGMAX) {
      same = out > best ? wanted > target : same && !(wanted > target);
      best = out > best ? out : best, target = wanted > target ? wanted : target;
    } else if (METRIC == METRIC_MARGIN) {
      count += elementary::absolute(out - wanted) <= bound ? T(1) : T(0);
    } else {
      count += (out > bound) == (wanted > bound) ? T(1) : T(0);
    }
  }
  return METRIC == METRIC_ARGMAX ? (same ? T(1) : T(0)) : count / T(N_OUTPUTS);
}
