"""CuPy's interface in the emulator: arrays, memory, streams, cuBLAS."""

import numpy as np
import pytest
from cuda_emulator import EmulatorError

ADD = 'extern "C" __global__ void add(float* x, float by) { x[threadIdx.x] += by; }'


def test_arrays_do_not_mix_with_numpy(cuda, emulated_cuda):
    x = cuda.asarray(np.arange(6.0).reshape(2, 3))
    with pytest.raises(TypeError, match="Implicit conversion to a NumPy array is not allowed"):
        np.asarray(x)
    for operation in (lambda: x + np.ones(3), lambda: cuda.maximum(x, np.ones(3)), lambda: np.ones((2, 3)) * x):
        with pytest.raises(TypeError, match="Unsupported type"):
            operation()
    assert isinstance(x * np.float64(2), cuda.ndarray)
    assert isinstance(np.exp(x), cuda.ndarray)
    assert not isinstance(x, np.ndarray)


def test_assignment_takes_what_cupy_takes(cuda, emulated_cuda):
    x = cuda.zeros(6)
    for key in (slice(1, 3), (slice(1, 3),), Ellipsis):
        with pytest.raises(ValueError, match=r"non-scalar numpy\.ndarray cannot be used for fill"):
            x[key] = np.ones(1)
    x[1:3] = np.array(2.0)
    x[3:5] = cuda.asarray(np.array([3.0, 4.0]))
    x[cuda.asarray([0])] = np.array([1.0])
    assert x.tolist() == [1, 2, 2, 3, 4, 0]


def test_array_operations_equal_numpy(cuda, emulated_cuda):
    host = np.arange(6.0).reshape(2, 3)
    x = cuda.asarray(host)
    np.testing.assert_array_equal((2 * x - 1).T.get(), (2 * host - 1).T)
    np.testing.assert_array_equal(cuda.concatenate([x, x]).get(), np.concatenate([host, host]))
    np.testing.assert_array_equal(x.sum(axis=0).get(), host.sum(axis=0))
    np.testing.assert_array_equal(x[cuda.asarray([1, 0])].get(), host[::-1])
    assert x.sum().shape == ()
    assert float(x.max()) == 5.0
    row = x[1]
    row[...] = 7.0
    assert x.get()[1].tolist() == [7.0] * 3, "a view writes through"
    assert row.data.ptr == x.data.ptr + 24
    x += 1
    assert row.tolist() == [8.0] * 3
    assert cuda.asfortranarray(x).flags.f_contiguous
    assert cuda.ascontiguousarray(x.T).flags.c_contiguous


def test_fresh_memory_is_nan(cuda, emulated_cuda):
    assert np.isnan(cuda.empty(5).get()).all()
    assert np.isnan(cuda.empty(5, cuda.float16).get()).all()


def test_memory_is_counted_and_limited(cuda, emulated_cuda):
    pool = cuda.get_default_memory_pool()
    before = pool.used_bytes()
    x = cuda.zeros(1000)
    assert pool.used_bytes() == before + 8000
    view = x[3:5]
    del x
    assert pool.used_bytes() == before + 8000, "a view keeps the array"
    del view
    assert pool.used_bytes() == before
    emulated_cuda.settings.limit = before + 1000
    with pytest.raises(cuda.cuda.memory.OutOfMemoryError, match="Out of memory allocating 8,000 bytes"):
        cuda.zeros(1000)
    assert issubclass(cuda.cuda.memory.OutOfMemoryError, MemoryError)


def test_launches_and_transfers_are_counted(cuda, emulated_cuda):
    x = cuda.zeros(4, cuda.float32)
    kernel = cuda.RawModule(code=ADD).get_function("add")
    with emulated_cuda.counting() as n:
        for _ in range(3):
            kernel((1,), (4,), (x, np.float32(1)))
    assert n == {"launches": 3, "launches of add": 3}
    for action, expected in (
        (lambda: x.get(), {"device_to_host": 1, "synchronizations": 1}),
        (lambda: float(x[0]), {"device_to_host": 1, "synchronizations": 1}),
        (lambda: bool(x.any()), {"device_to_host": 1, "synchronizations": 1, "allocations": 1}),
        (lambda: x.set(np.ones(4, np.float32)), {"host_to_device": 1}),
        (lambda: cuda.asarray([1.0]), {"host_to_device": 1, "allocations": 1, "bytes_by_pinned_memory": 8}),
        (lambda: cuda.cuda.get_current_stream().synchronize(), {"synchronizations": 1}),
        (lambda: cuda.cuda.Device().synchronize(), {"synchronizations": 1}),
    ):
        with emulated_cuda.counting() as n:
            action()
        assert n == expected


def test_arrays_belong_to_a_device(cuda, emulated_cuda):
    emulated_cuda.settings.n_devices = 2
    here = cuda.zeros(4, cuda.float32)
    with cuda.cuda.Device(1):
        there = cuda.zeros(4, cuda.float32)
        assert (there.device.id, here.device.id) == (1, 0)
        kernel = cuda.RawModule(code=ADD).get_function("add")
        kernel((1,), (4,), (there, np.float32(1)))
        with pytest.raises(EmulatorError, match="argument 0 is an array of device 0, not 1"):
            kernel((1,), (4,), (here, np.float32(1)))
    assert cuda.cuda.Device().id == 0
    with pytest.raises(cuda.cuda.runtime.CUDARuntimeError, match="cudaErrorInvalidDevice"):
        cuda.cuda.Device(2).use()
    emulated_cuda.settings.available = False
    with pytest.raises(cuda.cuda.runtime.CUDARuntimeError, match="cudaErrorInsufficientDriver"):
        cuda.cuda.runtime.getDeviceCount()


def test_early_overwritten_buffer_is_detected(cuda, emulated_cuda):
    """With late streams, an asynchronous copy reads the buffer late, and so sees data written too early."""
    for late, expected in (("", [0.0, 0.0]), ("all", [1.0, 1.0])):
        emulated_cuda.settings.late = late
        stream, buffer, x = cuda.cuda.Stream(non_blocking=True), np.zeros(2), cuda.full(2, 9.0)
        x.set(buffer, stream)
        buffer[:] = 1.0
        stream.synchronize()
        assert x.tolist() == expected


@pytest.mark.parametrize("waits", [True, False])
def test_missing_wait_between_streams_is_detected(waits, cuda, emulated_cuda):
    emulated_cuda.settings.late = "all"
    first, second = (cuda.cuda.Stream(non_blocking=True) for _ in range(2))
    kernel = cuda.RawModule(code=ADD).get_function("add")
    x, seen = cuda.zeros(4, cuda.float32), np.empty(4, np.float32)
    with first:
        kernel((1,), (4,), (x, np.float32(1)))
        done = first.record()
    if waits:
        second.wait_event(done)
    x.get(stream=second, out=seen, blocking=False)
    second.synchronize()
    assert (seen == 1.0).all() == waits
    first.synchronize()
    assert x.tolist() == [1.0] * 4


@pytest.mark.parametrize("waits", [True, False])
def test_copy_that_overtakes_kernels_is_detected(waits, cuda, emulated_cuda):
    """A device buffer that is refilled before kernels on the null stream have read it gives wrong results."""
    emulated_cuda.settings.late = "null"
    copies, x = cuda.cuda.Stream(non_blocking=True), cuda.zeros(4, cuda.float32)
    cuda.RawModule(code=ADD).get_function("add")((1,), (4,), (x, np.float32(1)))
    if waits:
        copies.wait_event(cuda.cuda.get_current_stream().record())
    x.set(np.full(4, 7.0, np.float32), copies)
    assert x.tolist() == [7.0 if waits else 8.0] * 4


def test_null_stream_waits_for_blocking_streams(cuda, emulated_cuda):
    emulated_cuda.settings.late = "all"
    stream, x = cuda.cuda.Stream(), cuda.zeros(4, cuda.float32)
    with stream:
        cuda.RawModule(code=ADD).get_function("add")((1,), (4,), (x, np.float32(1)))
    assert x.tolist() == [1.0] * 4


def test_captured_kernels_run_at_graph_launch(cuda, emulated_cuda):
    kernel, x = cuda.RawModule(code=ADD).get_function("add"), cuda.zeros(4, cuda.float32)
    stream = cuda.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        kernel((1,), (4,), (x, np.float32(1)))
        graph = stream.end_capture()
        assert x.tolist() == [0.0] * 4
        for _ in range(3):
            graph.launch()
        assert x.tolist() == [3.0] * 4


REFUSED = {
    "synchronize": lambda cuda, x: cuda.cuda.get_current_stream().synchronize(),
    "device": lambda cuda, x: cuda.cuda.Device().synchronize(),
    "allocation": lambda cuda, x: cuda.empty(3),
    "pageable in": lambda cuda, x: x.set(np.zeros(4, np.float32), cuda.cuda.get_current_stream()),
    "pageable out": lambda cuda, x: x.get(blocking=False, out=np.zeros(4, np.float32)),
    "number": lambda cuda, x: float(x[0]),
    "sum": lambda cuda, x: x.sum(),
}


@pytest.mark.parametrize("action", REFUSED.values(), ids=REFUSED)
def test_capture_refuses_forbidden_operations(action, cuda, emulated_cuda):
    """A forbidden operation raises an error, and the capture is invalid from then on."""
    x, stream = cuda.zeros(4, cuda.float32), cuda.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        with pytest.raises(EmulatorError, match="while the stream is captured"):
            action(cuda, x)
        with pytest.raises(EmulatorError, match="cudaErrorStreamCaptureInvalidated"):
            stream.end_capture()
        assert not stream.is_capturing()
        action(cuda, x)
    with pytest.raises(EmulatorError, match="the null stream cannot be captured"):
        cuda.cuda.Stream.null.begin_capture()


def test_pinned_memory_may_be_copied_in_capture(cuda, emulated_cuda):
    """A captured copy reads pinned memory when the graph runs."""
    host = np.frombuffer(cuda.cuda.alloc_pinned_memory(16), np.float32, 4)
    host[:] = 0.0
    x, stream = cuda.ones(4, cuda.float32), cuda.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        x.set(host, stream)
        graph = stream.end_capture()
        host[:] = 5.0
        graph.launch()
    assert x.tolist() == [5.0] * 4


def test_graph_does_not_keep_arrays_alive(cuda, emulated_cuda):
    kernel, x = cuda.RawModule(code=ADD).get_function("add"), cuda.zeros(4, cuda.float32)
    stream = cuda.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        kernel((1,), (4,), (x, np.float32(1)))
        graph = stream.end_capture()
        del x
        with pytest.raises(EmulatorError, match=r"add, replayed: argument 0: .* is no address of live device memory"):
            graph.launch()


def recorded_product(cuda, workspace):
    """Return (graph, A, C) of the captured product C = A A, by the C interface of cuBLAS."""
    from fastmlp.kernels.cuda.runtime.cublas import Handle, library

    a, c = cuda.full((2, 2), 2, np.float32), cuda.zeros((2, 2), np.float32)
    one, zero, handle, stream = pointer(1, "float32"), pointer(0, "float32"), Handle(), cuda.cuda.Stream()
    with stream:
        stream.begin_capture()
        try:
            address = handle.on(stream.ptr, workspace)
            library().cublasSgemm_v2(address, 0, 0, 2, 2, 2, one, a.data.ptr, 2, a.data.ptr, 2, zero, c.data.ptr, 2)
        finally:
            graph = stream.end_capture()
    return graph, a, c


def test_recorded_products_read_memory_at_replay(cuda, emulated_cuda):
    workspace = cuda.empty(2**25, np.uint8)
    graph, a, c = recorded_product(cuda, workspace)
    assert c.tolist() == [[0, 0], [0, 0]]
    for value in (1.0, 3.0):
        a[...] = value
        graph.launch()
        assert c.tolist() == [[2 * value**2] * 2] * 2
    del workspace
    with pytest.raises(EmulatorError, match=r"the workspace of a product: .* is no address of live device memory"):
        graph.launch()


def test_cublas_needs_a_workspace_in_capture(cuda, emulated_cuda):
    from cuda_emulator import libcublas

    from fastmlp.kernels.cuda.runtime.cublas import CublasError

    with pytest.raises(CublasError, match="INTERNAL_ERROR"):
        recorded_product(cuda, None)
    with pytest.raises(EmulatorError, match="allocates memory while the stream is captured: it has no workspace"):
        libcublas.check_faults()


def test_copies_from_pinned_memory_are_checked(cuda, emulated_cuda):
    memory = cuda.cuda.alloc_pinned_memory(32)
    host = np.frombuffer(memory, np.float64, 4)
    host[:] = 5.0
    x = cuda.empty(4)
    runtime = cuda.cuda.runtime
    runtime.memcpyAsync(x.data.ptr, host.ctypes.data, 32, runtime.memcpyHostToDevice, 0)
    assert x.tolist() == [5.0] * 4
    with pytest.raises(EmulatorError, match="reaches 8 bytes past an array of 32 bytes"):
        runtime.memcpyAsync(x.data.ptr, host.ctypes.data, 40, runtime.memcpyHostToDevice, 0)


def pointer(number, dtype, keep=[]):  # noqa: B006
    keep.append(np.array([number], dtype))
    return keep[-1].ctypes.data


@pytest.mark.parametrize("dtype, gemm", [("float32", "sgemm"), ("float64", "dgemm")])
@pytest.mark.parametrize("ta", [0, 1])
@pytest.mark.parametrize("tb", [0, 1])
@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_gemm_equals_numpy(dtype, gemm, ta, tb, beta, cuda, emulated_cuda, rng):
    """C = 2 op(A) op(B) + beta C for column-major matrices; C is not read if beta is 0."""
    from cupy_backends.cuda.libs import cublas

    m, n, k = 3, 5, 4
    A, B, C = (rng.normal(size=shape).astype(dtype) for shape in ((m, k), (k, n), (m, n)))
    columns = lambda x, transposed: cuda.asarray(np.ascontiguousarray(x if transposed else x.T))
    a, b, c = columns(A, ta), columns(B, tb), columns(C, 0) if beta else cuda.empty((n, m), dtype)
    alpha, beta_at = pointer(2.0, dtype), pointer(beta, dtype)
    leading = k if ta else m, n if tb else k
    handle = cuda.cuda.device.get_cublas_handle()
    arguments = (handle, ta, tb, m, n, k, alpha, a.data.ptr, leading[0], b.data.ptr, leading[1], beta_at, c.data.ptr)
    with emulated_cuda.counting() as count:
        getattr(cublas, gemm)(*arguments, m)
    assert count == {"products": 1}
    np.testing.assert_allclose(c.get().T, 2 * A @ B + beta * C, rtol=1e-5)
    with pytest.raises(EmulatorError, match="matrix C: reaches"):
        getattr(cublas, gemm)(*arguments, m + 1)
    with pytest.raises(cublas.CUBLASError, match="leading dimension"):
        getattr(cublas, gemm)(*arguments, m - 1)


def test_batched_gemm_equals_numpy(cuda, emulated_cuda, rng):
    """A batch of three products shares its second matrix by a stride of 0."""
    from cupy_backends.cuda.libs import cublas

    A, B = rng.normal(size=(3, 4, 2)), rng.normal(size=(5, 4))
    a, b, c = cuda.asarray(A), cuda.asarray(B), cuda.empty((3, 5, 2))
    one, zero = pointer(1.0, "float64"), pointer(0.0, "float64")
    cublas.dgemmStridedBatched(1, 0, 0, 2, 5, 4, one, a.data.ptr, 2, 8, b.data.ptr, 4, 0, zero, c.data.ptr, 2, 10, 3)
    np.testing.assert_allclose(c.get(), B @ A, rtol=1e-12)
    with pytest.raises(EmulatorError, match="matrices C of a batch overlap"):
        cublas.dgemmStridedBatched(1, 0, 0, 2, 5, 4, one, a.data.ptr, 2, 8, b.data.ptr, 4, 0, zero, c.data.ptr, 2, 5, 3)


def test_half_precision_gemm_equals_numpy(cuda, emulated_cuda, rng):
    from cupy_backends.cuda.libs import cublas

    runtime = cuda.cuda.runtime
    A, B = rng.normal(size=(4, 3)).astype(np.float16), rng.normal(size=(5, 4)).astype(np.float16)
    a, b, c = cuda.asarray(A), cuda.asarray(B), cuda.empty((5, 3), cuda.float32)
    one, zero, half = pointer(1.0, "float32"), pointer(0.0, "float32"), runtime.CUDA_R_16F
    cublas.gemmEx(
        1,
        0,
        0,
        3,
        5,
        4,
        one,
        a.data.ptr,
        half,
        3,
        b.data.ptr,
        half,
        4,
        zero,
        c.data.ptr,
        runtime.CUDA_R_32F,
        3,
        cublas.CUBLAS_COMPUTE_32F,
        cublas.CUBLAS_GEMM_DEFAULT,
    )
    np.testing.assert_allclose(c.get(), B.astype(float) @ A.astype(float), rtol=1e-5, atol=1e-6)


def gemm_ex(cuda, A, B, C, kinds, compute, mode=16):
    """C = A B, column-major, by gemmEx, whose operands have these types."""
    from cupy_backends.cuda.libs import cublas

    one, zero, (a_kind, b_kind, c_kind) = pointer(1.0, "float32"), pointer(0.0, "float32"), kinds
    (n, k), m = B.shape, A.shape[1]
    a, b, c = (array.data.ptr for array in (A, B, C))
    cublas.setMathMode(1, mode)
    try:
        cublas.gemmEx(1, 0, 0, m, n, k, one, a, a_kind, m, b, b_kind, k, zero, c, c_kind, m, compute, -1)
    finally:
        cublas.setMathMode(1, 0)


@pytest.mark.parametrize("result", ["bfloat16", "float32"])
def test_bfloat16_gemm_is_rounded_once(cuda, emulated_cuda, result, rng):
    """Operands are read as they are, sums are float32, and a result in bfloat16 is rounded to nearest even."""
    A, B = (
        (rng.normal(size=shape).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        for shape in ((4, 3), (5, 4))
    )
    values = lambda bits: (bits.astype(np.uint32) << 16).view(np.float32)
    kind = cuda.cuda.runtime.CUDA_R_16BF
    c_kind, dtype = (kind, cuda.uint16) if result == "bfloat16" else (cuda.cuda.runtime.CUDA_R_32F, cuda.float32)
    C = cuda.empty((5, 3), dtype)
    gemm_ex(cuda, cuda.asarray(A), cuda.asarray(B), C, (kind, kind, c_kind), 68)
    expected = values(B).astype(float) @ values(A).astype(float)
    if result == "float32":
        np.testing.assert_allclose(C.get(), expected, rtol=1e-5, atol=1e-6)
        return
    found = values(C.get())
    spacing = 2.0 ** (np.floor(np.log2(np.abs(expected))) - 7)
    assert (np.abs(found - expected) <= 0.501 * spacing).all()
    assert (np.abs(found - expected) > 0.01 * spacing).any(), "it is rounded"


@pytest.mark.parametrize("kinds, compute", [((14, 14, 14), 77), ((14, 0, 0), 68), ((14, 14, 2), 68), ((0, 0, 14), 68)])
def test_products_that_cublas_lacks_are_refused(cuda, emulated_cuda, kinds, compute):
    """bfloat16 (14) with TF32 (77), with float32 (0) as the other operand, with a result in float16 (2), ..."""
    from cupy_backends.cuda.libs import cublas

    sizes = {0: cuda.float32, 2: cuda.float16, 14: cuda.uint16}
    A, B, C = (cuda.zeros((2, 2), sizes[kind]) for kind in kinds)
    with pytest.raises(cublas.CUBLASError, match="CUBLAS_STATUS_NOT_SUPPORTED"):
        gemm_ex(cuda, A, B, C, kinds, compute)


def test_products_whose_sums_may_be_in_bfloat16_are_refused(cuda, emulated_cuda):
    A, C = cuda.zeros((2, 2), cuda.uint16), cuda.zeros((2, 2), cuda.uint16)
    with pytest.raises(EmulatorError, match="added in bfloat16 in this math mode"):
        gemm_ex(cuda, A, A, C, (14, 14, 14), 68, mode=0)


def test_freed_memory_is_refused(cuda, emulated_cuda):
    """The address of a freed array is refused."""
    x = cuda.zeros(4, cuda.float32)
    address = np.uint64(x.data.ptr)
    kernel = cuda.RawModule(code=ADD).get_function("add")
    kernel((1,), (4,), (address, np.float32(1)))
    del x
    with pytest.raises(EmulatorError, match=r"no address of live device memory|outside of arrays"):
        kernel((1,), (4,), (address, np.float32(1)))
