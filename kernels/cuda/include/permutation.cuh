// Order of an epoch's samples: a Fisher-Yates shuffle with the words of counter_rng.py, as on every device. For i = 0,
// 1, .. n - 1, position i is swapped with its partner, which is i itself or a later position.
//
// A parallel version needs no swaps. Position i ends with the content of its partner c just before step i. That is
// sample c if no earlier step had the partner c. Otherwise it is what the last such step j moved there: the content of
// position j just before step j, which is the same question again. So each position is traced back through lists of the
// steps that have the same partner. A list has one entry on average; a trace has at most about log(n) links.

__device__ __forceinline__ unsigned word_of(const Words& four, int which) {
  return which == 0 ? four.x : which == 1 ? four.y : which == 2 ? four.z : four.w;
}

__device__ __forceinline__ long long partner_of(long long i, long long n, unsigned word) {
  return i + (long long)(((unsigned long long)word * (unsigned long long)(n - i)) >> 32);
}

__device__ __forceinline__ long long partner_of(long long i, long long n, long long seed, long long epoch) {
  return partner_of(i, n, word_of(philox(i & ~3ll, epoch, SHUFFLE, 0, seed), int(i & 3)));
}

// Add step i to the list of its partner. heads: n zeros at first; both arrays hold step numbers + 1, or 0.
__device__ __forceinline__ void list_step(
    long long i, long long n, long long seed, long long epoch, int* heads, int* nexts) {
  nexts[i] = atomicExch(&heads[partner_of(i, n, seed, epoch)], int(i) + 1);
}

// Return the sample at position i, once all steps are in lists; the order of a list does not matter.
__device__ __forceinline__ int sample_at(
    long long i, long long n, long long seed, long long epoch, const int* heads, const int* nexts) {
  int position = int(partner_of(i, n, seed, epoch)), before = int(i);
  for (;;) {
    int last = -1;
    for (int j = heads[position] - 1; j >= 0; j = nexts[j] - 1)
      if (j < before && j > last) last = j;
    if (last < 0) return position;
    position = before = last;
  }
}

// Shuffle by a block of threads. order: (n,). lists: (2 n,), scratch.
template <int N>
__device__ __forceinline__ void shuffle_by_block(
    long long n, long long seed, long long epoch, int* order, int* lists) {
  int *const heads = lists, *const nexts = lists + n;
  for (long long i = threadIdx.x; i < n; i += N) heads[i] = 0;
  __syncthreads();
  for (long long i = threadIdx.x; i < n; i += N) list_step(i, n, seed, epoch, heads, nexts);
  __syncthreads();
  for (long long i = threadIdx.x; i < n; i += N) order[i] = sample_at(i, n, seed, epoch, heads, nexts);
  __syncthreads();
}

// Shuffle by one thread, swap by swap. Positions are `stride` numbers apart: those of neighbouring threads are neighbours.
__device__ __forceinline__ void shuffle_by_thread(
    long long n, long long seed, long long epoch, int* order, long long stride) {
  for (long long i = 0; i < n; ++i) order[i * stride] = int(i);
  for (long long i = 0; i < n; i += 4) {
    const Words four = philox(i, epoch, SHUFFLE, 0, seed);
    for (int j = 0; j < 4 && i + j < n; ++j) {
      const long long other = partner_of(i + j, n, word_of(four, j));
      const int kept = order[(i + j) * stride];
      order[(i + j) * stride] = order[other * stride], order[other * stride] = kept;
    }
  }
}
