// Memory of a block of threads that trains one net: layout and loads.
//
// Units are rows and samples are columns: unit u of sample s is at [u * PITCH + s]. TILE is a multiple of 4, so that one
// load reads four samples; columns past the batch have weight 0. PITCH, at least TILE, is an odd number of 16-byte
// blocks, so that eight neighbouring rows start in different banks (pitch_of in launch.py).

constexpr int N_UNITS = units_at(N_LAYERS) + N_OUTPUTS;  // inputs included

struct Arrays {  // of one net; sizes as in launch.py's block_numbers
  T *p, *g, *state, *a, *z, *delta, *mask, *y, *weight;
};

__device__ __forceinline__ Arrays arrays_at(T* memory) {
  Arrays m;
  m.a = memory, memory += N_UNITS * PITCH;
  m.z = memory, memory += (KEEPS ? N_UNITS : 0) * PITCH;
  if (!KEEPS) m.z = memory - units_at(N_LAYERS) * PITCH, memory += N_OUTPUTS * PITCH;  // only that of the output layer
  m.delta = memory, memory += N_UNITS * PITCH;
  m.mask = memory, memory += (DROPS ? N_UNITS : 0) * PITCH;
  m.y = memory, memory += N_OUTPUTS * PITCH;
  m.weight = memory, memory += PITCH;
  m.p = memory, memory += N_PADDED;
  m.g = memory, memory += N_PADDED;
  m.state = memory;
  return m;
}

// Load four neighbours, 16 bytes at a time, to which `at` is aligned.
__device__ __forceinline__ void load4(const float* at, float (&v)[4]) {
  const float4 q = *reinterpret_cast<const float4*>(at);
  v[0] = q.x, v[1] = q.y, v[2] = q.z, v[3] = q.w;
}

__device__ __forceinline__ void load4(const double* at, double (&v)[4]) {
  const double2 q = *reinterpret_cast<const double2*>(at), r = *reinterpret_cast<const double2*>(at + 2);
  v[0] = q.x, v[1] = q.y, v[2] = r.x, v[3] = r.y;
}

// Load weights o .. o + 3 of a row, with zeros past its end.
template <bool WHOLE>
__device__ __forceinline__ void load_weights(const T* row, int o, int n_out, T (&w)[4]) {
  if (WHOLE) return load4(row + o, w);
#pragma unroll
  for (int j = 0; j < 4; ++j) w[j] = o + j < n_out ? row[o + j] : T(0);
}

struct Samples {
  const T *X, *Y, *weight;  // weight is null if all weights are equal
  const int* order;         // null for the order of the data
};
