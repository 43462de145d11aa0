// Elementary functions that printed formulas call, for float and double: the accurate CUDA functions, not the fast
// approximations (expf, not __expf). They are in a namespace because CUDA already has exp(float) and others. As in
// simd/elementary.py and simd/vector.py, NaN stays NaN, and `where` evaluates both sides.

namespace elementary {

__device__ __forceinline__ float exp(float z) { return ::expf(z); }
__device__ __forceinline__ double exp(double z) { return ::exp(z); }
__device__ __forceinline__ float expm1(float z) { return ::expm1f(z); }
__device__ __forceinline__ double expm1(double z) { return ::expm1(z); }
__device__ __forceinline__ float log(float x) { return ::logf(x); }
__device__ __forceinline__ double log(double x) { return ::log(x); }
__device__ __forceinline__ float log1p(float x) { return ::log1pf(x); }
__device__ __forceinline__ double log1p(double x) { return ::log1p(x); }

// For softmax in an unrolled program.
template <typename T>
__device__ __forceinline__ T inverse(T v) { return T(1) / v; }
template <typename T>
__device__ __forceinline__ T if_larger(T a, T b, T x, T y) { return a > b ? x : y; }
__device__ __forceinline__ float tanh(float z) { return ::tanhf(z); }
__device__ __forceinline__ double tanh(double z) { return ::tanh(z); }
__device__ __forceinline__ float sqrt(float x) { return ::sqrtf(x); }
__device__ __forceinline__ double sqrt(double x) { return ::sqrt(x); }
__device__ __forceinline__ float absolute(float x) { return ::fabsf(x); }
__device__ __forceinline__ double absolute(double x) { return ::fabs(x); }
__device__ __forceinline__ float nearest(float x) { return ::rintf(x); }
__device__ __forceinline__ double nearest(double x) { return ::rint(x); }
__device__ __forceinline__ float erfc(float x) { return ::erfcf(x); }
__device__ __forceinline__ double erfc(double x) { return ::erfc(x); }

template <typename T>
__device__ __forceinline__ T where(bool mask, T a, T b) {
  return mask ? a : b;
}

template <typename T>
__device__ __forceinline__ T ratio(T a, T b) {
  return a / b;
}

template <typename T>
__device__ __forceinline__ T multiply_add(T a, T b, T c) {
  return a * b + c;
}

// exp is called only for arguments <= 0: no overflow at either end, and full relative accuracy for negative z.
template <typename T>
__device__ __forceinline__ T sigmoid(T z) {
  const T e = exp(-absolute(z)), upper = T(1) / (T(1) + e);
  return z < T(0) ? e * upper : upper;
}

template <typename T>
__device__ __forceinline__ T softplus(T z) {
  return (z < T(0) ? T(0) : z) + log1p(exp(-absolute(z)));
}

template <typename T>
__device__ __forceinline__ T normal_density(T z) {
  return exp(T(-0.5) * z * z) * T(0.3989422804014327);
}

template <typename T>
__device__ __forceinline__ T normal_cdf(T z) {
  return T(0.5) * erfc(T(-0.7071067811865476) * z);
}

}  // namespace elementary
