"""cuBLAS through its C interface: handles, streams, workspaces and error messages."""

import numpy as np
import pytest


@pytest.fixture
def cublas(cuda):
    from fastmlp.kernels.cuda.runtime import cublas

    assert cublas.library() is not None
    return cublas


@pytest.mark.parametrize("missing", ["library", "module"])
def test_missing_library_falls_back_to_cupy(emulated_cuda, missing, monkeypatch):
    """CuPy's wrappers are used without a warning."""
    from fastmlp.kernels.cuda.runtime import cublas
    from fastmlp.kernels.cuda.runtime.gemm import Products

    if missing == "library":
        emulated_cuda.settings.cublas = False
    else:
        monkeypatch.setitem(__import__("sys").modules, "cuda.pathfinder", None)
    assert cublas.library() is None
    assert cublas.new_handle() is None
    assert not Products(np.dtype("float32"), "exact").take_workspace()


def test_failed_handle_creation_raises_or_returns_none(emulated_cuda, cublas):
    emulated_cuda.settings.cublas = False
    with pytest.raises(cublas.CublasError, match=r"cublasCreate_v2 answers CUBLAS_STATUS_NOT_INITIALIZED; its arg"):
        cublas.Handle()
    assert cublas.new_handle() is None


def test_failed_calls_raise_with_the_status_name(cublas, cuda):
    """A leading dimension below the number of rows, and an unknown data type."""
    x, one = cuda.ones((2, 2), np.float32), np.ones(1, np.float32)
    handle, at, a = cublas.Handle().on(0, None), one.ctypes.data, x.data.ptr
    with pytest.raises(cublas.CublasError, match="cublasSgemm_v2 answers CUBLAS_STATUS_INVALID_VALUE"):
        cublas.library().cublasSgemm_v2(handle, 0, 0, 2, 2, 2, at, a, 1, a, 2, at, a, 2)
    with pytest.raises(cublas.CublasError, match=r"cublasGemmEx answers CUBLAS_STATUS_(NOT_SUPPORTED|INVALID_VALUE)"):
        cublas.library().cublasGemmEx(handle, 0, 0, 2, 2, 2, at, a, 77, 2, a, 77, 2, at, a, 77, 2, 68, -1)


def test_released_handles_are_reused(emulated_cuda, cublas):
    """Two owners have two handles, and a third owner gets the handle of one that was deleted."""
    with emulated_cuda.counting() as n:
        first, second = cublas.Handle(), cublas.Handle()
        addresses = {first.on(0, None), second.on(0, None)}
        assert len(addresses) == 2
        del first
        assert cublas.Handle().on(0, None) in addresses
    assert n["cublas_handles"] == 2


def test_handles_belong_to_a_device(emulated_cuda, cuda, cublas):
    emulated_cuda.settings.n_devices = 2
    here = cublas.Handle()
    address = here.on(0, None)
    del here
    with cuda.cuda.Device(1):
        assert cublas.Handle().on(0, None) != address


def test_handle_is_moved_to_the_current_stream(emulated_cuda, cuda, cublas):
    """Setting a stream resets the workspace, which must be set again."""
    from cuda_emulator import libcublas

    handle, workspace = cublas.Handle(), cuda.empty(cublas.workspace_bytes(), np.uint8)
    address = handle.on(0, workspace)
    stream = cuda.cuda.Stream(non_blocking=True)
    for ptr in (stream.ptr, stream.ptr, 0):
        handle.on(ptr, workspace)
        seen = libcublas.handles[address]
        assert (seen.stream, seen.workspace) == (ptr, (workspace.data.ptr, workspace.nbytes))


@pytest.mark.parametrize("capability, megabytes", [("80", 4), ("89", 4), ("90", 32), ("100", 32), ("120", 32)])
def test_workspaces_are_as_large_as_recommended(emulated_cuda, cublas, capability, megabytes):
    emulated_cuda.settings.compute_capability = capability
    assert cublas.workspace_bytes() == megabytes * 2**20
