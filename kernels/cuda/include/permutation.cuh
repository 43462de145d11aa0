// The order of an epoch's samples: Fisher and Yates's shuffle with the words of counter_rng.py, as on every device. For
// i = 0, 1, .. n - 1 position i changes places with its partner, which is i itself or a later one.
//
// Many threads get there without a swap. Position i ends with what its partner c holds just before step i. That is
// sample c if no earlier step had c for its partner; otherwise what the last such step j put there, which is what
// position j held just before step j: the same question again. So each sample's way is followed through lists of the
// steps that have the same partner. A list has one entry on average, a way is log(n) long at the most.

__device__ __forceinline__ unsigned word_of(const Words& four, int which) {
  return which == 0 ? four.x : which == 1 ? four.y : which == 2 ? four.z : four.w;
}

__device__ __forceinline__ long long partner_of(long long i, long long n, unsigned word) {
  return i + (long long)(((unsigned long long)word * (unsigned long long)(n - i)) >> 32);
}

__device__ __forceinline__ long long partner_of(long long i, long long n, long long seed, long long epoch) {
  return partner_of(i, n, word_of(philox(i & ~3ll, epoch, SHUFFLE, 0, seed), int(i & 3)));
}

// Step i into the list of its partner. heads: n zeros at first; both hold a step's number plus one, or 0 for none.
__device__ __forceinline__ void list_step(
    long long i, long long n, long long seed, long long epoch, int* heads, int* nexts) {
  nexts[i] = atomicExch(&heads[partner_of(i, n, seed, epoch)], int(i) + 1);
}

// The sample at position i, once all steps are in lists. In which sequence they came there makes no difference.
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

// By a block of threads. order: n. lists: 2 n, scratch
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

// By one thread, swap by swap.
__device__ __forceinline__ void shuffle_by_thread(long long n, long long seed, long long epoch, int* order) {
  for (long long i = 0; i < n; ++i) order[i] = int(i);
  for (long long i = 0; i < n; i += 4) {
    const Words four = philox(i, epoch, SHUFFLE, 0, seed);
    for (int j = 0; j < 4 && i + j < n; ++j) {
      const long long other = partner_of(i + j, n, word_of(four, j));
      const int kept = order[i + j];
      order[i + j] = order[other], order[other] = kept;
    }
  }
}
