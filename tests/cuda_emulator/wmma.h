// __half, __nv_bfloat16 and nvcuda::wmma for emulator.h: correctness only. A fragment is spread over its warp's lanes in
// an order of its own, as on the hardware, so that code which relies on a layout fails.
#pragma once

struct __half {
  _Float16 v;
  __half() = default;
  __half(float f) : v(_Float16(f)) {}
  __half(double f) : v(_Float16(f)) {}
  __half(int f) : v(_Float16(f)) {}
  operator float() const { return float(v); }
};
typedef __half half;
inline float __half2float(__half h) { return float(h); }
inline __half __float2half(float f) { return __half(f); }
inline __half __float2half_rn(float f) { return __half(f); }

struct __nv_bfloat16 {
  uint16_t v;
  __nv_bfloat16() = default;
  __nv_bfloat16(float f) {
    const uint32_t bits = fm_bits<uint32_t>(f);
    v = f == f ? uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16) : uint16_t(0x7fff);
  }
  __nv_bfloat16(double f) : __nv_bfloat16(float(f)) {}
  __nv_bfloat16(int f) : __nv_bfloat16(float(f)) {}
  operator float() const { return fm_bits<float>(uint32_t(v) << 16); }
};
inline float __bfloat162float(__nv_bfloat16 h) { return float(h); }
inline __nv_bfloat16 __float2bfloat16(float f) { return __nv_bfloat16(f); }
inline __nv_bfloat16 __float2bfloat16_rn(float f) { return __nv_bfloat16(f); }

#define FM_PAIR(T, name)                                               \
  struct alignas(4) name { T x, y; };                                 \
  inline name make_##name(T x, T y) { return {x, y}; }
FM_PAIR(__half, __half2)
FM_PAIR(__nv_bfloat16, __nv_bfloat162)
typedef __half2 half2;
inline __half2 __floats2half2_rn(float a, float b) { return {__half(a), __half(b)}; }
inline float2 __half22float2(__half2 h) { return {float(h.x), float(h.y)}; }
inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b) { return {__nv_bfloat16(a), __nv_bfloat16(b)}; }
inline float2 __bfloat1622float2(__nv_bfloat162 h) { return {float(h.x), float(h.y)}; }

namespace nvcuda {
namespace wmma {
struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
enum layout_t { mem_row_major, mem_col_major };

template <class Use, int M, int N, int K, class T, class Layout = void>
struct fragment {
  static constexpr int rows = std::is_same_v<Use, matrix_b> ? K : M;
  static constexpr int cols = std::is_same_v<Use, matrix_a> ? K : N;
  static constexpr int size = rows * cols, num_elements = size / fm_emu::WARP;
  T x[num_elements];
  fragment() {
    for (T& e : x) e = T(__builtin_nanf(""));
  }
  // Which element of the tile, row by row, this lane keeps in x[k]. Every tile's size is a power of two.
  static int place(int k) { return (fm_emu::lane() * num_elements + k) * 37 % size; }
};

namespace {
template <class T>
void check(const T* p, unsigned leading, const char* site) {
  if (reinterpret_cast<uintptr_t>(p) % 32) fm_emu::fm_fail(site, "a tile that does not start on 32 bytes");
  if (leading * sizeof(T) % 16) fm_emu::fm_fail(site, "a leading dimension that is no multiple of 16 bytes");
}
}  // namespace

template <class U, int M, int N, int K, class T, class L, class V>
void fill_fragment(fragment<U, M, N, K, T, L>& f, V v) {
  for (T& e : f.x) e = T(v);
}

template <class U, int M, int N, int K, class T, class L>
void load_matrix_sync(fragment<U, M, N, K, T, L>& f, const T* p, unsigned leading) {
  check(p, leading, "load_matrix_sync");
  __syncwarp();
  for (int k = 0; k < f.num_elements; ++k) {
    const int r = f.place(k) / f.cols, c = f.place(k) % f.cols;
    f.x[k] = std::is_same_v<L, row_major> ? p[r * leading + c] : p[c * leading + r];
  }
  __syncwarp();
}

template <int M, int N, int K, class T>
void load_matrix_sync(fragment<accumulator, M, N, K, T>& f, const T* p, unsigned leading, layout_t layout) {
  check(p, leading, "load_matrix_sync");
  __syncwarp();
  for (int k = 0; k < f.num_elements; ++k) {
    const int r = f.place(k) / N, c = f.place(k) % N;
    f.x[k] = layout == mem_row_major ? p[r * leading + c] : p[c * leading + r];
  }
  __syncwarp();
}

template <int M, int N, int K, class T>
void store_matrix_sync(T* p, const fragment<accumulator, M, N, K, T>& f, unsigned leading, layout_t layout) {
  check(p, leading, "store_matrix_sync");
  __syncwarp();
  for (int k = 0; k < f.num_elements; ++k) {
    const int r = f.place(k) / N, c = f.place(k) % N;
    p[layout == mem_row_major ? r * leading + c : c * leading + r] = f.x[k];
  }
  __syncwarp();
}

template <int M, int N, int K, class TA, class LA, class TB, class LB, class TD, class TC>
void mma_sync(fragment<accumulator, M, N, K, TD>& d, const fragment<matrix_a, M, N, K, TA, LA>& a,
              const fragment<matrix_b, M, N, K, TB, LB>& b, const fragment<accumulator, M, N, K, TC>& c) {
  float(*tile)[1024] = fm_emu::fm_tiles[fm_emu::fm_thread->number / fm_emu::WARP];
  for (int k = 0; k < a.num_elements; ++k) tile[0][a.place(k)] = float(a.x[k]);
  for (int k = 0; k < b.num_elements; ++k) tile[1][b.place(k)] = float(b.x[k]);
  __syncwarp();
  for (int k = 0; k < d.num_elements; ++k) {
    const int i = d.place(k) / N, j = d.place(k) % N;
    float sum = float(c.x[k]);
    for (int q = 0; q < K; ++q) sum += tile[0][i * K + q] * tile[1][q * N + j];
    d.x[k] = TD(sum);
  }
  __syncwarp();
}
}  // namespace wmma
}  // namespace nvcuda
