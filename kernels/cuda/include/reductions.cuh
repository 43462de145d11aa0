// Sums and maxima over the threads of a warp or a block. All threads take part, and all get the result. With LANES, each
// group of so many neighbouring threads of a warp has a result of its own.

template <int LANES = 32, typename V>
__device__ __forceinline__ V warp_sum(V v) {
#pragma unroll
  for (int d = LANES / 2; d > 0; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);
  return v;
}

// The same over the threads of a warp whose numbers are equal modulo STRIDE.
template <int STRIDE, typename V>
__device__ __forceinline__ V strided_warp_sum(V v) {
#pragma unroll
  for (int d = 16; d >= STRIDE; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);
  return v;
}

template <int LANES = 32, typename V>
__device__ __forceinline__ V warp_max(V v) {
#pragma unroll
  for (int d = LANES / 2; d > 0; d >>= 1) {
    const V other = __shfl_xor_sync(0xffffffffu, v, d);
    v = other > v ? other : v;
  }
  return v;
}

// Index of the first maximum of a warp, from each thread's maximum and its first index.
template <int LANES = 32, typename V>
__device__ __forceinline__ int first_of_warp(V largest, int place) {
  int first = largest == warp_max<LANES>(largest) ? place : 0x7fffffff;
#pragma unroll
  for (int d = LANES / 2; d > 0; d >>= 1) first = min(first, __shfl_xor_sync(0xffffffffu, first, d));
  return first;
}

template <int THREADS_OF_BLOCK, typename V>
__device__ __forceinline__ V block_sum(V v) {
  FM_SHARED(V, parts, [32]);
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) v += __shfl_down_sync(0xffffffffu, v, d);
  if (THREADS_OF_BLOCK == 32) return __shfl_sync(0xffffffffu, v, 0);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
  __syncthreads();
  V sum = V(0);
#pragma unroll
  for (int k = 0; k < THREADS_OF_BLOCK / 32; ++k) sum += parts[k];
  __syncthreads();
  return sum;
}
