// Tensor cores without a header: mma.sync and ldmatrix in PTX, because mma.h includes a file that CuPy's wheels lack.
//
// Operands are bfloat16 (include/bfloat16.cuh), two packed in an unsigned.
//   multiply_add(d, a, b)               d (16, 8) += a (16, 16) b (16, 8), d in float
//   load_tile(r, p), load_transposed_tile(r, p)
//
// All 32 lanes of a warp take part. With g = lane / 4 and q = 2 * (lane % 4) a lane holds, low number first,
//   a[0] = A[g][q, q+1]      a[1] = A[g+8][q, q+1]     a[2] = A[g][q+8, q+9]     a[3] = A[g+8][q+8, q+9]
//   b[0] = B[q, q+1][g]      b[1] = B[q+8, q+9][g]
//   d[0], d[1] = D[g][q, q+1]                          d[2], d[3] = D[g+8][q, q+1]
// so two neighbouring products d, packed, are the operand a of the next layer: activations stay in registers.
// PTX ISA 8.5, sections 9.7.14.5.8 (mma.m16n8k16) and 9.7.14.5.15 (ldmatrix). From sm_80 on.

#ifndef FM_CUDA_EMU

__device__ __forceinline__ void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Loads four 8 x 8 tiles of 16-bit numbers from shared memory. Lane i passes the address of row i % 8 of tile i / 8,
// aligned to 16 bytes. r[t] receives the lane's two numbers of tile t: row g, columns q and q+1; or those of the
// transpose.
__device__ __forceinline__ void load_tile(unsigned (&r)[4], const void* row) {
  const unsigned p = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(p)
               : "memory");
}
__device__ __forceinline__ void load_transposed_tile(unsigned (&r)[4], const void* row) {
  const unsigned p = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(p)
               : "memory");
}

#endif

// ---- tiles of 16 x 16 numbers, distributed over a warp: Sum += Left * Right

typedef unsigned short Bits;  // one number

__device__ __forceinline__ void store_pair(Bits* p, unsigned pair) { *reinterpret_cast<unsigned*>(p) = pair; }

struct Left {
  unsigned r[4];
};
struct Right {
  unsigned r[4];  // columns 0 to 7, then 8 to 15
};
struct Sum {
  float x[8];
};

// Row and column of the lane's element e of a Sum; for even e, e and e + 1 are neighbours in a row.
__device__ __forceinline__ int row_of(int e) { return threadIdx.x % 32 / 4 + (e & 2 ? 8 : 0); }
__device__ __forceinline__ int column_of(int e) { return threadIdx.x % 4 * 2 + (e & 4 ? 8 : 0) + (e & 1); }
// First of the two elements, in one column and neighbouring rows, of register t of the lane's Right.
__device__ __forceinline__ int row_of_right(int lane, int t) { return lane % 4 * 2 + t % 2 * 8; }
__device__ __forceinline__ int column_of_right(int lane, int t) { return lane / 4 + t / 2 * 8; }

__device__ __forceinline__ void multiply_add(Sum& sum, const Left& left, const Right& right) {
  float low[4], high[4];
  const unsigned first[2] = {right.r[0], right.r[1]}, second[2] = {right.r[2], right.r[3]};
#pragma unroll
  for (int i = 0; i < 4; ++i) low[i] = sum.x[i], high[i] = sum.x[4 + i];
  multiply_add(low, left.r, first);
  multiply_add(high, left.r, second);
#pragma unroll
  for (int i = 0; i < 4; ++i) sum.x[i] = low[i], sum.x[4 + i] = high[i];
}

// Load from shared memory, with rows `stride` numbers apart; an odd multiple of 8 avoids bank conflicts.
// tile[row][column] = p[row * stride + column]
__device__ __forceinline__ void load(Left& tile, const Bits* p, int stride) {
  const int lane = threadIdx.x % 32;
  load_tile(tile.r, p + lane % 16 * stride + lane / 16 * 8);
}
__device__ __forceinline__ void load(Right& tile, const Bits* p, int stride) {
  const int lane = threadIdx.x % 32;
  load_transposed_tile(tile.r, p + lane % 16 * stride + lane / 16 * 8);
}
// tile[row][column] = p[column * stride + row]
__device__ __forceinline__ void load_transposed(Left& tile, const Bits* p, int stride) {
  const int lane = threadIdx.x % 32;
  load_transposed_tile(tile.r, p + (lane % 8 + lane / 16 * 8) * stride + lane / 8 % 2 * 8);
}

// Load from and store to memory that holds a tile lane by lane.
__device__ __forceinline__ void load_packed(Right& tile, const Bits* p) {
  const uint4 all = *reinterpret_cast<const uint4*>(p + threadIdx.x % 32 * 8);
  tile.r[0] = all.x, tile.r[1] = all.y, tile.r[2] = all.z, tile.r[3] = all.w;
}
__device__ __forceinline__ void load_sum(Sum& sum, const float* p) {
#pragma unroll
  for (int e = 0; e < 8; ++e) sum.x[e] = p[e * 32 + threadIdx.x % 32];
}
__device__ __forceinline__ void store_sum(const Sum& sum, float* p) {
#pragma unroll
  for (int e = 0; e < 8; ++e) p[e * 32 + threadIdx.x % 32] = sum.x[e];
}
