// Mapping from the index of a parameter in the flat vector to its layer.

// Return 2 * layer for a weight, 2 * layer + 1 for a bias.
__device__ __forceinline__ constexpr int part_of(int q) {
  int part = 0;
  for (int k = 0; k < N_LAYERS; ++k) {
    if (q >= weights_at(k)) part = 2 * k;
    if (q >= biases_at(k)) part = 2 * k + 1;
  }
  return part;
}

__device__ __forceinline__ constexpr bool is_weight(int q) { return part_of(q) % 2 == 0; }
