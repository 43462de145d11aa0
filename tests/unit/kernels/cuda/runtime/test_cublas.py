"""cuBLAS through its C interface: handles, streams, workspaces and error messages."""

import numpy as np
import pytest


@pytest.fixture
def cublas(cuda):
    from fastmlp.kernels.cuda.runtime import cublas

    assert cublas.library() is not None
    return cublas


def test_failed_calls_raise_with_the_status_name(cublas, cuda):
    """A leading dimension below the number of rows, and an unknown data type."""
    x, one = cuda.ones((2, 2), np.float32), np.ones(1, np.float32)
    handle, at, a = cublas.Handle().on(0, None), one.ctypes.data, x.data.ptr
    with pytest.raises(cublas.CublasError, match="cublasSgemm_v2 answers CUBLAS_STATUS_INVALID_VALUE"):
        cublas.library().cublasSgemm_v2(handle, 0, 0, 2, 2, 2, at, a, 1, a, 2, at, a, 2)
    with pytest.raises(cublas.CublasError, match=r"cublasGemmEx answers CUBLAS_STATUS_(NOT_SUPPORTED|INVALID_VALUE)"):
        cublas.library().cublasGemmEx(handle, 0, 0, 2, 2, 2, at, a, 77, 2, a, 77, 2, at, a, 77, 2, 68, -1)


def test_without_a_handle_cupys_wrappers_are_used(emulated_cuda, cublas):
    emulated_cuda.settings.cublas = False
    with pytest.raises(cublas.CublasError, match=r"cublasCreate_v2 answers CUBLAS_STATUS_NOT_INITIALIZED; its arg"):
        cublas.Handle()
    assert cublas.new_handle() is None


def test_released_handles_are_reused_on_their_device(emulated_cuda, cuda, cublas):
    emulated_cuda.settings.n_devices = 2
    first, second = cublas.Handle(), cublas.Handle()
    addresses = {first.on(0, None), second.on(0, None)}
    assert len(addresses) == 2
    del first
    with cuda.cuda.Device(1):
        assert cublas.Handle().on(0, None) not in addresses
    assert cublas.Handle().on(0, None) in addresses


def test_handle_is_moved_to_the_current_stream(emulated_cuda, cuda, cublas):
    """Setting a stream resets the workspace, which must be set again; its size is the one that NVIDIA recommends."""
    from cuda_emulator import libcublas

    handle, stream = cublas.Handle(), cuda.cuda.Stream(non_blocking=True)
    workspace = cuda.empty(cublas.workspace_bytes(), np.uint8)
    for ptr in (0, stream.ptr, stream.ptr, 0):
        seen = libcublas.handles[handle.on(ptr, workspace)]
        assert (seen.stream, seen.workspace) == (ptr, (workspace.data.ptr, workspace.nbytes))
    for capability, megabytes in (("80", 4), ("89", 4), ("90", 32), ("120", 32)):
        emulated_cuda.settings.compute_capability = capability
        assert cublas.workspace_bytes() == megabytes * 2**20
