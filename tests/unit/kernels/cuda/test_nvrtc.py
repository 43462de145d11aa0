"""NVRTC: sources of the backend compile for real architectures, and fit into their registers."""

import re
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from itertools import cycle

import pytest
from cuda_emulator import nvrtc

from fastmlp.kernels.cuda.build import formula_printer

pytestmark = [pytest.mark.nvrtc, pytest.mark.usefixtures("with_nvrtc")]
ARCHITECTURES = nvrtc.ARCHITECTURES
MOST_SPILLED = 64  # bytes of a thread; bench/gpu/registers.py prints all there is to know

FORMULAS = r"""
extern "C" __global__ void activations(int code, const T* z, T* a, T* slope) {
  a[threadIdx.x] = activation_value(code, z[threadIdx.x]);
  slope[threadIdx.x] = activation_derivative(code, z[threadIdx.x]);
}
extern "C" __global__ void losses(int code, const T* z, const T* a, const T* y, T c, T* loss, T* delta) {
  const int i = threadIdx.x;
  loss[i] = loss_value(code, z[i], a[i], y[i], c);
  delta[i] = loss_delta(code, a[i], y[i], c);
}
extern "C" __global__ void rules(int code, T* p, const T* g, T* s, Settings<T> h) {
  const int i = threadIdx.x, n = blockDim.x;
  apply_rule(code, p[i], g[i], s[i], s[n + i], s[2 * n + i], h);
}
extern "C" __global__ void words(unsigned long long seed, unsigned int* out) {
  out[threadIdx.x] = philox(threadIdx.x, 1u, DROPOUT, 0u, seed).x;
}
"""


def formulas(number):
    folder = files("fastmlp.kernels.cuda")
    parts = [folder.joinpath(name).read_text() for name in ("include/common.cuh", "include/elementary.cuh")]
    return "\n".join([*parts, formula_printer.formulas(), f"typedef {number} T;", FORMULAS])


@pytest.mark.thinned(6)
@pytest.mark.parametrize("number", ["float", "double"])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_formulas_compile_without_spills(arch, number):
    found = nvrtc.check(formulas(number), arch=arch)
    assert set(found) == {"activations", "losses", "rules", "words"}
    for used in found.values():
        assert used["registers"] <= 64
        assert used["spill"] == used["stack"] == 0


@pytest.mark.thinned(3)
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_float32_kernels_have_no_float64_instructions(arch):
    """A literal of another type than T would lead to float64 instructions."""
    ptx = nvrtc.build(formulas("float"), arch=arch)[1]
    assert not re.findall(r"^.*\.f64.*$", ptx, re.M)
    assert ".f64" in nvrtc.build(formulas("double"), arch=arch)[1], "the pattern must find float64 instructions"


def test_compile_errors_name_the_line():
    with pytest.raises(nvrtc.CompileError, match=r"kernel\.cu\(2\): error: .*nope"):
        nvrtc.check('extern "C" __global__ void k() {\n  nope(); }')


def test_host_headers_are_not_found():
    """A source that includes a host header must fail here, as it would in CuPy."""
    with pytest.raises(nvrtc.CompileError, match="cannot open source file"):
        nvrtc.check("#include <math_constants_that_are_not_there.h>")


@pytest.mark.full
def test_sources_of_fits_compile(emulated_cuda):
    """Sources that small fits compile in the emulator are compiled for one architecture, each in its turn.

    Those that cover every kind of kernel are compiled for sm_90, too, the target of CuPy on an H100. Tables and float64
    are tested in test_nvrtc_tables.py.
    """
    from cuda_emulator.fits import COMPILED_FITS, FITS

    for fit in COMPILED_FITS:
        fit("float32")
    jobs = [(*source, "sm_90") for source in emulated_cuda.sources]
    for fit in FITS:
        fit("float32")
    jobs += [(*source, arch) for source, arch in zip(emulated_cuda.sources, cycle(ARCHITECTURES), strict=False)]
    from fastmlp.kernels.cuda.build.compiled_module import MOST_DECLARED

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda job: nvrtc.check(job[0], job[1], arch=job[2]), jobs))
    for (code, options, arch), report in zip(jobs, reports, strict=True):
        assert emulated_cuda.sources[code, options] <= set(report)
        for name, used in report.items():
            assert used["spill"] <= MOST_SPILLED, (name, arch, used)
            assert used["smem"] <= MOST_DECLARED, (name, arch, used)
