// What a block of threads that holds a net keeps in its memory, and how it reads it.
//
// Units are rows and samples columns: unit u of sample s is at [u * TILE + s]. TILE is a multiple of 4, so that four
// samples come in one load; columns past the batch have weight 0.

constexpr int N_UNITS = units_at(N_LAYERS) + N_OUTPUTS;  // inputs included

struct Arrays {  // of one net; sizes as in per_net.py's block_numbers
  T *p, *g, *state, *a, *z, *delta, *mask, *y, *weight;
};

__device__ __forceinline__ Arrays arrays_at(T* memory) {
  Arrays m;
  m.a = memory, memory += N_UNITS * TILE;
  m.z = memory, memory += (KEEPS ? N_UNITS : 0) * TILE;
  if (!KEEPS) m.z = memory - units_at(N_LAYERS) * TILE, memory += N_OUTPUTS * TILE;  // the output's alone
  m.delta = memory, memory += N_UNITS * TILE;
  m.mask = memory, memory += (DROPS ? N_UNITS : 0) * TILE;
  m.y = memory, memory += N_OUTPUTS * TILE;
  m.weight = memory, memory += TILE;
  m.p = memory, memory += N_PADDED;
  m.g = memory, memory += N_PADDED;
  m.state = memory;
  return m;
}

// Four neighbours in one access; `at` is a multiple of 4 numbers from where an array of the block starts.
__device__ __forceinline__ void load4(const float* at, float (&v)[4]) {
  const float4 q = *reinterpret_cast<const float4*>(at);
  v[0] = q.x, v[1] = q.y, v[2] = q.z, v[3] = q.w;
}

__device__ __forceinline__ void load4(const double* at, double (&v)[4]) {
  const double2 q = *reinterpret_cast<const double2*>(at), r = *reinterpret_cast<const double2*>(at + 2);
  v[0] = q.x, v[1] = q.y, v[2] = r.x, v[3] = r.y;
}

// Weights o .. o + 4 of a row, zeros past its end.
template <bool WHOLE>
__device__ __forceinline__ void load_weights(const T* row, int o, int n_out, T (&w)[4]) {
  if (WHOLE) return load4(row + o, w);
#pragma unroll
  for (int j = 0; j < 4; ++j) w[j] = o + j < n_out ? row[o + j] : T(0);
}

struct Samples {
  const T *X, *Y, *weight;  // weight is null where all are equal
  const int* order;         // null for the order they have
};
