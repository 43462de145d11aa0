// Gradient clipping: the factor that scales a gradient to clip_norm, from its squared norm.

// 1 if clip_norm is 0 or not reached.
template <typename C, typename V>
__device__ __forceinline__ T clip_factor(C clip_norm, V squares) {
  const V norm = clip_norm;
  return clip_norm > C(0) && squares > norm * norm ? T(norm / elementary::sqrt(squares)) : T(1);
}

// The same for a gradient whose squared norm overflows (norms from 1e19 on in float, from 1e154 on in double), which
// exceeds any clip_norm. scaled_squares: the sum of scaled_square.
template <typename C>
__device__ __forceinline__ T huge_clip_factor(C clip_norm, double scaled_squares) {
  return clip_norm > C(0) ? T(double(clip_norm) * huge_scale() / elementary::sqrt(scaled_squares)) : T(1);
}

__device__ __forceinline__ double scaled_square(T gradient) {
  return (double(gradient) * huge_scale()) * (double(gradient) * huge_scale());
}
