"""What is decided once per fit: kernel family, threads, and the description that kernels see."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastmlp.plan
from fastmlp import MLP
from fastmlp.devices import Device
from fastmlp.kernels.activations import CODES
from fastmlp.kernels.cpu import backend
from fastmlp.kernels.entry import _entries
from fastmlp.plan import (
    choose_evaluation_family,
    choose_evaluation_threads,
    choose_family,
    choose_nets_family,
    choose_threads,
    describe_net,
    products,
)

XOR, LARGE = (2, 2, 1), (784, 512, 10)


def network(sizes, **settings):
    return MLP(sizes, **settings).network


@pytest.mark.parametrize(
    "sizes, rows", [(XOR, 1), (XOR, 4), (XOR, 5), (XOR, 10_000), (LARGE, 1), (LARGE, 1024), ((1, 1), 1)]
)
def test_family_is_one_there_is(sizes, rows):
    assert choose_family(network(sizes), rows) in backend.FAMILIES


def test_small_nets_have_samples_in_lanes():
    assert choose_family(network(XOR), 4) == "per_sample_narrow"
    assert choose_family(network(XOR), 32) == "per_sample_wide"
    assert choose_family(network((784, 200, 10)), 128) == "replicas"
    assert choose_family(network((784, 200, 10)), 2048) == "per_layer"
    assert choose_family(network(LARGE), 128) == "per_layer"


def test_family_of_a_step_that_one_thread_is_enough_for():
    assert choose_family(network((16, 32, 1)), 64) == "per_sample_wide"
    assert choose_family(network((16, 32, 1)), 1024) == "per_sample_replicas"
    assert choose_family(network((30, 40, 40, 2)), 16) == choose_family(network((30, 50, 50, 2)), 64) == "replicas"
    assert choose_family(network((30, 40, 40, 2)), 64) == "per_sample_replicas"


def test_few_outputs_count_little():
    """A logistic regression has many weights, but a product with one column wastes most of its registers."""
    assert choose_family(network((1000, 1)), 100) == "per_sample_wide"
    assert choose_family(network((1000, 8)), 200) == "replicas"
    assert choose_family(network((1000, 3)), 8) == "replicas"


def test_family_of_a_forward_pass():
    assert choose_evaluation_family(network(XOR), 4) == "per_sample_narrow"
    assert choose_evaluation_family(network(XOR), 1000) == "per_sample_wide"
    assert choose_evaluation_family(network(XOR, dropout=0.5), 1000) == "per_sample_wide", "which draws no masks"
    assert choose_evaluation_family(network((16, 32, 1)), 4) == "per_layer"


def test_columns_do_not_collide():
    """Samples are columns: units' columns that lie a power of two apart would fall into few places of a cache."""
    net = describe_net(network((64, 8, 8, 10)))
    for rows in (1, 100, 512, 1000, 1024, 4096):
        work = backend.make_work("per_sample_wide", net, rows, rows, 1, False, np.dtype(np.float32), "exact")
        assert rows <= work.columns < rows + 32
        assert work.columns * 4 % 2048


@pytest.mark.parametrize("dropout", (0.5, (0.0, 0.1), (0.1, 0.0)))
def test_dropout_needs_masks(dropout):
    """Nets with samples as lanes have none: they would train without dropout, silently."""
    assert choose_family(network((2, 3, 3, 1), dropout=dropout), 4) == "replicas"
    assert choose_family(network((2, 3, 3, 1), dropout=(0.0, 0.0)), 4) == "per_sample_narrow"


@pytest.mark.parametrize(
    "sizes, n_nets, rows, wanted",
    [
        (XOR, 1, 4, "lanes"), ((64, 64, 32, 10), 100, 32, "lanes"), ((64, 128, 64, 10), 1000, 32, "batched"),
        (LARGE, 2, 128, "batched"), (LARGE, 1, 128, "alone"), (LARGE, 2, 2048, "alone"),
    ],
)  # fmt: skip
def test_family_of_nets_on_a_gpu(sizes, n_nets, rows, wanted):
    """In a block if memory is large enough, in step, or alone if a step fills the card or there is one net."""
    choose = lambda *more, dtype="float32": choose_nets_family(
        network(sizes), n_nets, rows, Device("cuda:0", "a test"), np.dtype(dtype), *more
    )
    assert choose() == choose("tf32") == wanted
    assert choose("exact", True) == "alone", "inputs stream"
    if sizes == (64, 64, 32, 10):
        assert choose(dtype="float64") == "batched", "twice the memory"
    if sizes == (64, 128, 64, 10):
        assert choose("exact") == "batched"
    assert (
        choose_nets_family(network((64, 128, 64, 10)), 9, 32, Device("cuda:0", ""), np.dtype("float32"), "float16")
        == "alone"
    )


@pytest.mark.parametrize("n_nets, wanted", [(2, "alone"), (32, "lanes"), (1000, "lanes")])
def test_family_of_nets_on_a_processor(n_nets, wanted):
    """Lanes must be filled for nets of some thousands of parameters."""
    device, f4 = Device("cpu", "a test"), np.dtype("float32")
    assert choose_nets_family(network((20, 64, 32, 2)), n_nets, 16, device, f4) == wanted
    assert choose_nets_family(network(LARGE), n_nets, 32, device, f4) == "alone"


@pytest.mark.parametrize("available", (1, 2, 64))
def test_threads(available, monkeypatch):
    monkeypatch.setattr(fastmlp.plan, "n_threads_available", lambda: available)
    large = network(LARGE)
    counts = [choose_threads(large, "per_layer", rows) for rows in (1, 8, 16, 64, 256, 4096, 100_000)]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, available)
    assert all(count * 8 <= rows for count, rows in zip(counts[1:], (8, 16, 64, 256, 4096, 100_000), strict=True))
    assert choose_threads(network(XOR), "per_layer", 8) == choose_threads(network(XOR), "replicas", 8) == 1
    small = network((64, 64, 32, 10))
    assert choose_threads(small, "per_layer", 64) == 1
    assert choose_threads(small, "replicas", 64) == min(2, available), "which exchange less"
    assert choose_threads(small, "replicas", 10_000) == available
    assert choose_threads(network((16, 32, 1)), "per_sample_replicas", 512) == min(2, available)
    assert choose_threads(network((16, 32, 1)), "per_sample_replicas", 100_000) == min(8, available)
    for family in ("per_sample_narrow", "per_sample_wide"):
        assert choose_threads(large, family, 100_000) == 1


@pytest.mark.parametrize("available", (1, 2, 64))
def test_threads_of_an_evaluation(available, monkeypatch):
    monkeypatch.setattr(fastmlp.plan, "n_threads_available", lambda: available)
    small, large = network((64, 64, 32, 10)), network(LARGE)
    counts = [choose_evaluation_threads(small, rows) for rows in (1, 100, 1000, 1797, 100_000)]
    assert counts == [1, 1, 1, min(2, available), available]
    assert choose_evaluation_threads(large, 8) == 1, "a rank takes eight rows at a time"
    assert choose_evaluation_threads(large, 100) == min(9, available)


def test_products():
    """Forward, weight gradient and backward, but nothing goes back to the inputs: 10 (3 (4*3 + 3*2) - 4*3) = 420."""
    assert products(network((4, 3, 2)), 10) == 420


def test_description():
    made = network(
        (3, 5, 4, 2), hidden_activation=("gelu", "tanh"), loss="huber", huber_delta=0.5, dropout=(0.1, 0.2), l2=0.3
    )
    net = describe_net(made)
    assert net.sizes.tolist() == [3, 5, 4, 2]
    assert net.activations.tolist() == [CODES["gelu"], CODES["tanh"], CODES["identity"]]
    assert net.weight_offsets.tolist() == [0, 20, 44]
    assert net.bias_offsets.tolist() == [15, 40, 52]
    assert net.keep_z.tolist() == [1, 0, 1], "gelu's derivative and the loss read z"
    assert net.derivative_of_z.tolist() == [1, 0, 0]
    assert net.dropout.tolist() == [0.1, 0.2, 0.0]
    assert (net.loss_constant, net.natural, net.loss_width, net.l2) == (0.5, False, 2, 0.3)
    assert net.n_padded >= 54


@pytest.mark.parametrize(
    "settings, middle",
    [
        ({"output_activation": "tanh"}, 0.0),
        ({"output_activation": "sigmoid"}, 0.5),
        ({"output_activation": "symmetric_sigmoid"}, 0.0),
        ({"output_activation": "relu"}, 0.5),
        ({"loss": "softmax_cross_entropy"}, 0.5),
    ],
    ids=str,
)
def test_middle(settings, middle):
    assert describe_net(network((3, 2), **settings)).middle == middle


def test_one_compilation_serves_every_net(rng):
    """Whatever is trained, evaluated or differentiated, a kernel is compiled once per dtype: it takes many seconds."""
    X, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    schedules = (None, "cosine", lambda steps, n_steps: 0.5, lambda steps, n_steps: np.ones(len(steps), np.float32))
    for sizes, settings in (((3, 4, 2), {}), ((3, 4, 2), {"dropout": 0.5}), ((3, 50, 2), {"l2": 0.1})):
        net = MLP(sizes, **settings)
        for schedule in schedules:
            net.fit(X, y, epochs=1, batch_size=8, schedule=schedule, sample_weight=np.arange(40), verbose=0)
        net.fit(X, y, epochs=1, validation_fraction=0.2, verbose=0)
        net.loss_and_gradient(X, y)
        net.evaluate(X, y), net.predict(X)
    for family in ("per_layer", "per_sample_wide"):
        for kernel in (backend.TRAIN[family], backend.EVALUATE[family]):
            of_float32 = {
                found.signature for (name, _), found in _entries.items() if name == kernel and "<f4" in found.signature
            }
            assert len(of_float32) == 1, f"{kernel} was compiled {len(of_float32)} times"


def test_buffers_are_aligned():
    """On cache lines: parameters, gradient, and everything the families work in."""
    net = MLP((3, 50, 2))
    plan = fastmlp.plan.Plan.for_training(net.network, net.device, net.dtype, 40, 8, True)
    memory = plan.make_memory(net._padded, np.empty(0, np.float32), 1)
    for array in (net.params, memory.grads, plan.work.a, plan.work.delta):
        assert array.ctypes.data % 64 == 0


def test_few_samples_are_evaluated_without_allocating():
    """A thread's last evaluation is kept, for the same net, dtype and number of samples."""
    net, other = MLP((3, 40, 40, 2), random_state=0), MLP((3, 40, 40, 2), random_state=0)
    plan = lambda net, n: fastmlp.plan.Plan.for_evaluation(net.network, net.device, net.dtype, n)
    kept = plan(net, 1)
    assert plan(net, 1) is kept
    assert plan(net, 2) is not kept
    assert plan(net, 1) is not kept, "only the last"
    kept = plan(net, 1)
    assert plan(other, 1) is not kept
    kept = plan(net, 300)
    assert plan(net, 700) is kept, "both in blocks of as many rows"
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(plan, other, 1).result() is not plan(other, 1)


def test_ranks_get_equal_shares_of_an_evaluation():
    net = MLP((3, 600, 600, 2), random_state=0)
    for n_samples in (16, 600, 1797, 10_000):
        plan = fastmlp.plan.Plan.for_evaluation(net.network, net.device, net.dtype, n_samples, 2)
        shares = [0, 0]
        for block, first in enumerate(range(0, n_samples, plan.rows)):
            shares[block % 2] += min(plan.rows, n_samples - first)
        assert max(shares) <= 1.05 * n_samples / 2 + 8


FORKED = """
import os, time, warnings
from _thread import _count
import numpy as np, fastmlp
warnings.simplefilter("ignore")  # that a process with threads forks
net = fastmlp.MLP((3, 400, 400, 2), random_state=0, device="cpu")
X = np.random.default_rng(0).random((400, 3), np.float32)
before = _count()
expected = net.predict(X)
assert _count() == before + 1
child = os.fork()
if child == 0:
    os._exit(0 if (net.predict(X) == expected).all() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert (net.predict(X) == expected).all()
del net
fastmlp.MLP((2, 2, 1), device="cpu").predict(X[:, :2])
end = time.monotonic() + 20
while _count() > before and time.monotonic() < end:  # it has been told to end
    time.sleep(0.01)
print("left over:", _count() - before)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_kept_team_is_not_used_after_a_fork(fresh_python, monkeypatch):
    """The child has none of its threads; and they end when another evaluation is kept."""
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "2")
    done = fresh_python(FORKED)
    assert done.returncode == 0, done.stderr
    assert "left over: 0" in done.stdout


@pytest.mark.parametrize("sizes", ((2, 2, 1), (4, 100, 3), (20, 20, 4), (64, 64, 10), (70, 300, 520, 3)))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_outputs_do_not_depend_on_company(sizes, dtype):
    """The same bits, whichever kernel and whichever number of rows takes a sample."""
    net = MLP(sizes, dtype=dtype, random_state=0, hidden_activation="tanh")
    X = np.random.default_rng(0).normal(size=(600, sizes[0]))
    whole = net.predict(X)
    for n in (1, 3, 4, 5, 16, 17, 200, 256, 257, 512):
        np.testing.assert_array_equal(net.predict(X[:n]), whole[:n])
