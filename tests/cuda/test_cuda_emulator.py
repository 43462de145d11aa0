"""CUDA emulator: it reports mistakes in kernels and launches, and otherwise behaves like CuPy."""

from importlib.resources import files

import numpy as np
import pytest
from cuda_emulator import EmulatorError, asan, build

ORDERS = (0, 1, 2, 3)
by_gpp = pytest.mark.usefixtures("compiled_by_gpp")


def kernels(cupy, code, *options):
    return cupy.RawModule(code=code, options=options).get_function


SUM = r"""
extern "C" __global__ void total(const float* x, float* out) {
  FM_SHARED(float, part, [128]);
  part[threadIdx.x] = x[blockIdx.x * 128 + threadIdx.x];
#ifndef FORGET_BARRIER
  __syncthreads();
#endif
  for (int half = 64; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) out[blockIdx.x] = part[0];
}
"""


def totals(cupy, emulator, *options):
    """Return {order: whether the sums of the blocks are correct}."""
    x = np.arange(512, dtype=np.float32)
    kernel, correct = kernels(cupy, SUM, *options)("total"), {}
    for order in ORDERS:
        emulator.settings.order = order
        out = cupy.empty(4, cupy.float32)
        kernel((4,), (128,), (cupy.asarray(x), out))
        correct[order] = np.array_equal(out.get(), x.reshape(4, 128).sum(axis=1))
    return correct


@by_gpp
def test_any_order_of_threads_gives_correct_sums(cuda, emulated_cuda):
    assert all(totals(cuda, emulated_cuda).values())


@by_gpp
def test_missing_barrier_gives_wrong_sums(cuda, emulated_cuda):
    assert not all(totals(cuda, emulated_cuda, "-DFORGET_BARRIER").values())


WRONG = r"""
extern "C" __global__ void diverges(float* y) {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    y[threadIdx.x] = 1.0f;
    __syncthreads();
  }
}
extern "C" __global__ void misses_a_lane(float* y) {
  if (threadIdx.x != 7) y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, y[threadIdx.x], 1);
}
extern "C" __global__ void names_others(float* y) {
  y[threadIdx.x] = __shfl_sync(0x0000ffffu, y[threadIdx.x], 1);
}
extern "C" __global__ void overruns_shared(float* y) {
  FM_SHARED(float, part, [32]);
  part[threadIdx.x + 1] = 0.0f;
}
extern "C" __global__ void overruns_dynamic(float* y) {
  FM_DYN_SMEM(float, part);
  part[threadIdx.x + 1] = 0.0f;
}
extern "C" __global__ void overruns_array(float* y) { y[threadIdx.x + 1] = 0.0f; }
extern "C" __global__ void shares_too_much(float* y) {
  FM_SHARED(float, part, [13000]);
  part[threadIdx.x] = 0.0f;
}
extern "C" __global__ void reads_misaligned(float* y) {
  const float4 q = *reinterpret_cast<const float4*>(y + 1);
  y[threadIdx.x] = q.x;
}
extern "C" __global__ void writes_misaligned(float* y) { *reinterpret_cast<float2*>(y + 3) = make_float2(1.0f, 2.0f); }
extern "C" __global__ void traps(float* y) {
  if (threadIdx.x == 3) __trap();
}
"""


@by_gpp
@pytest.mark.parametrize(
    "kernel, message",
    [
        ("diverges", r"barrier divergence.*kernel\.cu:4.*kernel\.cu:7"),
        ("misses_a_lane", r"deadlock: thread \d+ waits for ever at kernel\.cu:11 \(block 0, 0, 0\)"),
        ("names_others", "a lane is not in the mask of its own collective"),
        ("overruns_shared", "a write past the end of the shared array part"),
        ("overruns_dynamic", "a write past the end of dynamic shared memory"),
        ("overruns_array", "a kernel wrote next to an array of 128 bytes"),
        ("shares_too_much", "more than 48 KiB of static shared memory"),
        ("reads_misaligned", "misaligned access at a vector"),
        ("writes_misaligned", "misaligned access at a vector"),
        ("traps", r"trap at kernel\.cu:35"),
    ],
)
@pytest.mark.parametrize("order", ORDERS)
def test_faults_of_kernels_are_reported(kernel, message, order, cuda, emulated_cuda):
    emulated_cuda.settings.order = order
    y = cuda.zeros(32, cuda.float32)
    with pytest.raises(EmulatorError, match=message):
        kernels(cuda, WRONG)(kernel)((1,), (32,), (y,), shared_mem=128)


@by_gpp
def test_static_and_dynamic_shared_memory_share_one_limit(cuda, emulated_cuda):
    """Static and dynamic shared memory together may be as large as a block has without a request, or as requested."""
    code = """extern "C" __global__ void declares_some(float* y) {
      FM_SHARED(float, part, [300]);
      part[threadIdx.x] = 1.0f;
      y[threadIdx.x] = part[threadIdx.x];
    }"""
    kernel, y, most = kernels(cuda, code)("declares_some"), cuda.zeros(32, cuda.float32), 48 * 1024
    kernel((1,), (32,), (y,), shared_mem=most - 1200)
    with pytest.raises(EmulatorError, match="more shared memory, static and dynamic, than the kernel may have"):
        kernel((1,), (32,), (y,), shared_mem=most - 1196)
    kernel.max_dynamic_shared_size_bytes = most - 1196
    kernel((1,), (32,), (y,), shared_mem=most - 1196)
    assert y.get().sum() == 32


@by_gpp
@pytest.mark.usefixtures("with_asan")
@pytest.mark.parametrize(
    "body, fault",
    [
        ("y[i] = x[i + 1];", "heap-buffer-overflow"),
        ("FM_SHARED(float, s, [32]); s[i] = 1.0f; __syncwarp(); y[i] = s[i + 1];", "heap-buffer-overflow"),
        ("FM_SHARED(float, s, [32]); s[i] = 1.0f; __syncthreads(); y[i] = s[i ^ 1];", None),
    ],
)
def test_address_sanitizer_reports_invalid_reads(body, fault, emulated_cuda):
    program = f"""
import cupy, numpy as np
code = '''extern "C" __global__ void k(const float* x, float* y) {{ const int i = threadIdx.x; {body} }}'''
x, y = cupy.zeros(32, cupy.float32), cupy.zeros(32, cupy.float32)
cupy.RawModule(code=code).get_function("k")((1,), (32,), (x, y))
print("no fault")
"""
    done = asan.run(program)
    if fault is None:
        assert done.stdout.strip() == "no fault", done.stderr
    else:
        assert fault in done.stderr, done.stderr
        assert "no fault" not in done.stdout


COLLECTIVES = r"""
extern "C" __global__ void shuffles(int* y) {
  const int l = threadIdx.x % 32, i = threadIdx.x, n = blockDim.x;
  y[0 * n + i] = __shfl_sync(0xffffffffu, l, 3, 8);
  y[1 * n + i] = __shfl_up_sync(0xffffffffu, l, 1);
  y[2 * n + i] = __shfl_down_sync(0xffffffffu, l, 2, 16);
  y[3 * n + i] = __shfl_xor_sync(0xffffffffu, l, 5);
  y[4 * n + i] = l < 16 ? __shfl_xor_sync(0x0000ffffu, l, 15) : 0;
  y[5 * n + i] = __popc(__ballot_sync(0xffffffffu, l % 3 == 0));
  y[6 * n + i] = 2 * __any_sync(0xffffffffu, l == 31) + __all_sync(0xffffffffu, l < 31);
  y[7 * n + i] = __reduce_add_sync(0xffffffffu, l);
  y[8 * n + i] = __syncthreads_count(i % 5 == 0);
  y[9 * n + i] = 2 * __syncthreads_or(i == 63) + __syncthreads_and(i < 63);
}
"""


@by_gpp
@pytest.mark.parametrize("order", ORDERS)
def test_warp_collectives_equal_numpy(order, cuda, emulated_cuda):
    emulated_cuda.settings.order = order
    y = cuda.zeros((10, 64), cuda.int32)
    kernels(cuda, COLLECTIVES)("shuffles")((1,), (64,), (y,))
    lane = np.arange(64) % 32
    expected = [
        lane // 8 * 8 + 3,
        np.maximum(lane - 1, 0),
        np.where(lane % 16 < 14, lane + 2, lane),
        lane ^ 5,
        np.where(lane < 16, lane ^ 15, 0),
        *(np.full(64, same) for same in (11, 2, 496, 13, 2)),
    ]
    np.testing.assert_array_equal(y.get(), expected)


@by_gpp
def test_atomics_add_and_compare(cuda, emulated_cuda):
    code = r"""
    extern "C" __global__ void count(float* sum, unsigned int* most, unsigned long long* least) {
      const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
      atomicAdd(sum, 1.0f);
      atomicMax(most, i);
      atomicMin(least, (unsigned long long)i + 5);
    }"""
    out = cuda.zeros(1, cuda.float32), cuda.zeros(1, cuda.uint32), cuda.full(1, 2**60, cuda.uint64)
    kernels(cuda, code)("count")((3,), (64,), out)
    assert [x.item() for x in out] == [192.0, 191, 5]


@by_gpp
def test_template_kernels_are_found_by_name(cuda, emulated_cuda):
    """Template kernels are found by name_expressions; a kernel that the preprocessor excludes is not found."""
    code = r"""
    template <typename T, int K> __global__ void __launch_bounds__(32 * (K + 1)) add(T* x) { x[threadIdx.x] += T(K); }
    extern "C" __global__ void __launch_bounds__(min(64, 32)) made(float* x) { x[threadIdx.x] = 9.0f; }
    #ifdef NOT_DEFINED
    extern "C" __global__ void left_out(float* x) { x[threadIdx.x] = 7.0f; }
    #endif
    """
    names = ["add<float, 2>", "add<double, 3>"]
    module = cuda.RawModule(code=code, name_expressions=names, options=("-std=c++17",))
    x, y, z = cuda.zeros(4, cuda.float32), cuda.zeros(4, cuda.float64), cuda.zeros(4, cuda.float32)
    for name, array in zip([*names, "made"], (x, y, z), strict=True):
        module.get_function(name)((1,), (4,), (array,))
    assert [array[0].item() for array in (x, y, z)] == [2.0, 3.0, 9.0]
    for name in ("add<float, 7>", "left_out"):
        with pytest.raises(RuntimeError, match="CUDA_ERROR_NOT_FOUND"):
            module.get_function(name)


TYPED = r"""
extern "C" __global__ void k(const float* x, int n, long long m, double a, unsigned int u, const double* other) {}
"""


@by_gpp
@pytest.mark.parametrize(
    "place, value, message",
    [
        (0, lambda cupy: cupy.zeros(4), "argument 0 is an array of float64, the kernel takes pf4"),
        (0, lambda cupy: cupy.zeros((4, 4), cupy.float32)[:, :2], "has strides"),
        (0, lambda cupy: np.float32(1), "argument 0 is a float32, the kernel takes pf4"),
        (0, lambda cupy: np.zeros(4, np.float32), "argument 0 is a ndarray; pass device arrays"),
        (1, lambda cupy: 3, "argument 1 is a int; pass device arrays and NumPy scalars"),
        (1, lambda cupy: np.int64(3), "argument 1 is a int64, the kernel takes i4"),
        (2, lambda cupy: np.int32(3), "argument 2 is a int32, the kernel takes i8"),
        (3, lambda cupy: 0.5, "argument 3 is a float;"),
        (3, lambda cupy: np.float32(0.5), "argument 3 is a float32, the kernel takes f8"),
        (4, lambda cupy: np.int32(3), "argument 4 is a int32, the kernel takes u4"),
        (5, lambda cupy: np.uint64(12345), "no address of live device memory"),
    ],
)
def test_kernel_arguments_are_checked(place, value, message, cuda, emulated_cuda):
    correct = [cuda.zeros(4, cuda.float32), np.int32(1), np.int64(2), np.float64(3), np.uint32(4), None]
    kernel = kernels(cuda, TYPED)("k")
    kernel((1,), (1,), tuple(correct))
    kernel((1,), (1,), (*correct[:5], np.uint64(correct[0].data.ptr)))
    with pytest.raises(EmulatorError, match=message):
        kernel((1,), (1,), (*correct[:place], value(cuda), *correct[place + 1 :]))
    with pytest.raises(EmulatorError, match="k takes 6 arguments, got 5"):
        kernel((1,), (1,), tuple(correct[:5]))


@by_gpp
def test_launches_are_checked(cuda, emulated_cuda):
    kernel = kernels(cuda, 'extern "C" __global__ void k(int n) {}')("k")
    with pytest.raises(TypeError, match="must be tuples"):
        kernel(1, (32,), (np.int32(1),))
    for grid, block in (((1,), (1025,)), ((1, 70000), (1,)), ((1,), (32, 64))):
        with pytest.raises(RuntimeError, match="CUDA_ERROR_INVALID_VALUE"):
            kernel(grid, block, (np.int32(1),))
    with pytest.raises(RuntimeError, match="50000 bytes of shared memory"):
        kernel((1,), (1,), (np.int32(1),), shared_mem=50000)
    kernel.max_dynamic_shared_size_bytes = 100_000
    kernel((1,), (1,), (np.int32(1),), shared_mem=50000)
    with pytest.raises(EmulatorError, match="options that NVRTC may not know"):
        kernels(cuda, "", "--frobnicate")("k")
    with pytest.raises(Exception, match=r"kernel\.cu:1.*nope") as error:
        kernels(cuda, 'extern "C" __global__ void k() { nope(); }')("k")
    assert type(error.value).__name__ == "CompileException"
    with pytest.raises(Exception, match="FM_SHARED or FM_DYN_SMEM"):
        kernels(cuda, 'extern "C" __global__ void k() { __shared__ float x[4]; }')("k")


def as_bfloat16(x):
    """Return (bits of bfloat16, their values in float32), rounded to nearest even."""
    bits = x.astype(np.float32).view(np.uint32)
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return bits.astype(np.uint16), (bits << 16).view(np.float32)


def texts_of(*names):
    folder = files("fastmlp.kernels.cuda")
    return "".join(folder.joinpath(f"include/{name}.cuh").read_text() for name in ("common", *names))


ROUND = r"""
extern "C" __global__ void round_numbers(const float* x, Bfloat16* stored, float* back) {
  const int i = threadIdx.x;
  stored[i] = x[i];
  const Bfloat16 kept = x[i];
  back[i] = float(kept) + 0.0f * float(stored[i]);
}
"""


def test_numbers_in_bfloat16_are_rounded_to_nearest_even(cuda, rng):
    """Ties above and below, a carry into the exponent, both zeros, the largest float."""
    ties = np.array([0x3F808000, 0x3F818000, 0x3F80FFFF, 0x3FFFFFFF, 0x80000000, 0, 0x7F7F7FFF], np.uint32)
    x = np.concatenate([ties.view(np.float32), rng.normal(size=57).astype(np.float32)])
    stored, back = cuda.zeros(64, cuda.uint16), cuda.zeros(64, cuda.float32)
    kernels(cuda, texts_of("bfloat16") + ROUND)("round_numbers")((1,), (64,), (cuda.asarray(x), stored, back))
    bits, values = as_bfloat16(x)
    np.testing.assert_array_equal(stored.get(), bits)
    np.testing.assert_array_equal(back.get(), values)
    assert stored.get()[:4].tolist() == [0x3F80, 0x3F82, 0x3F81, 0x4000]


def test_libraries_in_folders_writable_by_others_are_not_loaded(tmp_path, monkeypatch):
    folder = tmp_path / "libraries"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setattr(build, "CACHE", folder)
    build.cache_folder.cache_clear()
    build._precompiled.cache_clear()
    with pytest.raises(RuntimeError, match=r"cannot be kept in '.*libraries': others may write to"):
        build.shared_library("int f() { return 1; }")
    assert not list(folder.iterdir())
