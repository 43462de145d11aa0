"""Every row of the tables compiles for every real architecture in every kernel that has a use for it.

Not each combination, which would take hours: case i has the i-th rule, two hidden activations, a loss, and switches
that are on in half of the cases. What whole fits ask for is compiled in test_nvrtc.py.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cuda_cases import OF_LAYERS
from cuda_emulator import nvrtc

from fastmlp import MLP
from fastmlp.kernels.activations import ACTIVATIONS
from fastmlp.kernels.arguments import Data
from fastmlp.kernels.losses import LOSSES
from fastmlp.kernels.optimizers import RULES
from fastmlp.plan import describe_net

pytestmark = [
    pytest.mark.nvrtc,
    pytest.mark.usefixtures("with_nvrtc"),
]
MOST_SPILLED = 64  # bytes of a thread; also of test_nvrtc.py
MOST_SPILLED_AT_LIMIT = {"float32": 256, "float64": 448}  # of the largest nets in a thread, with every switch on
HIDDEN = [row.name for row in ACTIVATIONS if row.hidden]
SWITCHES = ("WEIGHTED", "CLIPPED", "LAYERED", "SHUFFLES", "SCHEDULED", "PENALISED", "VALIDATES")
N_CASES = max(len(RULES), len(LOSSES), -(-len(HIDDEN) // 2))


def switches(i):
    """On or off; every pair of switches is in all four states in some case."""
    return {name: bool(bin(i & (k + 1)).count("1") % 2) for k, name in enumerate(SWITCHES)}


def net_of(i, sizes, drops):
    """(net, metric, dtype) of case i."""
    loss = LOSSES[i % len(LOSSES)]
    outputs = loss.outputs or [row.name for row in ACTIVATIONS if row.name != "softmax"]
    hidden = [HIDDEN[(2 * i + k) % len(HIDDEN)] for k in range(2)]
    wide = (*sizes, 2 if loss.name == "softmax_cross_entropy" else 1 + i % 3)
    net = MLP(wide, hidden_activation=hidden, loss=loss.name, output_activation=outputs[i % len(outputs)],
              dropout=0.25 if drops and i % 3 == 0 else 0.0, device="cpu")  # fmt: skip
    return describe_net(net.network), i % 4, np.dtype("float64" if i % 4 == 3 else "float32")


@pytest.fixture
def texts(emulated_cuda, monkeypatch):
    """Sources that the backend would have had compiled."""
    from fastmlp.kernels.cuda import batched, layers, per_net

    found = []

    def compiled(text, *options):
        assert not options
        found.append(text)
        return {"train_nets": None, "evaluate_nets": None}

    for module in (batched, layers, per_net):
        monkeypatch.setattr(module, "compiled", compiled)
    return found


def small_nets(i, sizes, n_nets, limit):
    from fastmlp.kernels.cuda.architecture import Architecture
    from fastmlp.kernels.cuda.per_net import Shape, compile_training, known_rows

    net, metric, dtype = net_of(i, sizes, n_nets == 1)
    architecture, n_samples = Architecture.of(net, metric, dtype), 4 if i % 2 else 24
    shape = Shape.choose(architecture, RULES[i % len(RULES)].n_state, 24, n_nets, limit)
    rows = known_rows(architecture, shape, n_samples, n_samples)
    compile_training(architecture, shape, i % len(RULES), rows, **switches(i))
    return shape


def in_threads(i):
    """Unless a thread's registers do not hold them, which is for Shape.choose to say."""
    small_nets(i, (2, 2, 2), 1000, 0)


def in_blocks(i):
    assert small_nets(i, (4, 9, 5), 1, 10**6).in_shared


def in_workspace(i):
    assert small_nets(i, (4, 9, 5), 1, 0).workspace


def in_step(i):
    from fastmlp.kernels.cuda.architecture import Architecture
    from fastmlp.kernels.cuda.batched import module_of

    net, metric, dtype = net_of(i, (5, 40, 7), True)
    module_of(Architecture.of(net, metric, dtype), i % len(RULES), (32, 256)[i % 2], **switches(i))


def by_layers(i):
    from fastmlp.kernels.cuda.layers import LayersWork

    net, metric, dtype = net_of(i, (5, 40, 7), True)
    on = switches(i)
    data = Data(8, np.zeros(40), np.zeros(8), on["WEIGHTED"], np.zeros(8), True, metric)
    work = LayersWork(net, 8, dtype, "exact")
    work.module(work.header(data, i % len(RULES), on["CLIPPED"], on["LAYERED"]))


def narrow(i):
    from fastmlp.kernels.cuda import narrow

    net, metric, _ = net_of(i, (5, 40, 7), False)
    on = switches(i)
    data = Data(8, np.zeros(40), np.zeros(8), on["WEIGHTED"], np.zeros(8), True, metric)
    work = narrow.NarrowWork(net, 8, np.dtype("float32"), ("float16", "bfloat16")[i % 2])
    work.compiled(work.text(work.header(data, i % len(RULES), on["CLIPPED"], on["LAYERED"])))


def evaluation(i):
    from fastmlp.kernels.cuda.architecture import Architecture
    from fastmlp.kernels.cuda.per_net import Shape, compile_evaluation

    net, metric, dtype = net_of(i, (4, 9, 5), False)
    architecture = Architecture.of(net, metric, dtype)
    compile_evaluation(architecture, Shape.choose(architecture, 0, 24, 1, 10**6), i % 2 == 0, i % 4 < 3)


KINDS = {  # what makes the source of a case, and the kernels in it
    in_threads: {"train_nets"},
    in_blocks: {"train_nets"},
    in_workspace: {"train_nets"},
    in_step: {"shuffle", "gather", "activate", "judge", "backward", "settle", "update", "finish", "exchange"},
    by_layers: OF_LAYERS,
    narrow: {"narrow_weights", "narrow_gradient", "reduce"},
    evaluation: {"evaluate_nets"},
}
# The same text as in_blocks but for where arrays lie; the ends of nets in blocks around the passes of by_layers.
FEWER = {in_workspace: range(0, N_CASES, 3), in_step: range(1, N_CASES, 3)}


LARGEST = [((2, 3, 4, 2), 3, "float32"), ((2, 4, 4, 1), 2, "float32"), ((3, 5, 3, 1), 1, "float32"),
           ((2, 2, 2, 1), 3, "float64"), ((2, 3, 2), 2, "float64"), ((2, 4, 2), 1, "float64")]  # fmt: skip


@pytest.mark.parametrize("sizes, n_state, dtype", LARGEST)
def test_the_largest_nets_of_threads(sizes, n_state, dtype, texts):
    """With all switches on, a thread's registers hold almost all of them."""
    from fastmlp.kernels.cuda.architecture import Architecture
    from fastmlp.kernels.cuda.per_net import MOST_IN_THREAD, Shape, compile_training

    rule = max(code for code, row in enumerate(RULES) if row.n_state == n_state)
    net = describe_net(MLP(sizes, hidden_activation="gelu", device="cpu").network)
    architecture = Architecture.of(net, 1, np.dtype(dtype))
    most = MOST_IN_THREAD[np.dtype(dtype).itemsize]
    assert 0.7 * most <= architecture.n_params * (2 + n_state) <= most
    shape = Shape.choose(architecture, n_state, 24, 1000, 0)
    assert shape.in_thread
    compile_training(architecture, shape, rule, **dict.fromkeys(SWITCHES, True))
    from fastmlp.kernels.cuda.module import OPTIONS

    for arch in nvrtc.ARCHITECTURES:
        used = nvrtc.check(texts[0], OPTIONS, arch=arch)["train_nets"]
        assert used["spill"] <= MOST_SPILLED_AT_LIMIT[dtype], (arch, used)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_row_compiles(kind, texts):
    """Without more spills than stated, and with no more static shared memory than a block has."""
    from fastmlp.kernels.cuda.module import OPTIONS

    for i in FEWER.get(kind, range(N_CASES)):
        kind(i)
    from fastmlp.kernels.cuda.module import MOST_DECLARED

    jobs = [(text, arch) for text in texts for arch in nvrtc.ARCHITECTURES]
    assert len(set(texts)) == len(texts)
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda job: nvrtc.check(job[0], OPTIONS, arch=job[1]), jobs))
    for (_, arch), report in zip(jobs, reports, strict=True):
        assert set(report) >= KINDS[kind]
        for name, used in report.items():
            assert used["spill"] <= MOST_SPILLED, (name, arch, used)
            assert used["smem"] <= MOST_DECLARED, (name, arch, used)


def test_cases_have_every_row():
    nets = [net_of(i, (4, 9, 5), True) for i in range(N_CASES)]
    assert {int(code) for net, _, _ in nets for code in net.activations[:-1]} >= {
        code for code, row in enumerate(ACTIVATIONS) if row.hidden
    }
    assert {net.loss for net, _, _ in nets} == set(range(len(LOSSES)))
    assert {i % len(RULES) for i in range(N_CASES)} == set(range(len(RULES)))
    assert {metric for _, metric, _ in nets} == {0, 1, 2, 3}
    assert {dtype.name for _, _, dtype in nets} == {"float32", "float64"}
    assert {bool(net.dropout.any()) for net, _, _ in nets} == {True, False}
    tables = [switches(i) for i in range(N_CASES)]
    for one in SWITCHES:
        for other in SWITCHES:
            states = {(table[one], table[other]) for table in tables}
            assert len(states) == (2 if one == other else 4), (one, other)
