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
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) alignas(n)
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

// ---- barriers and collectives: each waits twice, so that no thread overwrites a slot that another has yet to read

namespace fm_emu {

inline int lane() { return fm_thread->number % WARP; }
inline int first_of_warp() { return fm_thread->number - lane(); }
inline int n_lanes() {
  const int left = int(fm_grid.block_size.x * fm_grid.block_size.y * fm_grid.block_size.z) - first_of_warp();
  return left < WARP ? left : WARP;
}

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
T shuffle_xor(const char* site, unsigned m, T v, int with, int width = WARP) {
  const int source = lane() ^ with;
  return exchange(site, m, v, source < segment(width) + width ? source : lane());
}
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
#define __shfl_sync(...) fm_emu::shuffle(FM_SITE, __VA_ARGS__)
#define __shfl_down_sync(...) fm_emu::shuffle_down(FM_SITE, __VA_ARGS__)
#define __shfl_xor_sync(...) fm_emu::shuffle_xor(FM_SITE, __VA_ARGS__)
#define __threadfence()

// ---- atomics: fibers are switched at barriers only, so plain reads and writes are atomic

#define FM_ATOMIC(name, expression)         \
  template <class T>                        \
  inline T name(T* p, std::type_identity_t<T> v) { \
    const T old = *p;                       \
    *p = expression;                        \
    return old;                             \
  }
FM_ATOMIC(atomicAdd, old + v)
FM_ATOMIC(atomicExch, v)

// ---- built-in functions and types

inline float __expf(float x) { return std::exp(x); }
template <class To, class From>
inline To fm_bits(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To y;
  memcpy(&y, &x, sizeof y);
  return y;
}
inline float __int_as_float(int x) { return fm_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return fm_bits<float>(x); }
template <class T> inline T max(T a, std::type_identity_t<T> b) { return a > b ? a : b; }
template <class T> inline T min(T a, std::type_identity_t<T> b) { return a < b ? a : b; }

// Vectors are read as a whole, at a multiple of 16 bytes, as on a GPU.
namespace fm_emu {
template <class V>
inline const V& aligned(const V& v) {
  const void* p = &v;
  asm("" : "+r"(p));  // the compiler takes all references for aligned
  if (reinterpret_cast<uintptr_t>(p) % alignof(V)) fm_fail("a vector", "misaligned access");
  return v;
}
}  // namespace fm_emu

struct alignas(16) float4 {
  float x, y, z, w;
  float4(const float4& v) { memcpy(this, &fm_emu::aligned(v), sizeof v); }
};
struct alignas(16) double2 {
  double x, y;
  double2(const double2& v) { memcpy(this, &fm_emu::aligned(v), sizeof v); }
};

// Conversion of include/bfloat16.cuh.
inline uint16_t bfloat16_bits(float f) {
  const uint32_t bits = fm_bits<uint32_t>(f);
  return f == f ? uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16) : uint16_t(0x7fff);
}
