"""NVRTC: every row of the tables compiles in every kernel that uses it.

Not each combination, which would take hours: case i has the i-th rule, two hidden activations, a loss, and switches
that are on in half of the cases, and is compiled for one architecture, each in its turn. In test_nvrtc.py the formulas
of all rows are compiled for every architecture, and what whole fits ask for.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import numpy as np
import pytest
from cuda_emulator import nvrtc
from cuda_sources import KINDS, MANY_OUTPUTS, N_CASES, PRECISIONS, SWITCHES, in_workspace, net_of, recording, switches

from fastmlp import MLP
from fastmlp.execution.net_description import describe_net
from fastmlp.execution.thresholds import THREAD_UP_TO_NUMBERS
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.kernels.formulas.update_rules import RULES

pytestmark = [pytest.mark.nvrtc, pytest.mark.usefixtures("with_nvrtc")]
MOST_SPILLED = 64  # bytes of a thread; also of test_nvrtc.py
MOST_SPILLED_AT_LIMIT = {"float32": 304, "float64": 448}  # of the largest nets in a thread, with every switch on


@pytest.fixture
def texts(emulated_cuda):
    """The list of sources that the backend would compile."""
    with recording() as found:
        yield found


# The same text as in_blocks but for where arrays lie.
FEWER = {in_workspace: range(0, N_CASES, 3)}


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
    """With all switches on, register spills of the largest nets per thread are bounded."""
    from fastmlp.kernels.cuda.build.net_constants import Architecture
    from fastmlp.kernels.cuda.population.launch import Shape, compile_training

    rule = max(code for code, row in enumerate(RULES) if row.n_state == n_state)
    net = describe_net(MLP(sizes, hidden_activation="gelu", device="cpu").network)
    architecture = Architecture.of(net, 1, np.dtype(dtype))
    most = THREAD_UP_TO_NUMBERS[np.dtype(dtype).itemsize]
    assert 0.7 * most <= architecture.n_params * (2 + n_state) <= most
    compile_training(architecture, Shape.of_threads(), rule, **dict.fromkeys(SWITCHES, True))
    from fastmlp.kernels.cuda.build.compiled_module import OPTIONS

    for arch in nvrtc.ARCHITECTURES:
        used = nvrtc.check(texts[0], OPTIONS, arch=arch)["train_nets"]
        assert used["spill"] <= MOST_SPILLED_AT_LIMIT[dtype], (arch, used)


@pytest.mark.thinned(4)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_first_case_of_each_kernel_compiles(kind, texts):
    """The first case, compiled for an H100."""
    kind(0)
    assert_compile(kind, texts, ["sm_90"])


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_table_row_compiles(kind, texts):
    """All cases, each compiled for one of the architectures."""
    for i in FEWER.get(kind, range(N_CASES)):
        kind(i)
    assert len(set(texts)) == len(texts)
    assert_compile(kind, texts, nvrtc.ARCHITECTURES)


def assert_compile(kind, texts, architectures):
    """Assert that sources compile for the architectures in turn, with bounded spills and static shared memory."""
    from fastmlp.kernels.cuda.build.compiled_module import MOST_DECLARED, OPTIONS

    jobs = list(zip(texts, cycle(architectures), strict=False))
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda job: nvrtc.check(job[0], OPTIONS, arch=job[1]), jobs))
    for (_, arch), report in zip(jobs, reports, strict=True):
        assert set(report) >= KINDS[kind]
        for name, used in report.items():
            assert used["spill"] <= MOST_SPILLED, (name, arch, used)
            assert used["smem"] <= MOST_DECLARED, (name, arch, used)


def test_cases_cover_every_table_row():
    nets = [net_of(i, (4, 9, 5), True) for i in range(N_CASES)]
    assert {int(code) for net, _, _ in nets for code in net.activations[:-1]} >= {
        code for code, row in enumerate(ACTIVATIONS) if row.hidden
    }
    assert {net.loss for net, _, _ in nets} == set(range(len(LOSSES)))
    assert {i % len(RULES) for i in range(N_CASES)} == set(range(len(RULES)))
    assert {metric for _, metric, _ in nets} == {0, 1, 2, 3}
    assert {dtype.name for _, _, dtype in nets} == {"float32", "float64"}
    assert {bool(net.dropout.any()) for net, _, _ in nets} == {True, False}
    assert {PRECISIONS[i // 2 % 2] for i in MANY_OUTPUTS} == set(PRECISIONS)
    assert max(MANY_OUTPUTS) < N_CASES
    tables = [switches(i) for i in range(N_CASES)]
    for one in SWITCHES:
        for other in SWITCHES:
            states = {(table[one], table[other]) for table in tables}
            assert len(states) == (2 if one == other else 4), (one, other)
