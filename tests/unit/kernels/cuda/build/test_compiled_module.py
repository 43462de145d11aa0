"""Modules: sources compiled to kernels, and checks of arguments at a launch."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

TEXT = """
typedef %s T;
extern "C" __global__ void __launch_bounds__(64) scale(const T* __restrict__ x, long long n, double factor, int k,
                                                       const long long* where, T* out) {
  for (long long i = threadIdx.x; i < n; i += blockDim.x) out[i] = T(factor) * x[where[i]] + T(k);
}
extern "C" __global__ void fill_shared(T* out) {
  FM_DYN_SMEM(T, memory);
  for (int i = threadIdx.x; i < 20000; i += blockDim.x) memory[i] = T(i);
  __syncthreads();
  if (threadIdx.x == 0) out[0] = memory[19999];
}
"""


@pytest.fixture
def compiled_module(cuda):
    from fastmlp.kernels.cuda.build import compiled_module

    return compiled_module


def kernel(compiled_module, dtype="float32", name="scale"):
    return compiled_module.compiled(
        compiled_module.text_of("include/common.cuh") + TEXT % {"float32": "float", "float64": "double"}[dtype]
    )[name]


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_arguments_are_cast_to_the_kernels_types(compiled_module, cuda, dtype):
    """Numbers of any type are cast, and arrays are passed as pointers."""
    x, out = cuda.asarray(np.arange(4.0), dtype), cuda.zeros(3, dtype)
    where = cuda.asarray(np.array([3, 1, 0]))
    kernel(compiled_module, dtype)((1,), 64, x, np.int32(3), np.float32(0.5), True, where, out)
    assert out.get().tolist() == [2.5, 1.5, 1.0]


@pytest.mark.parametrize(
    "place, change, message",
    [
        (0, lambda cuda: cuda.zeros(4, "float64"), "scale: x must hold float32, but it holds float64"),
        (4, lambda cuda: cuda.zeros(3, "int32"), "scale: where must hold int64, but it holds int32"),
        (5, lambda cuda: np.zeros(3, "float32"), "scale: out must be a C-contiguous device array.*numpy.ndarray"),
        (5, lambda cuda: cuda.zeros((3, 2), "float32")[:, 0], "scale: out must be a C-contiguous device array"),
        (0, lambda cuda: cuda.zeros((3, 2), "float32").T, "scale: x must be a C-contiguous device array"),
        (5, lambda cuda: [0.0], "scale: out must be a C-contiguous device array.*list"),
    ],
)
def test_wrong_arrays_raise(compiled_module, cuda, place, change, message):
    arguments = [cuda.zeros(4, "float32"), 3, 0.5, 1, cuda.zeros(3, "int64"), cuda.zeros(3, "float32")]
    arguments[place] = change(cuda)
    with pytest.raises(TypeError, match=message):
        kernel(compiled_module)((1,), 64, *arguments)


def test_shared_memory_above_the_default_is_available(compiled_module, cuda):
    out = cuda.zeros(1, "float32")
    kernel(compiled_module, name="fill_shared")((1,), 32, out, shared=80_000)
    assert out.get().tolist() == [19999.0]


def test_modules_are_cached_per_text_and_device(compiled_module, emulated_cuda, cuda):
    emulated_cuda.settings.n_devices = 2
    first = compiled_module.compiled("int x;")
    assert compiled_module.compiled("int x;") is first
    assert compiled_module.compiled("int y;") is not first
    with cuda.cuda.Device(1):
        assert compiled_module.compiled("int x;") is not first


def test_modules_that_are_kept_are_bounded(compiled_module, emulated_cuda, cuda, monkeypatch):
    """CuPy keeps what it has loaded until it is told to forget, which a sweep of architectures does at times."""
    from cuda_emulator.raw import memo

    most = 5
    monkeypatch.setattr(compiled_module, "MOST_MODULES", most)
    x, held = cuda.zeros(1, np.int64), []
    for i in range(4 * most):
        text = f'extern "C" __global__ void set(long long* x) {{ *x = {i}; }}'
        held.append(compiled_module.compiled(text)["set"])
        held[-1]((1,), 1, x)
        held[0]((1,), 1, x)
        assert int(x[0]) == 0, "kernels in use stay"
        assert len(memo) <= most


TEXTS = """
import hashlib, sys
sys.path[:0] = [{folder!r}, {folder!r} + '/helpers']
import cuda_emulator
from cuda_sources import KINDS, recording

with cuda_emulator.installed(), recording() as texts:
    for kind in KINDS:
        kind(0)
        kind(1)
print(*[hashlib.sha256(text.encode()).hexdigest() for text in texts])
"""


def test_every_process_compiles_the_same_sources(fresh_python, monkeypatch):
    """CuPy caches by source text, which must not depend on the order of sets, since it differs by process."""
    found = []
    for seed in "12":
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        done = fresh_python(TEXTS.format(folder=str(Path(__file__).parents[4])))
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.split())
    assert len(set(found[0])) == 10
    assert found[0] == found[1]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders have no owners and modes")
def test_a_cache_of_cupy_that_others_may_write_to_is_told(compiled_module, tmp_path, monkeypatch):
    folder = tmp_path / "kernel_cache"
    monkeypatch.setenv("CUPY_CACHE_DIR", str(folder))
    compile_text = lambda: compiled_module.compiled(
        compiled_module.text_of("include/common.cuh") + f"// {os.urandom(8).hex()}\n"
    )
    for make, words in ((lambda: None, ""), (folder.mkdir, ""), (lambda: folder.chmod(0o777), "others may write to")):
        make()
        compiled_module.check_cache_folder.cache_clear()
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            compile_text()
            compiled_module.check_cache_folder()  # as for the next kernel
        assert [words in str(warning.message) for warning in found] == [True] * bool(words)
    compiled_module.check_cache_folder.cache_clear()
