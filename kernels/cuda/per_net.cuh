// How one net trains, whatever holds it: epochs, batches, stopping, records. One control flow for nets in a thread's
// registers (per_thread.cu), nets in a block's shared memory (per_block.cu), both by train_net, and nets that take each
// step together, a kernel after the other (batched.cu), by the functions that train_net is made of.
//
// A `Net` supplies
//   shuffle(epoch)                     the order of the epoch's samples
//   gradient(first, rows, step)        of a batch; keeps what this thread has of the sums of losses and of right samples
//   sums()                             those sums, taken together and then forgotten
//   penalty()                          l2 / 2 times the sum of squared weights
//   update(h, decay, l2, clip_norm)    one step of the rule
//   total()                            the sum of its parameters
//   save(target)  copy(source, target) its parameters, or somebody's, into global memory
//   judge()                            sums over the samples that are held out
// All threads of a net call each of these together and get the same numbers. PARAMS_STRIDE: from one net's vector to the
// next one's.

struct Sums {
  T loss, right;
};

// What is carried from launch to launch; nets.py lists the fields.
struct Progress {
  double power1, power2;  // of Adam's betas, at full precision
  double last_loss;       // the objective at the last step
  double best_value;      // the lowest so far of what early stopping watches
  double loss, right;     // sums of the epoch so far; at its end, of the whole epoch
  long long steps, best_epoch, record, status;
};

__device__ __forceinline__ Progress load_progress(const Job& job, long long slot) {
  const double* d = job.scalars + 6 * slot;
  const long long* n = job.counters + 4 * slot;
  return {d[0], d[1], d[2], d[3], d[4], d[5], n[0], n[1], n[2], n[3]};
}

__device__ __forceinline__ void store_progress(const Job& job, long long slot, const Progress& s) {
  double* d = job.scalars + 6 * slot;
  long long* n = job.counters + 4 * slot;
  d[0] = s.power1, d[1] = s.power2, d[2] = s.last_loss, d[3] = s.best_value, d[4] = s.loss, d[5] = s.right;
  n[0] = s.steps, n[1] = s.best_epoch, n[2] = s.record, n[3] = s.status;
}

// The rule's settings at this step; moves Adam's powers on.
__device__ __forceinline__ Settings<T> settings_now(const double* h, double factor, bool worse, Progress& s) {
  T rate = T(h[HYPER_LEARNING_RATE]) * T(factor);
  const T decay = T(1) - rate * T(h[HYPER_WEIGHT_DECAY]);
  T root_correction = T(1);
  if (CORRECTS) {
    s.power1 *= h[HYPER_BETA1];
    s.power2 *= h[HYPER_BETA2];
    rate /= T(1.0 - s.power1);
    root_correction = T(1) / elementary::sqrt(T(1.0 - s.power2));
  }
  Settings<T> now;
  now.momentum = T(h[HYPER_MOMENTUM]), now.beta1 = T(h[HYPER_BETA1]), now.beta2 = T(h[HYPER_BETA2]), now.epsilon = T(h[HYPER_EPSILON]);
  now.growth = T(h[HYPER_GROWTH]), now.shrink = T(h[HYPER_SHRINK]), now.smallest = T(h[HYPER_SMALLEST]), now.biggest = T(h[HYPER_BIGGEST]);
  now.learning_rate = rate, now.decay = decay, now.root_correction = root_correction, now.worse = worse ? T(1) : T(0);
  return now;
}

template <typename Net>
__device__ __forceinline__ void watch(const Job& job, Net& net, Progress& s, long long slot, double value) {
  if (value < s.best_value - job.min_delta) {
    s.best_value = value;
    s.best_epoch = s.steps / job.n_batches + 1;
    net.save(job.best + slot * PARAMS_STRIDE);
  }
}

template <typename Net>
__device__ __forceinline__ void watch_training(const Job& job, Net& net, Progress& s, long long slot) {
  if (job.monitor == MONITOR_LOSS) watch(job, net, s, slot, s.loss / job.n_samples);
  if (job.monitor == MONITOR_RIGHT) watch(job, net, s, slot, -s.right / job.n_samples);
}

// Whether a whole epoch's sums are those of a net that has learned.
__device__ __forceinline__ bool has_learned(const Job& job, const Progress& s) {
  return s.loss / job.n_samples <= job.stop_loss || s.right >= job.stop_right;
}

// Between the gradient of a batch of `rows` and the update: what is kept of the parameters, and the rule's settings.
template <typename Net>
__device__ __forceinline__ Settings<T> before_update(
    const Job& job, Net& net, Progress& s, long long slot, const double* hyper, long long rows, long long epoch,
    bool begins, bool ends) {
  if (begins) s.loss = s.right = 0.0;
  double objective = 0.0;
  if (COMPARES || ends) {
    const Sums sums = net.sums();
    s.loss += sums.loss, s.right += sums.right;
    if (COMPARES) objective = double(sums.loss) / rows + (PENALISED ? double(net.penalty()) : 0.0);
  }
  if (ends && job.n_batches == 1) {  // the parameters that gave this loss are still there
    if (epoch % SAFE_EVERY == 0 && s.loss / job.n_samples < INFINITY) net.save(job.safe + slot * PARAMS_STRIDE);
    if (has_learned(job, s)) net.save(job.params + slot * PARAMS_STRIDE);
    watch_training(job, net, s, slot);
  }
  const long long last = job.n_factors - 1, place = s.steps - job.first_factor;
  const double factor = SCHEDULED ? job.factors[place < last ? place : last] : 1.0;
  const Settings<T> h = settings_now(hyper, factor, objective > s.last_loss, s);
  s.last_loss = objective;
  return h;
}

// After the last update of an epoch: records, and whether the net's training ends here.
template <typename Net>
__device__ __forceinline__ void after_epoch(const Job& job, Net& net, Progress& s, long long slot, long long epoch) {
  const double loss = s.loss / job.n_samples;
  if (job.n_batches > 1) {
    if (epoch % SAFE_EVERY == 0 && elementary::absolute(T(loss) + net.total()) < INFINITY)
      net.save(job.safe + slot * PARAMS_STRIDE);
    watch_training(job, net, s, slot);
  }
  if (VALIDATES) {
    const Sums held_out = net.judge();
    const bool by_loss = job.monitor == MONITOR_VALIDATION_LOSS;
    watch(job, net, s, slot, (by_loss ? double(held_out.loss) : -double(held_out.right)) / job.n_held_out);
  }
  const long long done = epoch + 1;
  if (s.record < job.n_records && job.record_epochs[s.record] == done) {
    if (net.leads()) {
      job.records[s.record * job.n_slots + slot] = loss;
      job.right_records[s.record * job.n_slots + slot] = s.right / job.n_samples;
    }
    ++s.record;
  }
  if (!(elementary::absolute(T(loss)) < INFINITY)) s.status = DIVERGED_NET;
  else if (has_learned(job, s)) s.status = CONVERGED;
  else if (job.monitor != MONITOR_NONE && done - s.best_epoch >= job.patience) s.status = STOPPED_EARLY;
  else if (done == job.n_epochs) s.status = ALL_EPOCHS;
}

// The parameters that the net should be left with, in job.params.
template <typename Net>
__device__ __forceinline__ void leave(const Job& job, Net& net, const Progress& s, long long slot) {
  T* const params = job.params + slot * PARAMS_STRIDE;
  if (s.status == DIVERGED_NET) net.copy(job.safe + slot * PARAMS_STRIDE, params);
  else if (job.monitor != MONITOR_NONE && s.status != CONVERGED && s.status != RUNNING)
    net.copy(job.best + slot * PARAMS_STRIDE, params);
  else if (!(s.status == CONVERGED && job.n_batches == 1)) net.save(params);
}

// Up to job.n_steps steps of a net, or to its end; leaves its parameters in job.params.
template <typename Net>
__device__ void train_net(const Job& job, Net& net, Progress& s, long long slot, const double* hyper) {
  for (long long t = 0; t < job.n_steps && s.status == RUNNING; ++t) {
    const long long epoch = s.steps / job.n_batches, batch = s.steps % job.n_batches;
    const long long first = batch * job.batch_size;
    const long long rows = min(job.batch_size, job.n_samples - first);
    const bool begins = batch == 0, ends = batch == job.n_batches - 1;
    if (begins && SHUFFLES) net.shuffle(epoch);
    net.gradient(first, rows, s.steps);
    const Settings<T> h = before_update(job, net, s, slot, hyper, rows, epoch, begins, ends);
    net.update(h, T(hyper[HYPER_L2]), T(hyper[HYPER_CLIP_NORM]));
    if (ends) after_epoch(job, net, s, slot, epoch);
    ++s.steps;
  }
  if (s.status == RUNNING && s.steps % job.n_batches) {  // the next launch goes on with the epoch's sums
    const Sums sums = net.sums();
    s.loss += sums.loss, s.right += sums.right;
  }
  leave(job, net, s, slot);
}

// How much of a sample is right: whether its first largest output is, or the share of outputs on the right side of the
// bound.
// `a` and `y` hold an output every `step` numbers.
__device__ __forceinline__ T right_share(const T* a, const T* y, T bound, int step = 1) {
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

// What brings a gradient of this squared norm to clip_norm; 1 where clip_norm is 0 or not reached.
__device__ __forceinline__ T clip_factor(T clip_norm, T squares) {
  return clip_norm > T(0) && squares > clip_norm * clip_norm ? clip_norm / elementary::sqrt(squares) : T(1);
}
