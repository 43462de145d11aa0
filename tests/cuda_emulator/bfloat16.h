// Emulated conversions of bfloat16.cuh.
#pragma once

inline uint16_t bfloat16_bits(float f) {
  const uint32_t bits = fm_bits<uint32_t>(f);
  return f == f ? uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16) : uint16_t(0x7fff);
}
