// Mapping from the index of a parameter in the flat vector to its layer, and to its part: a layer's weights, or its biases.

// Return the parameter's part: 2 * layer for a weight, 2 * layer + 1 for a bias.
__device__ __forceinline__ constexpr int part_of(int q) {
  int part = 0;
  for (int k = 0; k < N_LAYERS; ++k) {
    if (q >= weights_at(k)) part = 2 * k;
    if (q >= biases_at(k)) part = 2 * k + 1;
  }
  return part;
}

__device__ __forceinline__ constexpr bool is_weight(int q) { return part_of(q) % 2 == 0; }

// Return the settings of a step for a part, whose learning rate has a factor. decay is 1 - learning rate * weight decay,
// so its distance from 1 has the same factor. layer_factors: as in TrainConfig, learning rates in the second half.
__device__ __forceinline__ Settings<T> settings_of_part(Settings<T> h, const double* layer_factors, int part) {
  const T factor = T(layer_factors[2 * N_LAYERS + part]);
  h.learning_rate *= factor;
  h.decay = T(1) - (T(1) - h.decay) * factor;
  return h;
}
