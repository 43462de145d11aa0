"""The devices of this machine: its CPU, and each GPU that CuPy and the driver find, or why it cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

from ..errors import counted, install_command

INSTALL = install_command("cuda13", "cuda12 for drivers older than 580")
NO_DEVICE = 100  # cudaErrorNoDevice: drivers report it, not a count of 0, if there is no GPU or all GPUs are hidden


class DeviceInfo(NamedTuple):
    """Row of `fastmlp.devices()`: one device, and whether it is available.

    Parameters
    ----------
    name : str
        "cpu", "cuda", "cuda:1" and so on.
    available : bool
        Whether nets can be trained on it.
    description : str
        Processor or card, with its threads and vectors, or its memory and driver.
    reason : str
        Why the device is not available; empty if it is.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.devices()[0].available
    True
    """

    name: str
    available: bool
    description: str
    reason: str  # why the device is not available; empty if it is


def find_cpu() -> tuple[tuple[Callable[[], DeviceInfo], ...], str]:
    return (_describe_cpu,), ""


def _describe_cpu() -> DeviceInfo:
    import platform

    from llvmlite import binding

    from .thread_count import n_threads_available  # here: `import fastmlp` imports this module

    features, threads = binding.get_host_cpu_features(), counted(n_threads_available(), "thread")
    sets = (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("neon", "NEON"), ("sse2", "SSE2"))
    vectors = next((text for key, text in sets if features.get(key)), "scalar")
    return DeviceInfo("cpu", True, f"{platform.machine()} {microarchitecture()}, {threads}, {vectors}", "")


def microarchitecture() -> str:
    """Return the microarchitecture of this machine's processor by LLVM's name, such as "znver4"."""
    from llvmlite import binding

    return str(binding.get_host_cpu_name())


@lru_cache(maxsize=1)
def find_cuda() -> tuple[tuple[Callable[[], DeviceInfo], ...], str]:
    """Return (a function per GPU that returns its row, the reason why there is no GPU).

    CuPy and the driver are queried once per process, and each GPU once, when its row is needed: devices do not appear
    while a process runs, and querying a GPU takes memory on the GPU.
    """
    from ..kernels.system import interrupts  # here: `import fastmlp` imports this module

    try:
        with interrupts.deferred():  # an interrupt would leave CuPy half imported
            import cupy

        runtime = cupy.cuda.runtime
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            return (), f"CuPy is not installed; install it with {INSTALL}"
        return (), f"CuPy cannot be imported ({_first_line(error)}); install a version that fits with {INSTALL}"
    try:
        count = runtime.getDeviceCount()
    except Exception as error:
        if getattr(error, "status", None) != NO_DEVICE:
            remedy = f"install or update the driver, or install the CuPy that fits it: {INSTALL}"
            return (), f"CuPy {cupy.__version__} finds no usable NVIDIA driver ({_first_line(error)}); {remedy}"
        count = 0
    if not count:
        return (
            (),
            f"CuPy {cupy.__version__} and the driver are installed, but there is no GPU; check CUDA_VISIBLE_DEVICES",
        )
    return tuple(cache(partial(_describe_gpu, cupy, index)) for index in range(count)), ""


def _describe_gpu(cupy: Any, index: int) -> DeviceInfo:
    driver, properties = cupy.cuda.runtime.driverGetVersion(), cupy.cuda.runtime.getDeviceProperties(index)
    name = properties["name"].decode() if isinstance(properties["name"], bytes) else properties["name"]
    text = (
        f"{name}, {properties['totalGlobalMem'] / 2**30:.0f} GiB, compute capability {properties['major']}."
        f"{properties['minor']}, driver for CUDA {driver // 1000}.{driver % 1000 // 10}, CuPy {cupy.__version__}"
    )
    failure = _try_kernel(cupy, index)
    return DeviceInfo("cuda" if index == 0 else f"cuda:{index}", not failure, text, failure)


def _try_kernel(cupy: Any, index: int) -> str:
    """Return why a GPU cannot be used, or an empty string if it can.

    A working driver is not enough: cuBLAS must be installed, and a kernel of CuPy's and a kernel given as source must
    compile and run.
    """
    code = 'extern "C" __global__ void probe(double* x) { x[threadIdx.x] += threadIdx.x; }'
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib  # CuPy finds its libraries with it

        load_nvidia_dynamic_lib("cublas")
        with cupy.cuda.Device(index):
            probe = cupy.full(4, 7.0)  # a kernel of CuPy's, which needs the CUDA headers; our kernels do not
            cupy.RawModule(code=code, backend="nvrtc").get_function("probe")((1,), (4,), (probe,))
            return "" if probe.get().tolist() == [7, 8, 9, 10] else "a small kernel ran, but gave wrong numbers"
    except Exception as error:
        return (
            f"a small kernel does not compile or run there ({_first_line(error)}); {INSTALL} installs what is missing"
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=find_cuda.cache_clear)  # a forked process cannot use the parent's GPU
