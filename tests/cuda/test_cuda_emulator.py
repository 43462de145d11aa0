"""CUDA emulator: it reports mistakes in kernels, launches and streams, and otherwise behaves like CuPy."""

import numpy as np
import pytest
from cuda_emulator import EmulatorError, asan, build

ORDERS = (0, 1, 2, 3)
by_gpp = pytest.mark.usefixtures("compiled_by_gpp")
ADD = 'extern "C" __global__ void add(float* x, float by) { x[threadIdx.x] += by; }'


def kernels(cupy, code, *options):
    return cupy.RawModule(code=code, options=options).get_function


@pytest.fixture
def add(cuda, emulated_cuda):
    """add(x): adds 1 to each of the four numbers."""
    kernel = kernels(cuda, ADD)("add")
    return lambda x: kernel((1,), (4,), (x, np.float32(1)))


# ---- kernels

KERNELS = r"""
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
extern "C" __global__ void shuffles(int* y) {
  const int l = threadIdx.x % 32, i = threadIdx.x, n = blockDim.x;
  y[0 * n + i] = __shfl_sync(0xffffffffu, l, 3, 8);
  y[1 * n + i] = __shfl_down_sync(0xffffffffu, l, 2, 16);
  y[2 * n + i] = __shfl_xor_sync(0xffffffffu, l, 5);
  y[3 * n + i] = l < 16 ? __shfl_xor_sync(0x0000ffffu, l, 15) : 0;
  y[4 * n + i] = atomicAdd(y + 5 * n, 1);
}
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
extern "C" __global__ void declares_some(float* y) {
  FM_SHARED(float, part, [300]);
  part[threadIdx.x] = 1.0f;
  y[threadIdx.x] = part[threadIdx.x];
}
extern "C" __global__ void typed(const float* x, int n, long long m, double a, unsigned int u, const double* other) {}
"""


@by_gpp
@pytest.mark.parametrize("forgets", [False, True])
def test_a_missing_barrier_gives_wrong_sums_in_some_order_of_threads(cuda, emulated_cuda, forgets):
    x, correct = np.arange(512, dtype=np.float32), []
    kernel = kernels(cuda, KERNELS, *["-DFORGET_BARRIER"] * forgets)("total")
    for order in ORDERS:
        emulated_cuda.settings.order = order
        out = cuda.empty(4, cuda.float32)
        kernel((4,), (128,), (cuda.asarray(x), out))
        correct.append(np.array_equal(out.get(), x.reshape(4, 128).sum(axis=1)))
    assert all(correct) == (not forgets)


@by_gpp
@pytest.mark.parametrize("order", ORDERS)
def test_warp_collectives_equal_numpy(order, cuda, emulated_cuda):
    emulated_cuda.settings.order = order
    y = cuda.zeros((6, 64), cuda.int32)
    kernels(cuda, KERNELS)("shuffles")((1,), (64,), (y,))
    lane, found = np.arange(64) % 32, y.get()
    expected = [
        lane // 8 * 8 + 3,
        np.where(lane % 16 < 14, lane + 2, lane),
        lane ^ 5,
        np.where(lane < 16, lane ^ 15, 0),
    ]
    np.testing.assert_array_equal(found[:4], expected)
    assert sorted(found[4]) == [*range(64)]


@by_gpp
@pytest.mark.parametrize(
    "kernel, message",
    [
        ("diverges", r"barrier divergence.*kernel\.cu:24.*kernel\.cu:27"),
        ("misses_a_lane", r"deadlock: thread \d+ waits for ever at kernel\.cu:31 \(block 0, 0, 0\)"),
        ("names_others", "a lane is not in the mask of its own collective"),
        ("overruns_shared", "a write past the end of the shared array part"),
        ("overruns_dynamic", "a write past the end of dynamic shared memory"),
        ("overruns_array", "a kernel wrote next to an array of 128 bytes"),
        ("shares_too_much", "more than 48 KiB of static shared memory"),
        ("reads_misaligned", "misaligned access at a vector"),
    ],
)
def test_faults_of_kernels_are_reported(kernel, message, cuda, emulated_cuda):
    for order in ORDERS:
        emulated_cuda.settings.order = order
        y = cuda.zeros(32, cuda.float32)
        with pytest.raises(EmulatorError, match=message):
            kernels(cuda, KERNELS)(kernel)((1,), (32,), (y,), shared_mem=128)


@by_gpp
@pytest.mark.usefixtures("with_asan")
@pytest.mark.full
@pytest.mark.parametrize(
    "body, fault",
    [
        ("y[i] = x[i + 1];", "heap-buffer-overflow"),
        ("FM_SHARED(float, s, [32]); s[i] = 1.0f; __syncthreads(); y[i] = s[i + 1];", "heap-buffer-overflow"),
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
    assert (done.stdout.strip() == "no fault") == (fault is None), done.stderr
    assert (fault or "") in done.stderr


@by_gpp
@pytest.mark.parametrize(
    "place, value, message",
    [
        (0, lambda cupy: cupy.zeros(4), "argument 0 is an array of float64, the kernel takes pf4"),
        (0, lambda cupy: cupy.zeros((4, 4), cupy.float32)[:, :2], "has strides"),
        (0, lambda cupy: np.zeros(4, np.float32), "argument 0 is a ndarray; pass device arrays"),
        (1, lambda cupy: 3, "argument 1 is a int; pass device arrays and NumPy scalars"),
        (2, lambda cupy: np.int32(3), "argument 2 is a int32, the kernel takes i8"),
        (4, lambda cupy: np.int32(3), "argument 4 is a int32, the kernel takes u4"),
        (5, lambda cupy: np.uint64(12345), "no address of live device memory"),
    ],
)
def test_kernel_arguments_are_checked(place, value, message, cuda, emulated_cuda):
    correct = [cuda.zeros(4, cuda.float32), np.int32(1), np.int64(2), np.float64(3), np.uint32(4), None]
    kernel = kernels(cuda, KERNELS)("typed")
    kernel((1,), (1,), (*correct[:5], np.uint64(correct[0].data.ptr)))
    with pytest.raises(EmulatorError, match=message):
        kernel((1,), (1,), (*correct[:place], value(cuda), *correct[place + 1 :]))
    with pytest.raises(EmulatorError, match="typed takes 6 arguments, got 5"):
        kernel((1,), (1,), tuple(correct[:5]))


@by_gpp
def test_launches_are_checked(cuda, emulated_cuda):
    kernel, y, most = kernels(cuda, KERNELS)("declares_some"), cuda.zeros(32, cuda.float32), 48 * 1024
    with pytest.raises(TypeError, match="must be tuples"):
        kernel(1, (32,), (y,))
    for grid, block in (((1,), (1025,)), ((1, 70000), (1,)), ((1,), (32, 64))):
        with pytest.raises(RuntimeError, match="CUDA_ERROR_INVALID_VALUE"):
            kernel(grid, block, (y,))
    with pytest.raises(RuntimeError, match="50000 bytes of shared memory"):
        kernel((1,), (1,), (y,), shared_mem=50000)
    kernel((1,), (32,), (y,), shared_mem=most - 1200)  # static and dynamic shared memory have one limit
    with pytest.raises(EmulatorError, match="more shared memory, static and dynamic, than the kernel may have"):
        kernel((1,), (32,), (y,), shared_mem=most - 1196)
    kernel.max_dynamic_shared_size_bytes = most - 1196
    kernel((1,), (32,), (y,), shared_mem=most - 1196)
    assert y.get().sum() == 32
    with pytest.raises(EmulatorError, match="options that NVRTC may not know"):
        kernels(cuda, "", "--frobnicate")("k")
    with pytest.raises(Exception, match=r"kernel\.cu:1.*nope"):
        kernels(cuda, 'extern "C" __global__ void k() { nope(); }')("k")
    with pytest.raises(Exception, match="FM_SHARED or FM_DYN_SMEM"):
        kernels(cuda, 'extern "C" __global__ void k() { __shared__ float x[4]; }')("k")


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


# ---- arrays and memory


def test_arrays_are_those_of_cupy(cuda, emulated_cuda):
    """They compute as NumPy's, and do not mix with them."""
    host = np.arange(6.0).reshape(2, 3)
    x = cuda.asarray(host)
    with pytest.raises(TypeError, match="Implicit conversion to a NumPy array is not allowed"):
        np.asarray(x)
    for operation in (lambda: x + np.ones(3), lambda: cuda.maximum(x, np.ones(3)), lambda: np.ones((2, 3)) * x):
        with pytest.raises(TypeError, match="Unsupported type"):
            operation()
    np.testing.assert_array_equal((2 * x - 1).T.get(), (2 * host - 1).T)
    np.testing.assert_array_equal(x[cuda.asarray([1, 0])].get(), host[::-1])
    assert float(x.max()) == 5.0
    row = x[1]
    with pytest.raises(ValueError, match=r"non-scalar numpy\.ndarray cannot be used for fill"):
        row[:] = np.ones(3)
    row[...] = 7.0
    assert x.get()[1].tolist() == [7.0] * 3, "a view writes through"
    assert np.isnan(cuda.empty(5).get()).all(), "fresh memory is NaN"


def test_memory_is_counted_and_limited(cuda, add, emulated_cuda):
    pool = cuda.get_default_memory_pool()
    before = pool.used_bytes()
    x = cuda.zeros(2000, cuda.float32)
    view, address = x[3:5], np.uint64(x.data.ptr)
    add(address)
    del x
    assert pool.used_bytes() == before + 8000, "a view keeps the array"
    del view
    assert pool.used_bytes() == before
    with pytest.raises(EmulatorError, match=r"no address of live device memory|outside of arrays"):
        add(address)
    emulated_cuda.settings.limit = before + 1000
    with pytest.raises(cuda.cuda.memory.OutOfMemoryError, match="Out of memory allocating 8,000 bytes"):
        cuda.zeros(1000)


def test_launches_and_transfers_are_counted(cuda, add, emulated_cuda):
    x = cuda.zeros(4, cuda.float32)
    for action, expected in (
        (lambda: add(x), {"launches": 1, "launches of add": 1}),
        (lambda: x.get(), {"device_to_host": 1, "synchronizations": 1}),
        (lambda: float(x[0]), {"device_to_host": 1, "synchronizations": 1}),
        (lambda: x.set(np.ones(4, np.float32)), {"host_to_device": 1}),
        (lambda: cuda.asarray([1.0]), {"host_to_device": 1, "allocations": 1, "bytes_by_pinned_memory": 8}),
        (lambda: cuda.cuda.get_current_stream().synchronize(), {"synchronizations": 1}),
    ):
        with emulated_cuda.counting() as n:
            action()
        assert n == expected


def test_arrays_belong_to_a_device(cuda, add, emulated_cuda):
    emulated_cuda.settings.n_devices = 2
    here = cuda.zeros(4, cuda.float32)
    with cuda.cuda.Device(1):
        there = cuda.zeros(4, cuda.float32)
        assert (there.device.id, here.device.id) == (1, 0)
        with pytest.raises(EmulatorError, match="argument 0 is an array of device 0, not 1"):
            add(here)
    with pytest.raises(cuda.cuda.runtime.CUDARuntimeError, match="cudaErrorInvalidDevice"):
        cuda.cuda.Device(2).use()


# ---- streams and graphs


@pytest.mark.parametrize("waits", [True, False])
def test_streams_that_do_not_wait_are_detected(waits, cuda, add, emulated_cuda):
    """For a kernel on another stream; for an asynchronous copy, whose buffer is refilled; and for kernels of the null
    stream, whose array a copy overtakes.
    """
    emulated_cuda.settings.late = "all"
    first, second = (cuda.cuda.Stream(non_blocking=True) for _ in range(2))
    x, seen = cuda.zeros(4, cuda.float32), np.empty(4, np.float32)
    with first:
        add(x)
        done = first.record()
    if waits:
        second.wait_event(done)
    x.get(stream=second, out=seen, blocking=False)
    second.synchronize()
    assert (seen == 1.0).all() == waits
    first.synchronize()
    buffer = np.zeros(4, np.float32)
    x.set(buffer, first)
    if waits:
        first.synchronize()
    buffer[:] = 5.0
    first.synchronize()
    assert x.tolist() == [0.0 if waits else 5.0] * 4
    emulated_cuda.settings.late = "null"
    x = cuda.zeros(4, cuda.float32)
    add(x)
    if waits:
        first.wait_event(cuda.cuda.get_current_stream().record())
    x.set(np.full(4, 7.0, np.float32), first)
    assert x.tolist() == [7.0 if waits else 8.0] * 4


@pytest.fixture
def captured(cuda, emulated_cuda):
    """captured(action): the graph of an action."""

    def capture(action):
        stream = cuda.cuda.Stream(non_blocking=True)
        with stream:
            stream.begin_capture()
            try:
                action()
            finally:
                graph = stream.end_capture()
        return graph

    return capture


def test_graphs_read_memory_when_they_run(cuda, add, captured):
    """A copy reads pinned memory; arrays are not kept alive."""
    host, x = np.frombuffer(cuda.cuda.alloc_pinned_memory(16), np.float32, 4), cuda.ones(4, cuda.float32)
    graph = captured(lambda: (x.set(host, cuda.cuda.get_current_stream()), add(x)))
    assert x.tolist() == [1.0] * 4
    host[:] = 5.0
    graph.launch()
    assert x.tolist() == [6.0] * 4
    held = [cuda.zeros(4, cuda.float32)]
    graph = captured(lambda: add(held[0]))
    held.clear()
    with pytest.raises(EmulatorError, match=r"add, replayed: argument 0: .* is no address of live device memory"):
        graph.launch()
    with pytest.raises(EmulatorError, match="the null stream cannot be captured"):
        cuda.cuda.Stream.null.begin_capture()


REFUSED = {
    "synchronize": lambda cuda, x: cuda.cuda.get_current_stream().synchronize(),
    "allocation": lambda cuda, x: cuda.empty(3),
    "pageable in": lambda cuda, x: x.set(np.zeros(4, np.float32), cuda.cuda.get_current_stream()),
    "pageable out": lambda cuda, x: x.get(blocking=False, out=np.zeros(4, np.float32)),
    "number": lambda cuda, x: float(x[0]),
}


@pytest.mark.parametrize("action", REFUSED.values(), ids=REFUSED)
def test_capture_refuses_forbidden_operations(action, cuda, captured):
    x = cuda.zeros(4, cuda.float32)
    with pytest.raises(EmulatorError, match="cudaErrorStreamCaptureInvalidated") as caught:
        captured(lambda: action(cuda, x))
    assert "while the stream is captured" in str(caught.value.__context__)
    action(cuda, x)


# ---- cuBLAS


@pytest.fixture
def square(cuda, emulated_cuda):
    """square(A, C, ...): C = A @ A for matrices 2 x 2, on the current stream."""
    from fastmlp.kernels.cuda.runtime.gemm import FLOAT32_SUMS, Products, library

    one, zero = (np.array([number], np.float32) for number in (1, 0))

    def multiply(A, C, kinds=(0, 0, 0), compute=68, mode=FLOAT32_SUMS, m=2, workspace=None):
        products = Products(np.dtype(np.float32), "exact")
        products._workspace = workspace
        handle = products._bound_handle()
        library().cublasSetMathMode(handle, mode)
        a, b, c = ((array.data.ptr, kind, 2) for array, kind in zip((A, A, C), kinds, strict=True))
        try:
            library().cublasGemmEx(handle, 0, 0, m, 2, 2, one.ctypes.data, *a, *b, zero.ctypes.data, *c, compute, -1)
        finally:
            library().cublasSetMathMode(handle, FLOAT32_SUMS)

    return multiply


def test_recorded_products_need_a_workspace(cuda, captured, square):
    from cuda_emulator import cublas

    from fastmlp.kernels.cuda.runtime.gemm import CublasError

    a, c, held = cuda.full((2, 2), 2, np.float32), cuda.zeros((2, 2), np.float32), [cuda.empty(2**25, np.uint8)]
    graph = captured(lambda: square(a, c, workspace=held[0]))
    graph.launch()
    assert c.tolist() == [[8, 8], [8, 8]]
    held.clear()
    with pytest.raises(EmulatorError, match=r"the workspace of a product: .* is no address of live device memory"):
        graph.launch()
    with pytest.raises(CublasError, match="INTERNAL_ERROR"):
        captured(lambda: square(a, c))
    with pytest.raises(EmulatorError, match="allocates memory while the stream is captured: it has no workspace"):
        cublas.check_faults()


@pytest.mark.parametrize(
    "kinds, compute, mode, message, fault",
    [
        ((14, 14, 14), 77, 16, "CUBLAS_STATUS_NOT_SUPPORTED", ""),  # bfloat16 (14) with TF32 (77)
        ((14, 0, 0), 68, 16, "CUBLAS_STATUS_NOT_SUPPORTED", ""),  # with float32 (0) as the other operand
        ((77, 77, 77), 68, 16, "CUBLAS_STATUS_NOT_SUPPORTED", ""),
        ((14, 14, 14), 68, 0, "INTERNAL_ERROR", "added in bfloat16 in this math mode"),
        ((0, 0, 0), 68, 0, "INVALID_VALUE", ""),  # of a matrix that is too small
    ],
)
def test_products_that_cublas_lacks_are_refused(cuda, square, kinds, compute, mode, message, fault):
    from cuda_emulator import cublas

    from fastmlp.kernels.cuda.runtime.gemm import CublasError

    A, C = cuda.zeros((2, 2), cuda.uint16 if kinds[0] == 14 else cuda.float32), cuda.zeros((2, 2), cuda.float32)
    with pytest.raises(CublasError, match=f"cublasGemmEx answers .*{message}"):
        square(A, C, kinds, compute, mode, m=2 + (kinds == (0, 0, 0)))
    if fault:
        with pytest.raises(EmulatorError, match=fault):
            cublas.check_faults()
