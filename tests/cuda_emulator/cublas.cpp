// Emulated C interface of cuBLAS: the functions that the backend calls, with the library's own names and types, which
// call Python (cublas.py). So the argument types that the backend declares by ctypes are tested against a C library.
#include <cstddef>

typedef void* Handle;
typedef struct {
  int (*create)(Handle*);
  int (*set_stream)(Handle, void* stream);
  int (*set_workspace)(Handle, void* workspace, size_t bytes);
  int (*set_math_mode)(Handle, int mode);
  int (*gemm)(Handle, int ta, int tb, int m, int n, int k, double alpha, const void* A, int a_kind, int lda,
              long long a_stride, const void* B, int b_kind, int ldb, long long b_stride, double beta, void* C, int c_kind,
              int ldc, long long c_stride, int count, int computed);
} Calls;
static Calls calls;

enum { COMPUTE_16F = 64, COMPUTE_64F = 70 };

extern "C" {
void fm_set_calls(const Calls* given) { calls = *given; }

int cublasCreate_v2(Handle* handle) { return calls.create(handle); }
int cublasSetStream_v2(Handle handle, void* stream) { return calls.set_stream(handle, stream); }
int cublasSetWorkspace_v2(Handle handle, void* workspace, size_t bytes) {
  return calls.set_workspace(handle, workspace, bytes);
}
int cublasSetMathMode(Handle handle, int mode) { return calls.set_math_mode(handle, mode); }
int cublasGemmStridedBatchedEx(Handle handle, int ta, int tb, int m, int n, int k, const void* alpha, const void* A,
                               int a_kind, int lda, long long a_stride, const void* B, int b_kind, int ldb,
                               long long b_stride, const void* beta, void* C, int c_kind, int ldc, long long c_stride,
                               int count, int computed, int algorithm) {
  if (computed == COMPUTE_16F || algorithm < -1 || algorithm > 115) return 15;
  const bool wide = computed == COMPUTE_64F;
  const double one = wide ? *(const double*)alpha : *(const float*)alpha;
  const double zero = wide ? *(const double*)beta : *(const float*)beta;
  return calls.gemm(handle, ta, tb, m, n, k, one, A, a_kind, lda, a_stride, B, b_kind, ldb, b_stride, zero, C, c_kind,
                    ldc, c_stride, count, computed);
}
int cublasGemmEx(Handle handle, int ta, int tb, int m, int n, int k, const void* alpha, const void* A, int a_kind, int lda,
                 const void* B, int b_kind, int ldb, const void* beta, void* C, int c_kind, int ldc, int computed,
                 int algorithm) {
  return cublasGemmStridedBatchedEx(handle, ta, tb, m, n, k, alpha, A, a_kind, lda, 0, B, b_kind, ldb, 0, beta, C, c_kind,
                                    ldc, 0, 1, computed, algorithm);
}
}
