"""Dispatch: the choice of kernel family and number of threads for a fit or prediction."""

from types import SimpleNamespace

import numpy as np
import pytest

import fastmlp.execution.dispatch
import fastmlp.execution.thresholds
from fastmlp import MLP, PeriodicEmbedding
from fastmlp.devices import Device
from fastmlp.execution.dispatch import (
    GpuNetsFit,
    choose_evaluation_family,
    choose_evaluation_threads,
    choose_family,
    choose_gpu_nets_variant,
    choose_nets_family,
    choose_nets_variant,
    choose_own_copies,
    choose_threads,
    choose_training,
    choose_unrolled,
    choose_variant,
    products,
    steps_to_unrolled,
)
from fastmlp.execution.gpu_costs import ESTIMATES, using
from fastmlp.kernels.cpu import backend
from fastmlp.kernels.formulas.update_rules import CODES
from fastmlp.kernels.structs import (
    DATA_PARALLEL_PARAMS,
    HYPER,
    LARGE_NET_PARAMS,
    NO_UPDATE,
    UNROLLED_ALWAYS,
    UNROLLED_IF_ON_DISK,
    UNROLLED_NEVER,
    KernelVariant,
    TrainConfig,
)

XOR, LARGE = (2, 2, 1), (784, 512, 10)


def network(sizes, **settings):
    return MLP(sizes, **settings).network


@pytest.mark.parametrize(
    "sizes, rows", [(XOR, 1), (XOR, 4), (XOR, 5), (XOR, 10_000), (LARGE, 1), (LARGE, 1024), ((1, 1), 1)]
)
def test_chosen_family_exists(sizes, rows):
    assert choose_family(network(sizes), rows) in backend.FAMILIES


def test_family_follows_net_and_batch_size():
    assert choose_family(network(XOR), 4) == "batch_simd_4"
    assert choose_family(network(XOR), 32) == "batch_simd_16"
    assert choose_family(network((784, 200, 10)), 128) == "layerwise_data_parallel"
    assert choose_family(network((784, 200, 10)), 2048) == "layerwise"
    assert choose_family(network(LARGE), 128) == "layerwise"


def test_family_of_few_outputs_and_batches_of_one_sample():
    assert choose_family(network((784, 1)), 1) == "layerwise_data_parallel"
    assert choose_family(network((784, 1)), 2) == choose_family(network((8, 16, 1)), 1) == "batch_simd_4"


def test_deep_narrow_nets_train_data_parallel_for_any_batch_size():
    for rows in (16, 128, 1024):
        assert choose_family(network((64, *64 * (64,), 10)), rows) == "layerwise_data_parallel"
        assert choose_family(network((64, *16 * (128,), 10)), rows) == "layerwise_data_parallel"
        assert choose_family(network((64, *8 * (256,), 10)), rows) == "layerwise"
    assert choose_family(network((64, *400 * (64,), 10)), 128) == "layerwise"


def test_family_of_small_and_medium_steps():
    assert choose_family(network((16, 32, 1)), 64) == "batch_simd_16"
    assert choose_family(network((16, 32, 1)), 1024) == "batch_simd_data_parallel"
    assert (
        choose_family(network((30, 40, 40, 2)), 16)
        == choose_family(network((30, 60, 60, 2)), 64)
        == "layerwise_data_parallel"
    )
    assert choose_family(network((30, 40, 40, 2)), 64) == "batch_simd_data_parallel"


def test_family_of_many_inputs_and_few_outputs():
    """A product with one column wastes most of its registers, so that nets of one output do not train layerwise."""
    assert choose_family(network((1000, 1)), 100) == "batch_simd_16"
    assert choose_family(network((1000, 8)), 32) == "layerwise_data_parallel"
    assert choose_family(network((1000, 3)), 8) == "layerwise_data_parallel"


def test_family_of_layers_that_fill_few_panels():
    for sizes in ((1000, 8), (64, 100, 10), (64, *40 * (50,), 10)):
        assert choose_family(network(sizes), 200) == "batch_simd_data_parallel"
        assert choose_family(network(sizes), 32) == "layerwise_data_parallel"
    for sizes in ((1000, 8), (64, 100, 10)):
        assert choose_family(network(sizes), 10_000) == "layerwise_data_parallel", (
            "there is work for more than the eight threads of batch_simd_data_parallel"
        )
    for sizes in ((64, 64, 32, 10), (64, 128, 10), (64, 200, 10), (64, 100, 96, 10), (784, 100, 10)):
        assert choose_family(network(sizes), 200) == "layerwise_data_parallel"


def test_evaluation_family_follows_net_and_rows():
    assert choose_evaluation_family(network(XOR), 4) == "batch_simd_4"
    assert choose_evaluation_family(network(XOR), 1000) == "batch_simd_16"
    assert choose_evaluation_family(network(XOR, dropout=0.5), 1000) == "batch_simd_16", "an evaluation draws no masks"
    assert choose_evaluation_family(network((16, 32, 1)), 4) == "layerwise"


@pytest.mark.parametrize("dropout", (0.5, (0.0, 0.1), (0.1, 0.0)))
def test_nets_with_dropout_train_in_families_that_draw_masks(dropout):
    """Families with samples in lanes draw no masks: nets would train without dropout, silently."""
    assert choose_family(network((2, 3, 3, 1), dropout=dropout), 4) == "layerwise_data_parallel"
    assert choose_family(network((2, 3, 3, 1), dropout=(0.0, 0.0)), 4) == "batch_simd_4"


@pytest.fixture
def gpu_with_room(monkeypatch):
    """A backend in place of a GPU's: it only says that a block's shared memory holds a tile."""
    module = SimpleNamespace(has_room=lambda family, net, index: True)
    monkeypatch.setattr(fastmlp.execution.dispatch, "backend", lambda device: module)
    return module


@pytest.mark.parametrize(
    "sizes, n_nets, rows, wanted",
    [
        (XOR, 1, 4, "population_simd"),
        ((64, 64, 32, 10), 100, 32, "population_simd"),
        ((64, 128, 64, 10), 1000, 32, "batched_gemm"),
        (LARGE, 2, 128, "batched_gemm"),
        (LARGE, 1, 128, "one_by_one"),
        (LARGE, 2, 2048, "batched_gemm"),
        ((64, 128, 64, 10), 2, 1, "one_by_one"),  # each by a block: no launches
        ((64, 128, 64, 10), 10, 1, "batched_gemm"),
        ((64, 100, 10), 5, 32, "population_simd"),
        ((64, 100, 10), 5, 5000, "batched_gemm"),  # five blocks would leave the rest of the GPU idle
        ((64, 100, 10), 1, 5000, "one_by_one"),
    ],
)
def test_family_of_a_population_on_a_gpu(sizes, n_nets, rows, wanted):
    """Nets that fit a block's memory train in blocks, unless these take longer than all nets batched; the others
    batched, or one by one if each alone has a faster family and they are few.
    """
    choose = lambda *more, dtype="float32": choose_nets_family(
        network(sizes), n_nets, rows, Device("cuda:0", "a test"), np.dtype(dtype), *more
    )
    assert choose() == wanted
    assert choose(True) == "one_by_one", "inputs stream"
    if sizes == (64, 64, 32, 10):
        assert choose(dtype="float64") == "batched_gemm", "twice the memory"


@pytest.mark.parametrize(
    "n_nets, rows, precision, wanted",
    [
        (5, 65_536, "bfloat16", "one_by_one"),
        (5, 65_536, "exact", "batched_gemm"),
        (5, 256, "bfloat16", "batched_gemm"),
        (2, 256, "bfloat16", "one_by_one"),
    ],
)
def test_nets_train_one_by_one_where_each_alone_is_faster(n_nets, rows, precision, wanted, gpu_with_room):
    """On tensor cores, all layers in one kernel: where these kernels take less time than the batched passes."""
    choose = lambda: choose_nets_family(
        network((64, 64, 64, 64, 64, 16)), n_nets, rows, Device("cuda:0", "a test"), np.dtype("f4"), precision=precision
    )
    assert choose() == wanted
    gpu_with_room.has_room = lambda family, net, index: False
    assert choose() == "batched_gemm"


def test_bfloat16_takes_nets_out_of_their_blocks_earlier(gpu_with_room):
    """Batched products in bfloat16 win where those in float32 do not yet; nets in blocks stay in float32."""
    choose = lambda precision, dtype: choose_nets_family(
        network((64, 80, 40, 10)), 200, 1024, Device("cuda:0", "a test"), np.dtype(dtype), precision=precision
    )
    assert choose("exact", "float32") == choose("tf32", "float32") == "population_simd"
    assert choose("bfloat16", "float32") == "batched_gemm"
    with using(ESTIMATES._replace(bfloat16_rate=ESTIMATES.product_rate, bandwidth=1e12)):
        assert choose("bfloat16", "float32") == "population_simd"


PRECISIONS = ("exact", "tf32", "bfloat16")


def family_on_a_gpu(net, rows, precision, dtype):
    return choose_training(net, Device("cuda:0", "a test"), np.dtype(dtype), rows, precision).family


@pytest.mark.parametrize(
    "sizes, rows, settings, exact, half",
    [
        ((4, 32, 3), 32, {}, "small_net", "small_net"),
        ((64, 64, 64, 64, 64, 16), 64, {}, "layerwise", "fused_tensor_core"),  # beyond a block's shared memory
        ((64, 64, 16), 64, {}, "small_net", "fused_tensor_core"),
        ((64, 80, 10), 32, {}, "small_net", "small_net"),
        ((64, 100, 10), 200, {}, "layerwise", "fused_tensor_core"),  # scikit-learn's default net
        ((64, 100, 10), 65_536, {}, "layerwise", "fused_tensor_core"),
        ((128, 128, 128, 3), 32, {}, "layerwise", "fused_tensor_core"),
        ((4, 129, 3), 32, {}, "small_net", "small_net"),
        ((129, 128, 128, 3), 32, {}, "layerwise", "layerwise"),
        ((4, 32, 129), 32, {}, "small_net", "small_net"),
        ((4, 32, 3), 32, {"dropout": 0.5}, "small_net", "small_net"),
        ((128, 128, 128, 3), 32, {"dropout": (0.0, 0.1)}, "layerwise", "layerwise"),
        ((19_999, 1), 1, {}, "small_net", "small_net"),
        ((20_000, 1), 1, {}, "layerwise", "layerwise"),
        ((4, 32, 3), 2000, {}, "small_net", "fused_tensor_core"),
        ((4, 32, 3), 7353, {}, "layerwise", "fused_tensor_core"),
    ],
)
def test_family_of_a_net_on_a_gpu(sizes, rows, settings, exact, half, gpu_with_room):
    """small_net up to 20,000 parameters, fused_tensor_core up to 128 units, without dropout, in float32, if reduced
    precision is allowed: where the cost model has their step as the fastest.
    """
    net = network(sizes, **settings)
    for precision in PRECISIONS:
        wanted = half if precision == "bfloat16" else exact
        assert family_on_a_gpu(net, rows, precision, "float32") == wanted, precision
        assert family_on_a_gpu(net, rows, precision, "float64") == exact, precision
    gpu_with_room.has_room = lambda family, net, index: False  # as of a net of many layers
    assert family_on_a_gpu(net, rows, "bfloat16", "float32") == exact


def test_dispatch_table_covers_both_sides_of_the_block_limit():
    assert [network((n, 1)).layout.n_params for n in (19_999, 20_000)] == [20_000, 20_001]


XOR_FIT = GpuNetsFit(itemsize=4, n_state=2, n_samples=4, batch_size=4)


def gpu_variant(sizes, n_nets=1000, fit=XOR_FIT, **settings):
    return choose_gpu_nets_variant(network(sizes, **settings), n_nets, fit)


def test_tiny_nets_of_a_population_have_a_thread_of_a_gpu_each():
    """If there are enough to fill a block of threads, and no dropout masks to draw."""
    assert gpu_variant((2, 2, 1)).net_per_thread
    assert gpu_variant((2, 2, 1), 128).net_per_thread
    assert gpu_variant((2, 2, 1), 127) == KernelVariant()
    assert gpu_variant((2, 2, 1), dropout=0.1) == KernelVariant()


@pytest.mark.parametrize("itemsize, most", [(4, 180), (8, 75)])
@pytest.mark.parametrize("n_state", range(4))
def test_nets_in_threads_are_limited_by_registers(n_state, itemsize, most):
    """Parameters, gradients and state count; a number in float64 takes two registers."""
    fit = GpuNetsFit(itemsize, n_state, 4, 4)
    for width in range(1, 40):
        numbers = (4 * width + 1) * (2 + n_state)
        assert gpu_variant((2, width, 1), fit=fit).net_per_thread == (numbers <= most)


@pytest.mark.parametrize("rows, n_samples, unrolled", [(3, 4, 0), (4, 4, 1), (5, 4, 1), (17, 17, 1), (18, 18, 0)])
def test_loops_over_few_samples_are_unrolled_in_threads(rows, n_samples, unrolled):
    """If every batch holds all samples: 9 parameters times 17 samples are below the limit of 160."""
    variant = gpu_variant((2, 2, 1), fit=GpuNetsFit(4, 2, n_samples, rows))
    assert variant.unrolled == (UNROLLED_ALWAYS if unrolled else UNROLLED_NEVER)
    assert gpu_variant((2, 2, 1), 1, GpuNetsFit(4, 2, n_samples, rows)).unrolled == UNROLLED_NEVER


@pytest.mark.parametrize("n_nets, wanted", [(2, "one_by_one"), (32, "population_simd"), (1000, "population_simd")])
def test_family_of_a_population_on_a_cpu(n_nets, wanted):
    """Nets of some thousands of parameters train in lanes only if there are enough nets to fill them."""
    device, f4 = Device("cpu", "a test"), np.dtype("float32")
    assert choose_nets_family(network((20, 64, 32, 2)), n_nets, 16, device, f4) == wanted
    assert choose_nets_family(network(LARGE), n_nets, 32, device, f4) == "one_by_one"


@pytest.mark.parametrize("available", (1, 2, 64))
def test_training_threads_grow_with_rows_and_work(available, monkeypatch):
    monkeypatch.setattr(fastmlp.execution.dispatch, "n_threads_available", lambda: available)
    large = network(LARGE)
    counts = [choose_threads(large, "layerwise", rows) for rows in (1, 8, 16, 64, 256, 4096, 100_000)]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, available)
    assert all(count * 8 <= rows for count, rows in zip(counts[1:], (8, 16, 64, 256, 4096, 100_000), strict=True))
    assert (
        choose_threads(network(XOR), "layerwise", 8) == choose_threads(network(XOR), "layerwise_data_parallel", 8) == 1
    )
    small = network((64, 64, 32, 10))
    assert choose_threads(small, "layerwise", 64) == 1
    assert choose_threads(small, "layerwise_data_parallel", 64) == min(2, available), (
        "data-parallel threads synchronise less"
    )
    assert choose_threads(small, "layerwise_data_parallel", 10_000) == available
    assert choose_threads(network((16, 32, 1)), "batch_simd_data_parallel", 512) == min(2, available)
    assert choose_threads(network((16, 32, 1)), "batch_simd_data_parallel", 100_000) == min(8, available)
    for family in ("batch_simd_4", "batch_simd_16"):
        assert choose_threads(large, family, 100_000) == 1


@pytest.mark.parametrize("available", (1, 2, 64))
def test_evaluation_threads_grow_with_rows_and_work(available, monkeypatch):
    monkeypatch.setattr(fastmlp.execution.dispatch, "n_threads_available", lambda: available)
    small, large = network((64, 64, 32, 10)), network(LARGE)
    counts = [choose_evaluation_threads(small, rows) for rows in (1, 100, 1000, 1797, 100_000)]
    assert counts == [1, 1, 1, min(2, available), available]
    assert choose_evaluation_threads(large, 8) == 1, "a thread takes eight rows at a time"
    assert choose_evaluation_threads(large, 100) == min(9, available)


@pytest.mark.parametrize("available", (1, 2, 64))
@pytest.mark.slow
def test_threads_of_one_row_grow_with_the_weights(available, monkeypatch):
    monkeypatch.setattr(fastmlp.execution.dispatch, "n_threads_available", lambda: available)
    sizes = ((64, 64, 32, 10), LARGE, (64, 2048, 2048, 10))
    assert [choose_evaluation_threads(network(size), 1) for size in sizes] == [1, 1, min(2, available)]
    for narrow in ((100_000, 32, 2), (20_000, 255, 1)):
        assert choose_evaluation_threads(network(narrow), 1) == 1, "too few outputs to divide"
    assert choose_evaluation_threads(network((12_000, 300, 2)), 1) == min(2, available)


def test_number_of_multiply_adds_worked_by_hand():
    """Forward, weight gradient and input gradient, except for the first layer: 10 (3 (4*3 + 3*2) - 4*3) = 420."""
    assert products(network((4, 3, 2)), 10) == 420


@pytest.mark.parametrize("sizes", ((2, 2, 1), (4, 100, 3), (20, 20, 4), (64, 64, 10), (70, 300, 520, 3)))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_prediction_is_independent_of_the_other_rows(sizes, dtype):
    """A sample gets the same bits from every kernel and in any number of rows."""
    net = MLP(sizes, dtype=dtype, random_state=0, hidden_activation="tanh")
    X = np.random.default_rng(0).normal(size=(600, sizes[0]))
    whole = net.predict(X)
    for n in (1, 3, 4, 5, 16, 17, 200, 256, 257, 512):
        np.testing.assert_array_equal(net.predict(X[:n]), whole[:n])


class Team:
    """A thread team whose threads' distance is known, and how often it was measured."""

    def __init__(self, share_no_cache):
        self.answer, self.measured = share_no_cache, 0

    def share_no_cache(self):
        self.measured += 1
        return self.answer


def config(batch_size=4, rule="sgd"):
    code = NO_UPDATE if rule is None else CODES[rule]
    return TrainConfig(batch_size, False, 0, code, np.zeros(len(HYPER)), np.zeros(0), False, np.zeros(0))


CONFIG = config()


@pytest.mark.parametrize("far", (False, True))
@pytest.mark.parametrize("family", ("layerwise", "layerwise_data_parallel"))
def test_two_threads_have_copies_of_their_own_where_they_share_no_cache(family, far):
    """Small nets whatever the distance, which is not measured then; nets that no cache holds never."""
    for n_params, wanted, measured in (
        (DATA_PARALLEL_PARAMS, True, 0),
        (DATA_PARALLEL_PARAMS + 1, far, 1),
        (LARGE_NET_PARAMS, far, 1),
        (LARGE_NET_PARAMS + 1, False, 0),
    ):
        team = Team(far)
        assert choose_own_copies(family, n_params, team, 2) == wanted
        assert team.measured == measured
        assert not choose_own_copies(family, n_params, team, 1)
        assert not choose_own_copies(family, n_params, team, 3)
        assert not choose_own_copies("layerwise_batch1", n_params, team, 2)


def test_unrolled_code_is_compiled_when_it_is_worth_it(monkeypatch):
    """Never before so many steps; a little earlier if another process has compiled it."""
    monkeypatch.setattr(fastmlp.execution.dispatch, "_steps_done", {})
    monkeypatch.setattr(fastmlp.execution.thresholds, "LOAD_UNROLLED_AFTER", 100)
    monkeypatch.setattr(fastmlp.execution.thresholds, "COMPILE_UNROLLED_AFTER", 1000)
    f4, f8 = np.dtype("float32"), np.dtype("float64")
    ask = lambda n, dtype=f4, settings=CONFIG, sizes=XOR: choose_unrolled(network(sizes), dtype, settings, 4, n)
    assert [ask(99), ask(1), ask(900), ask(1)] == [UNROLLED_NEVER] * 2 + [UNROLLED_IF_ON_DISK, UNROLLED_ALWAYS]
    assert ask(1, dtype=f8) == UNROLLED_NEVER, "each dtype has code of its own"
    assert ask(1, settings=config(1)) == UNROLLED_NEVER, "and batches of one sample"
    assert ask(1, settings=config(rule="adam")) == UNROLLED_NEVER, "and each rule"
    assert ask(1, settings=config(3)) == UNROLLED_ALWAYS
    assert steps_to_unrolled(network(XOR), 4) == 1000


def test_nets_without_unrolled_code(monkeypatch):
    monkeypatch.setattr(fastmlp.execution.thresholds, "COMPILE_UNROLLED_AFTER", 0)
    ask = lambda sizes=XOR, settings=CONFIG, n=4: choose_unrolled(network(sizes), np.dtype("f4"), settings, n, 1)
    assert ask() == UNROLLED_ALWAYS
    assert ask((2, 64, 1)) == ask(settings=config(5)) == ask(settings=config(rule=None)) == UNROLLED_NEVER
    assert [ask(n=4096), ask(n=4097)] == [UNROLLED_ALWAYS, UNROLLED_NEVER]
    assert steps_to_unrolled(network((2, 64, 1)), 4) == steps_to_unrolled(network(XOR), 5) == 0


def test_tiny_nets_of_a_population_have_unrolled_code(monkeypatch):
    """On the host, in fits of much work; not with dropout, whose masks the code does not draw."""
    host, gpu = Device("cpu", ""), Device("cuda:0", "")
    unrolled = lambda net, device=host: choose_nets_variant(net, device, 100, False, 10**9).unrolled
    assert unrolled(network(XOR)) == unrolled(network((13, 2, 1), dropout=0.0)) == UNROLLED_ALWAYS
    assert [network(sizes).layout.n_params for sizes in ((2, 9, 1), (3, 8, 1))] == [37, 41]
    assert [unrolled(network(sizes)) for sizes in ((2, 9, 1), (3, 8, 1))] == [UNROLLED_ALWAYS, UNROLLED_NEVER]
    assert unrolled(network(XOR, dropout=0.5)) == unrolled(network(XOR), gpu) == UNROLLED_NEVER
    monkeypatch.setattr(fastmlp.execution.thresholds, "UNROLLED_NETS_UP_TO_PARAMS", 41)
    assert unrolled(network((3, 8, 1))) == UNROLLED_ALWAYS


def test_code_of_nets_is_compiled_when_an_architecture_has_trained_for_seconds(monkeypatch):
    monkeypatch.setattr(fastmlp.execution.dispatch, "_nets_work", {})
    net, other = network(XOR), network((2, 9, 1))
    each = fastmlp.execution.dispatch.products(net, 1) + fastmlp.execution.thresholds.NET_STEP_WORK
    monkeypatch.setattr(fastmlp.execution.thresholds, "COMPILE_UNROLLED_NETS_FROM", 3000 * each)
    unrolled = lambda net: choose_nets_variant(net, Device("cpu", ""), 10, False, 100).unrolled
    assert [unrolled(net) for _ in range(4)] == [UNROLLED_IF_ON_DISK] * 2 + [UNROLLED_ALWAYS] * 2
    assert unrolled(other) == UNROLLED_IF_ON_DISK


def test_blocks_have_other_numbers_of_lanes_only_where_unrolled_code_does_all_of_the_training():
    host, gpu = Device("cpu", ""), Device("cuda:0", "")
    narrow = max(8, backend.VECTOR_BYTES // 4)
    lanes = lambda net, device=host, validates=False: choose_nets_variant(net, device, 10_000, validates, 10**9).lanes
    assert [lanes(network(XOR)), lanes(network((2, 9, 1)))] == [2 * narrow, narrow]
    others = network((3, 8, 1)), network(XOR, dropout=0.5)
    assert [lanes(net) for net in others] == [lanes(network(XOR), validates=True), lanes(network(XOR), gpu)] == [16, 16]


def test_variants(monkeypatch):
    """Of a family on the host; on a GPU there are none."""
    monkeypatch.setattr(fastmlp.execution.thresholds, "COMPILE_UNROLLED_AFTER", 0)
    f4, host, gpu = np.dtype("float32"), Device("cpu", ""), Device("cuda:0", "")
    choose = lambda device, family, n_threads: choose_variant(
        network(XOR), device, family, Team(True), n_threads, f4, config(), 4, 1
    )
    assert choose(host, "batch_simd_4", 1) == KernelVariant(False, UNROLLED_ALWAYS)
    assert choose(host, "layerwise_data_parallel", 2) == KernelVariant(True, UNROLLED_NEVER)
    assert choose(gpu, "layerwise", 2) == KernelVariant()


@pytest.mark.parametrize("rows", (1, 4, 32, 10_000))
def test_nets_with_blocks_train_layer_by_layer(rows):
    """The only family that keeps the zeros outside of the blocks, on both devices; forward passes are dense."""
    of_net = network((2, 3, 1), input_embedding=PeriodicEmbedding(2, 2))
    float32, cpu, gpu = np.dtype("float32"), Device("cpu", ""), Device("cuda:0", "")
    assert choose_training(of_net, cpu, float32, rows, "exact").family == "layerwise"
    assert choose_training(of_net, gpu, float32, rows, "bfloat16").family == "layerwise"
    assert choose_nets_family(of_net, 10_000, rows, cpu, float32) == "one_by_one"
    assert choose_nets_family(of_net, 10_000, rows, gpu, float32) == "one_by_one"
    assert choose_evaluation_family(of_net, rows) != "layerwise"
    assert steps_to_unrolled(of_net, 4) == 0


def test_explanation_names_the_blocks():
    text = MLP((2, 3, 1), input_embedding=PeriodicEmbedding(2, 2), device="cpu").explain(100)
    assert "Kernel family: layerwise on cpu" in text
    assert "keeps the weights outside of the blocks of the input embedding at 0" in text
