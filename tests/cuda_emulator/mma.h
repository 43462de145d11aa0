// Emulated conversions of bfloat16.cuh and tensor cores of tensor_cores.cuh, with the tile layout of the hardware.
#pragma once

inline uint16_t bfloat16_bits(float f) {
  const uint32_t bits = fm_bits<uint32_t>(f);
  return f == f ? uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16) : uint16_t(0x7fff);
}
inline unsigned pack(float low, float high) { return bfloat16_bits(low) | unsigned(bfloat16_bits(high)) << 16; }

namespace fm_emu {
inline float low_half(unsigned u) { return fm_bits<float>(uint32_t(u << 16)); }
inline float high_half(unsigned u) { return fm_bits<float>(uint32_t(u & 0xffff0000u)); }
}  // namespace fm_emu

inline void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  float(*tile)[1024] = fm_emu::fm_tiles[fm_emu::fm_thread->number / fm_emu::WARP];
  const int g = fm_emu::lane() / 4, q = 2 * (fm_emu::lane() % 4);
  for (int i = 0; i < 4; ++i) {
    float* place = tile[0] + (g + 8 * (i % 2)) * 16 + q + 8 * (i / 2);
    place[0] = fm_emu::low_half(a[i]), place[1] = fm_emu::high_half(a[i]);
  }
  for (int i = 0; i < 2; ++i) {
    float* place = tile[1] + (q + 8 * i) * 8 + g;
    place[0] = fm_emu::low_half(b[i]), place[8] = fm_emu::high_half(b[i]);
  }
  __syncwarp();
  for (int i = 0; i < 4; ++i) {
    const int row = g + 8 * (i / 2), column = q + i % 2;
    float sum = 0.0f;
    for (int k = 0; k < 16; ++k) sum += tile[0][row * 16 + k] * tile[1][k * 8 + column];
    d[i] += sum;
  }
  __syncwarp();
}

namespace fm_emu {
inline void load_tiles(unsigned (&r)[4], const void* row, bool transposed) {
  if (reinterpret_cast<uintptr_t>(row) % 16) fm_fail("load_tile", "a row that does not start on 16 bytes");
  fm_slots[fm_thread->number] = reinterpret_cast<uintptr_t>(row);
  __syncwarp();
  const int g = lane() / 4, q = 2 * (lane() % 4);
  for (int t = 0; t < 4; ++t) {
    const auto at = [&](int i, int j) {
      return reinterpret_cast<const uint16_t*>(fm_slots[first_of_warp() + 8 * t + i])[j];
    };
    const uint16_t low = transposed ? at(q, g) : at(g, q), high = transposed ? at(q + 1, g) : at(g, q + 1);
    r[t] = low | unsigned(high) << 16;
  }
  __syncwarp();
}
}  // namespace fm_emu
inline void load_tile(unsigned (&r)[4], const void* row) { fm_emu::load_tiles(r, row, false); }
inline void load_transposed_tile(unsigned (&r)[4], const void* row) { fm_emu::load_tiles(r, row, true); }
