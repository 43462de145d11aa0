"""NVRTC: every row of the tables compiles in every kernel that uses it, and fits into registers.

Not each combination, which would take hours: case i has the i-th rule, two hidden activations, a loss, and switches
that are on in half of the cases, and is compiled for one architecture, each in its turn.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from itertools import cycle

import numpy as np
import pytest
from cuda_emulator import nvrtc
from cuda_emulator.fits import FITS, MORE_FITS
from cuda_sources import KINDS, N_CASES, SWITCHES, in_workspace, recording

from fastmlp import MLP
from fastmlp.execution.plan import describe_net
from fastmlp.execution.thresholds import THREAD_UP_TO_NUMBERS
from fastmlp.kernels.cuda.build import formula_printer
from fastmlp.kernels.formulas.update_rules import RULES

pytestmark = [pytest.mark.nvrtc, pytest.mark.usefixtures("with_nvrtc")]
MOST_SPILLED = 64  # bytes of a thread; bench/gpu/registers.py prints all there is to know
MOST_SPILLED_AT_LIMIT = {"float32": 304, "float64": 448}  # of the largest nets in a thread, with every switch on
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


@pytest.mark.parametrize("number", ["float", "double"])
@pytest.mark.parametrize("arch", nvrtc.ARCHITECTURES)
def test_formulas_compile_without_spills(arch, number):
    found = nvrtc.check(formulas(number), arch=arch)
    assert set(found) == {"activations", "losses", "rules", "words"}
    for used in found.values():
        assert used["registers"] <= 64
        assert used["spill"] == used["stack"] == 0


def test_float32_kernels_have_no_float64_instructions():
    """A literal of another type than T would lead to float64 instructions."""
    assert not re.findall(r"^.*\.f64.*$", nvrtc.build(formulas("float"))[0], re.M)
    assert ".f64" in nvrtc.build(formulas("double"))[0], "the pattern must find float64 instructions"


@pytest.fixture
def texts(emulated_cuda):
    """The list of sources that the backend would compile."""
    with recording() as found:
        yield found


def assert_compile(jobs):
    """Assert that (text, options, architecture, names of its kernels) compile, and spill little."""
    from fastmlp.kernels.cuda.build.compiled_module import MOST_DECLARED, OPTIONS

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda job: nvrtc.check(job[0], job[1] or OPTIONS, arch=job[2]), jobs))
    for (*_, arch, names), report in zip(jobs, reports, strict=True):
        assert set(report) >= names
        for name, used in report.items():
            assert used["spill"] <= MOST_SPILLED, (name, arch, used)
            assert used["smem"] <= MOST_DECLARED, (name, arch, used)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_first_case_of_each_kernel_compiles(kind, texts):
    kind(0)
    assert_compile([(texts[0], (), "sm_90", KINDS[kind])])


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_table_row_compiles(kind, texts):
    for i in range(0, N_CASES, 3 if kind is in_workspace else 1):  # the same text as in_blocks but for where arrays lie
        kind(i)
    assert len(set(texts)) == len(texts)
    assert_compile([(*job, KINDS[kind]) for job in zip(texts, cycle([()]), cycle(nvrtc.ARCHITECTURES), strict=False)])


@pytest.mark.full
def test_sources_of_fits_compile(emulated_cuda):
    """Those that cover every kind of kernel for sm_90, the target of CuPy on an H100."""
    for fit in MORE_FITS.values():
        fit("float32")
    jobs = [(*source, "sm_90", names) for source, names in emulated_cuda.sources.items()]
    for fit in FITS.values():
        fit("float32")
    sources = zip(emulated_cuda.sources.items(), cycle(nvrtc.ARCHITECTURES), strict=False)
    assert_compile(jobs + [(*source, arch, names) for (source, names), arch in sources])


LARGEST = [
    ((2, 3, 4, 2), 3, "float32"),
    ((2, 4, 4, 1), 2, "float32"),
    ((3, 5, 3, 1), 1, "float32"),
    ((2, 2, 2, 1), 3, "float64"),
    ((2, 3, 2), 2, "float64"),
    ((2, 4, 2), 1, "float64"),
]


@pytest.mark.full
@pytest.mark.parametrize("sizes, n_state, dtype", LARGEST)
def test_largest_nets_of_threads_compile_within_register_limits(sizes, n_state, dtype, texts):
    from fastmlp.kernels.cuda.build.compiled_module import OPTIONS
    from fastmlp.kernels.cuda.build.net_constants import Architecture
    from fastmlp.kernels.cuda.population.launch import Shape, compile_training

    rule = max(code for code, row in enumerate(RULES) if row.n_state == n_state)
    net = describe_net(MLP(sizes, hidden_activation="gelu", device="cpu").network)
    architecture = Architecture(net, 1, np.dtype(dtype))
    most = THREAD_UP_TO_NUMBERS[np.dtype(dtype).itemsize]
    assert 0.7 * most <= architecture.n_params * (2 + n_state) <= most
    compile_training(architecture, Shape.of_threads(), rule, **dict.fromkeys(SWITCHES, True))
    for arch in nvrtc.ARCHITECTURES:
        used = nvrtc.check(texts[0], OPTIONS, arch=arch)["train_nets"]
        assert used["spill"] <= MOST_SPILLED_AT_LIMIT[dtype], (arch, used)
