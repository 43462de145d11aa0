// First part of every CUDA source: declarations of shared memory. The CPU emulator (tests/cuda_emulator) defines
// FM_CUDA_EMU and its own versions of these macros, which fill shared memory with NaN and guard its bounds.
//
//   FM_SHARED(T, name, [N][M]);   instead of  __shared__ T name[N][M];     16-byte aligned
//   FM_DYN_SMEM(T, name);         instead of  extern __shared__ T name[];   16-byte aligned, once per kernel
//
// NVRTC has no host headers: nothing is included here.

#define INFINITY __int_as_float(0x7f800000)

#ifndef FM_CUDA_EMU
#define FM_SHARED(T, name, dims) __shared__ __align__(16) T name dims
#define FM_DYN_SMEM(T, name)                                       \
  extern __shared__ __align__(16) unsigned char fm_dynamic_smem[]; \
  T* name = reinterpret_cast<T*>(fm_dynamic_smem)
#endif
