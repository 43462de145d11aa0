// CUDA C++ for the host compiler, for correctness tests only: the part of the language and its built-ins that kernels
// use. Kernels declare shared memory by FM_SHARED and FM_DYN_SMEM (kernels/cuda/include/common.cuh), and have no inline
// PTX here.
#pragma once
#define FM_CUDA_EMU 1
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>

#include "scheduler.h"

#undef INFINITY  // defined by host headers, but not in NVRTC
#undef NAN

#define FM_TEXT2(x) #x
#define FM_TEXT(x) FM_TEXT2(x)
#define FM_SITE __FILE__ ":" FM_TEXT(__LINE__)

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) alignas(n)
#define __constant__ static
#define __shared__ static_assert(false, "use FM_SHARED or FM_DYN_SMEM");
#define FM_SHARED(T, name, dims)   \
  using fm_type_of_##name = T dims; \
  static char fm_key_of_##name;     \
  fm_type_of_##name& name =         \
      *static_cast<fm_type_of_##name*>(fm_emu::fm_shared(&fm_key_of_##name, sizeof(fm_type_of_##name), #name))
#define FM_DYN_SMEM(T, name) T* name = static_cast<T*>(fm_emu::fm_grid.dynamic)

#define threadIdx (fm_emu::fm_thread->index)
#define blockIdx (fm_emu::fm_grid.block_index)
#define blockDim (fm_emu::fm_grid.block_size)
#define gridDim (fm_emu::fm_grid.size)
#define warpSize (fm_emu::WARP)

// ---- barriers and collectives: each waits twice, so that no thread overwrites a slot that another has yet to read

namespace fm_emu {

inline int lane() { return fm_thread->number % WARP; }
inline int first_of_warp() { return fm_thread->number - lane(); }
inline int n_lanes() {
  const int left = int(fm_grid.block_size.x * fm_grid.block_size.y * fm_grid.block_size.z) - first_of_warp();
  return left < WARP ? left : WARP;
}

struct BlockBarrier {
  const char* site;
  template <class F>
  int counted(int p, F count) const {
    fm_slots[fm_thread->number] = p != 0;
    fm_block_barrier(site);
    const int n = fm_grid.block_size.x * fm_grid.block_size.y * fm_grid.block_size.z;
    int total = 0;
    for (int i = 0; i < n; ++i) total += int(fm_slots[i]);
    fm_block_barrier(site);
    return count(total, n);
  }
};

template <class T>
T exchange(const char* site, unsigned mask, T v, int source) {
  static_assert(sizeof(T) <= 8, "a shuffle of more than 8 bytes");
  memcpy(&fm_slots[fm_thread->number], &v, sizeof(T));
  fm_warp_barrier(mask, site);
  if (source < n_lanes() && (mask >> source & 1)) memcpy(&v, &fm_slots[first_of_warp() + source], sizeof(T));
  fm_warp_barrier(mask, site);
  return v;
}
inline int segment(int width) { return lane() / width * width; }
template <class T>
T shuffle(const char* site, unsigned m, T v, int source, int width = WARP) {
  return exchange(site, m, v, segment(width) + (source & (width - 1)));
}
template <class T>
T shuffle_down(const char* site, unsigned m, T v, unsigned by, int width = WARP) {
  const int source = lane() + int(by);
  return exchange(site, m, v, source < segment(width) + width ? source : lane());
}
template <class T>
T shuffle_up(const char* site, unsigned m, T v, unsigned by, int width = WARP) {
  const int source = lane() - int(by);
  return exchange(site, m, v, source >= segment(width) ? source : lane());
}
template <class T>
T shuffle_xor(const char* site, unsigned m, T v, int with, int width = WARP) {
  const int source = lane() ^ with;
  return exchange(site, m, v, source < segment(width) + width ? source : lane());
}
template <class T, class F>
T reduced(const char* site, unsigned mask, T v, F combine) {
  memcpy(&fm_slots[fm_thread->number], &v, sizeof(T));
  fm_warp_barrier(mask, site);
  bool any = false;
  T total{};
  for (int k = 0; k < n_lanes(); ++k)
    if (mask >> k & 1) {
      T other;
      memcpy(&other, &fm_slots[first_of_warp() + k], sizeof(T));
      total = any ? combine(total, other) : other;
      any = true;
    }
  fm_warp_barrier(mask, site);
  return total;
}
inline unsigned ballot(const char* site, unsigned mask, bool p) {
  return reduced(site, mask, p ? 1u << lane() : 0u, [](unsigned a, unsigned b) { return a | b; });
}
struct WarpBarrier {
  const char* site;
  void operator()(unsigned mask = 0xffffffffu) const { fm_warp_barrier(mask, site); }
};

// ---- launching: arguments are passed as addresses; raw.py checks their types by the signature

template <class T>
const char* type_code() {
  using U = std::remove_cv_t<std::remove_pointer_t<std::remove_cv_t<T>>>;
  constexpr bool p = std::is_pointer_v<T>;
  if constexpr (std::is_void_v<U>) return "pv";
  else if constexpr (std::is_same_v<U, float>) return p ? "pf4" : "f4";
  else if constexpr (std::is_same_v<U, double>) return p ? "pf8" : "f8";
  else if constexpr (std::is_same_v<U, bool>) return p ? "pb1" : "b1";
  else if constexpr (std::is_integral_v<U> && std::is_signed_v<U>)
    return sizeof(U) == 8 ? (p ? "pi8" : "i8") : sizeof(U) == 4 ? (p ? "pi4" : "i4") : sizeof(U) == 2 ? (p ? "pi2" : "i2") : p ? "pi1" : "i1";
  else if constexpr (std::is_integral_v<U>)
    return sizeof(U) == 8 ? (p ? "pu8" : "u8") : sizeof(U) == 4 ? (p ? "pu4" : "u4") : sizeof(U) == 2 ? (p ? "pu2" : "u2") : p ? "pu1" : "u1";
  else return p ? "pv" : "V";
}
template <class... A>
const char* signature(void (*)(A...)) {
  static char text[4096];
  text[0] = 0;
  ((strcat(text, type_code<A>()), snprintf(text + strlen(text), 16, ":%d ", int(sizeof(A)))), ...);
  return text;
}
template <class... A>
struct Call {
  void (*kernel)(A...);
  void** arguments;
  template <size_t... I>
  void run(std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_reference_t<A>*>(arguments[I])...);
  }
  static void body(void* call) { static_cast<Call*>(call)->run(std::index_sequence_for<A...>{}); }
};
template <class... A>
const char* launch(void (*kernel)(A...), const unsigned* dims, size_t dynamic_bytes, void** arguments, int order) {
  Call<A...> call{kernel, arguments};
  return fm_launch(&Call<A...>::body, &call, dims, dynamic_bytes, order);
}

}  // namespace fm_emu

#define __syncthreads() fm_emu::fm_block_barrier(FM_SITE)
#define __syncthreads_count(p) fm_emu::BlockBarrier{FM_SITE}.counted((p), [](int n, int) { return n; })
#define __syncthreads_or(p) fm_emu::BlockBarrier{FM_SITE}.counted((p), [](int n, int) { return int(n > 0); })
#define __syncthreads_and(p) fm_emu::BlockBarrier{FM_SITE}.counted((p), [](int n, int all) { return int(n == all); })
#define __syncwarp(...) fm_emu::WarpBarrier{FM_SITE}(__VA_ARGS__)
#define __shfl_sync(...) fm_emu::shuffle(FM_SITE, __VA_ARGS__)
#define __shfl_down_sync(...) fm_emu::shuffle_down(FM_SITE, __VA_ARGS__)
#define __shfl_up_sync(...) fm_emu::shuffle_up(FM_SITE, __VA_ARGS__)
#define __shfl_xor_sync(...) fm_emu::shuffle_xor(FM_SITE, __VA_ARGS__)
#define __ballot_sync(m, p) fm_emu::ballot(FM_SITE, (m), (p))
#define __any_sync(m, p) (fm_emu::ballot(FM_SITE, (m), (p)) != 0)
#define __all_sync(m, p) (fm_emu::ballot(FM_SITE, (m), !(p)) == 0)
#define __reduce_add_sync(m, v) fm_emu::reduced(FM_SITE, (m), (v), [](auto a, auto b) { return a + b; })
#define __reduce_min_sync(m, v) fm_emu::reduced(FM_SITE, (m), (v), [](auto a, auto b) { return a < b ? a : b; })
#define __reduce_max_sync(m, v) fm_emu::reduced(FM_SITE, (m), (v), [](auto a, auto b) { return a > b ? a : b; })
#define __threadfence()
#define __threadfence_block()
#define __trap() fm_emu::fm_fail(FM_SITE, "trap")

// ---- atomics: fibers are switched at barriers only, so plain reads and writes are atomic

#define FM_ATOMIC(name, expression)         \
  template <class T>                        \
  inline T name(T* p, std::type_identity_t<T> v) { \
    const T old = *p;                       \
    *p = expression;                        \
    return old;                             \
  }
FM_ATOMIC(atomicAdd, old + v)
FM_ATOMIC(atomicSub, old - v)
FM_ATOMIC(atomicMax, old > v ? old : v)
FM_ATOMIC(atomicMin, old < v ? old : v)
FM_ATOMIC(atomicExch, v)
FM_ATOMIC(atomicOr, old | v)
FM_ATOMIC(atomicAnd, old& v)
FM_ATOMIC(atomicXor, old ^ v)
template <class T>
inline T atomicCAS(T* p, std::type_identity_t<T> compare, std::type_identity_t<T> v) {
  const T old = *p;
  if (old == compare) *p = v;
  return old;
}

// ---- built-in functions and types

template <class T> inline T __ldg(const T* p) { return *p; }
template <class T> inline T __ldcs(const T* p) { return *p; }
template <class T> inline T __ldcg(const T* p) { return *p; }
template <class T> inline void __stcs(T* p, std::type_identity_t<T> v) { *p = v; }
template <class T> inline void __stcg(T* p, std::type_identity_t<T> v) { *p = v; }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(unsigned(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
template <class To, class From>
inline To fm_bits(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To y;
  memcpy(&y, &x, sizeof y);
  return y;
}
inline int __float_as_int(float x) { return fm_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return fm_bits<unsigned>(x); }
inline float __int_as_float(int x) { return fm_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return fm_bits<float>(x); }
inline long long __double_as_longlong(double x) { return fm_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return fm_bits<double>(x); }
template <class T> inline T max(T a, std::type_identity_t<T> b) { return a > b ? a : b; }
template <class T> inline T min(T a, std::type_identity_t<T> b) { return a < b ? a : b; }
inline float max(float a, float b) { return std::fmax(a, b); }
inline float min(float a, float b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }

// Vectors are read and written as a whole, at a multiple of their size, or of 16 bytes, as on a GPU.
namespace fm_emu {
template <class V>
inline const V& aligned(const V& v) {
  const void* p = &v;
  asm("" : "+r"(p));  // the compiler takes all references for aligned
  if (reinterpret_cast<uintptr_t>(p) % alignof(V)) fm_fail("a vector", "misaligned access");
  return v;
}
}  // namespace fm_emu

#define FM_VECTOR(T, name)                                                                 \
  struct alignas(2 * sizeof(T)) name##2 {                                                  \
    T x, y;                                                                                \
    name##2() = default;                                                                   \
    name##2(T x, T y) : x(x), y(y) {}                                                      \
    name##2(const name##2& v) { *this = v; }                                               \
    name##2& operator=(const name##2& v) {                                                 \
      fm_emu::aligned(*this), fm_emu::aligned(v);                                          \
      return x = v.x, y = v.y, *this;                                                      \
    }                                                                                      \
  };                                                                                       \
  struct name##3 { T x, y, z; };                                                           \
  struct alignas(4 * sizeof(T) > 16 ? 16 : 4 * sizeof(T)) name##4 {                        \
    T x, y, z, w;                                                                          \
    name##4() = default;                                                                   \
    name##4(T x, T y, T z, T w) : x(x), y(y), z(z), w(w) {}                                \
    name##4(const name##4& v) { *this = v; }                                               \
    name##4& operator=(const name##4& v) {                                                 \
      fm_emu::aligned(*this), fm_emu::aligned(v);                                          \
      return x = v.x, y = v.y, z = v.z, w = v.w, *this;                                    \
    }                                                                                      \
  };                                                                                       \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }                               \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
FM_VECTOR(float, float)
FM_VECTOR(double, double)
FM_VECTOR(int, int)
FM_VECTOR(unsigned, uint)

#include "bfloat16.h"
