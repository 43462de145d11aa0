// Numbers in bfloat16: the upper half of a float, rounded to nearest even. Without a header, because cuda_bf16.h includes
// files that CuPy's wheels lack. The conversions are instructions from sm_80 on (PTX ISA 8.5, section 9.7.9.21, cvt).
//
//   bfloat16_bits(x)              a number's 16 bits
//   Bfloat16                      a number in memory, which converts from and to float

#ifndef FM_CUDA_EMU
__device__ __forceinline__ unsigned short bfloat16_bits(float x) {
  unsigned short bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}
#endif

struct Bfloat16 {
  unsigned short bits;

  Bfloat16() = default;
  __device__ __forceinline__ Bfloat16(float x) : bits(bfloat16_bits(x)) {}
  __device__ __forceinline__ operator float() const { return __uint_as_float(unsigned(bits) << 16); }
};
