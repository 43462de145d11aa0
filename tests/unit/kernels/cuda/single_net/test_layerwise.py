"""Kernel family layerwise on CUDA: masks, launches of a step, graphs, wide layers, chunks of rows. Training of its nets
is compared with the reference in test_small_net.py and population/test_train.py as well.
"""

import importlib
import threading
from contextlib import nullcontext

import numpy as np
import pytest
from cuda_cases import DTYPES, Place, fit_seed, masks_of, reference_of
from tolerances import TOLERANCES

import fastmlp
import fastmlp.fit.hooks.tuned_calls
import fastmlp.schedules
from fastmlp import MLP, SGD, Adam, AdamW, Quickprop, Rprop

pytestmark = pytest.mark.thinned(16)

SIZES = (5, 7, 6, 2)


@pytest.fixture(autouse=True)
def layers(cuda, monkeypatch):
    place = Place("layers", monkeypatch)
    yield place
    place.check()


@pytest.fixture
def works(monkeypatch):
    """The list of workspaces of all fits and evaluations."""
    from fastmlp.kernels.cuda.single_net import layerwise

    found, begin = [], layerwise.LayerwiseWorkspace.__init__

    def made(self, *arguments):
        begin(self, *arguments)
        found.append(self)

    monkeypatch.setattr(layerwise.LayerwiseWorkspace, "__init__", made)
    return found


def make(sizes=SIZES, **settings):
    return MLP(sizes, **{"hidden_activation": "tanh", "device": "cuda", "random_state": 0} | settings)


def samples(rng, n, sizes=SIZES):
    return rng.normal(size=(n, sizes[0])), rng.normal(size=(n, sizes[-1]))


def test_large_batch_has_blocks_for_all_multiprocessors(layers, cuda):
    """A block per chunk of rows, of 32 at least; two for each of the emulator's 132 multiprocessors."""
    from fastmlp.execution.net_description import describe_net
    from fastmlp.kernels.cuda.layers.passes import Passes

    net = describe_net(make().network)
    for rows, chunks in ((8192, 256), (100_000, 261), (640, 20)):
        assert Passes(net, 1, rows, np.dtype("float32"), "exact").most_chunks == chunks
    layers.layers = 1  # nothing was trained


@pytest.mark.full
@pytest.mark.parametrize("n_outputs", [1, 2, 3, 10, 32, 33, 129])
@pytest.mark.parametrize("dtype", DTYPES)
def test_outputs_of_short_and_long_chunks_match_the_reference(dtype, n_outputs, monkeypatch, rng):
    """Of which several threads, a thread or a warp take a row."""
    loss = "softmax_cross_entropy" if n_outputs > 1 else "binary_cross_entropy"
    net, n_rows = make((3, 4, n_outputs), loss=loss, dtype=dtype), 170
    X, labels, weight = rng.normal(size=(n_rows, 3)), rng.integers(0, max(n_outputs, 2), n_rows), rng.random(n_rows)
    targets = np.eye(n_outputs)[labels] if n_outputs > 1 else labels[:, None].astype(float)
    reference, scaled = reference_of(net.network, net.params), weight / weight.mean()
    expected_loss, expected = reference.loss_and_gradient(X, targets, scaled)
    outputs, tolerance = reference.predict(X), TOLERANCES["gradient", dtype]
    right = outputs.argmax(axis=1) == labels if n_outputs > 1 else (outputs[:, 0] > 0.5) == labels
    for chunk in (32, 160):
        monkeypatch.setattr("fastmlp.kernels.cuda.layers.passes.chunk_of", lambda max_rows, chunk=chunk: chunk)
        found, gradient = net.loss_and_gradient(X, labels, sample_weight=weight)
        assert found == pytest.approx(expected_loss, rel=tolerance)
        np.testing.assert_allclose(gradient, expected, rtol=tolerance, atol=tolerance)
        assert net.evaluate(X, labels, sample_weight=weight)["accuracy"] == pytest.approx(np.mean(scaled * right))


@pytest.mark.full
@pytest.mark.parametrize("dtype", DTYPES)
def test_masks_equal_the_reference_bit_for_bit(works, dtype, rng):
    """The workspace holds masks of the last step; 13 x 7 and 13 x 6 elements are no multiples of four."""
    net, (X, y) = make(dropout=(0.5, 0.3), dtype=dtype), samples(rng, 39)
    net.fit(X, y, epochs=2, batch_size=13, optimizer=SGD(0.1), verbose=0)
    masks = works[0].passes.mask
    for mask, expected in zip(masks, masks_of(SIZES, (0.5, 0.3), 13, fit_seed(0), 5), strict=False):
        np.testing.assert_array_equal(mask.get()[0], expected.astype(dtype))
    assert masks[2] is None


@pytest.mark.parametrize("dtype", DTYPES)
def test_wide_layers_and_many_rows_match_the_reference(dtype, rng):
    """More columns and rows than a block processes, several chunks of rows, a shorter last batch."""
    sizes = (33, 70, 65, 37)
    net = make(sizes, hidden_activation=("silu", "tanh"), loss="softmax_cross_entropy", dtype=dtype, l2=0.01)
    reference = reference_of(net.network, net.params)
    X, labels = rng.normal(size=(333, 33)), rng.integers(0, 37, 333)
    loss, gradient = net.loss_and_gradient(X, labels)
    expected_loss, expected = reference.loss_and_gradient(X, np.eye(37)[labels])
    tolerance = TOLERANCES["gradient", dtype]
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    np.testing.assert_allclose(gradient, expected, rtol=tolerance, atol=tolerance)
    history = net.fit(X, labels, epochs=2, batch_size=200, optimizer=SGD(0.1), shuffle=False, verbose=0)
    losses = []
    for _ in range(2):
        sums = 0.0
        for rows in (slice(0, 200), slice(200, 333)):
            loss, gradient = reference.loss_and_gradient(X[rows], np.eye(37)[labels[rows]])
            penalty = 0.005 * sum(np.sum(W * W) for W, _ in reference.layers(reference.params))
            sums += (loss - penalty) * len(X[rows]) / 333
            reference.params -= 0.1 * gradient
        losses.append(sums)
    tolerance = TOLERANCES["training", dtype]
    np.testing.assert_allclose(net.params, reference.params, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(history.loss, losses, rtol=tolerance)


@pytest.mark.full
def test_update_of_more_parameters_than_threads_matches_the_reference(rng, monkeypatch):
    """Threads of the update process more than one parameter each."""
    monkeypatch.setattr("fastmlp.kernels.cuda.layers.passes.MOST_BLOCKS", 1)
    sizes = (3, 40, 2)
    net, (X, y) = make(sizes, dtype="float64", l2=0.1), samples(rng, 31, sizes)
    reference = reference_of(net.network, net.params)
    net.fit(X, y, epochs=1, optimizer=SGD(0.1, clip_norm=0.3), verbose=0)
    _, gradient = reference.loss_and_gradient(X, y)
    assert np.linalg.norm(gradient) > 0.3
    expected = reference.params - 0.1 * gradient * 0.3 / np.linalg.norm(gradient)
    np.testing.assert_allclose(net.params, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.full
@pytest.mark.parametrize("weighted", [False, True])
def test_evaluation_in_parts_matches_the_reference(weighted, monkeypatch, rng):
    """Sums are continued from part to part; the last part is short."""
    monkeypatch.setattr("fastmlp.execution.thresholds.DEVICE_EVALUATION_ROWS", 100)
    net = make(dtype="float64", hidden_activation="gelu")
    reference = reference_of(net.network, net.params)
    (X, y), weight = samples(rng, 330), rng.random(330) if weighted else None
    np.testing.assert_allclose(net.predict(X), reference.predict(X), rtol=1e-11, atol=1e-13)
    expected = reference.loss_and_gradient(X, y, weight / weight.mean() if weighted else None)[0]
    assert net.evaluate(X, y, sample_weight=weight)["loss"] == pytest.approx(expected, rel=1e-12)
    net.fit(X, y, epochs=1, verbose=0)


# ---- what an epoch asks of the device


def count_operations(emulated_cuda, fit):
    fastmlp.devices()  # searches for devices, which launches a kernel
    with emulated_cuda.counting() as n:
        fit()
    return n


def launches(n):
    return {name.removeprefix("launches of "): count for name, count in n.items() if name.startswith("launches of ")}


@pytest.mark.parametrize(
    "optimizer, extra",
    [(SGD(0.1), {}), (Adam(0.1), {}), (Adam(0.1, clip_norm=1.0), {"measure": 1}), (Rprop(0.1), {"measure": 1})],
    ids=["sgd", "adam", "clipped", "rprop"],
)
@pytest.mark.parametrize("sizes", [(5, 2), SIZES, (5, 4, 4, 4, 2)])
def test_step_has_five_launches_per_layer(emulated_cuda, sizes, optimizer, extra, rng, monkeypatch):
    """gather, L - 1 activations, loss, L - 1 backward passes, update, and 3 L - 1 products: 5 L launches, or one more
    for rules and settings that need the whole gradient first.
    """
    monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", "0")
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_CALL", 1e12)
    n_layers, (X, y) = len(sizes) - 1, samples(rng, 40, sizes)
    n = count_operations(
        emulated_cuda, lambda: make(sizes).fit(X, y, epochs=3, batch_size=10, optimizer=optimizer, verbose=0)
    )
    per_step = {
        "gather": 1,
        "activate": n_layers - 1,
        "loss_and_output_delta": 1,
        "backward": n_layers - 1,
        "update": 1,
        **extra,
    }
    found = launches(n)
    assert (found.pop("list_steps"), found.pop("order_samples")) == (3, 3)  # once an epoch
    assert found == {name: 12 * count for name, count in per_step.items() if count}
    assert n["products"] == 12 * (3 * n_layers - 1)
    assert sum(found.values()) + n["products"] == 12 * (5 * n_layers + sum(extra.values()))


# ---- steps that are replayed

REPLAYED = {
    "adam": {"optimizer": Adam(0.01)},
    "clipped": {"optimizer": Adam(0.01, clip_norm=0.5)},
    "rprop": {"optimizer": Rprop(0.05)},
    "layered": {"optimizer": Quickprop(0.1, by_fan_in=True)},
    "rate factors": {"optimizer": Adam(0.01, learning_rate_factors={"biases": 0.1})},
    "schedule": {"optimizer": SGD(0.1, momentum=0.9), "schedule": fastmlp.schedules.Exponential(0.1)},
    "decay schedule": {"optimizer": AdamW(0.01, weight_decay_schedule="flat_cosine")},
    "dropout schedule": {"dropout_schedule": "flat_cosine"},
    "in order": {"shuffle": False},
    "full batch": {"batch_size": None, "epochs": 60},
    "equal batches": {"batch_size": 3, "epochs": 3},
    "weighted": {"sample_weight": np.linspace(0.2, 2.0, 75)},
}


def fitted(rng_seed=5, dtype="float32", precision="exact", **settings):
    """(net, history) after a fit of 75 samples."""
    rng = np.random.default_rng(rng_seed)
    net = make(dropout=(0.5, 0.0), dtype=dtype, l2=0.01, precision=precision)
    settings = {"epochs": 6, "batch_size": 4, "verbose": 0} | settings
    return net, net.fit(*samples(rng, 75), **settings)


def assert_same_with_and_without_graphs(monkeypatch, works, **settings):
    """Assert equal bits with and without graphs, and that graphs were used."""
    found = []
    for wanted in ("0", "1"):
        monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", wanted)
        works.clear()
        found.append(fitted(**settings))
        assert bool(works[0].replays._graphs) == (wanted == "1")
    (one_by_one, before), (replayed, history) = found
    np.testing.assert_array_equal(replayed.params, one_by_one.params)
    np.testing.assert_array_equal(history.loss, before.loss)


@pytest.mark.parametrize(
    "case, calls", [*((case, "one call") for case in REPLAYED), ("adam", "many calls"), ("rprop", "many calls")]
)
def test_replayed_steps_change_no_bit(monkeypatch, works, case, calls):
    """A graph holds what is equal in every step; what differs is read from device memory."""
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_CALL", 1e12 if calls == "one call" else 1)
    assert_same_with_and_without_graphs(monkeypatch, works, **REPLAYED[case])


@pytest.mark.full
@pytest.mark.parametrize("dtype, precision", [("float64", "exact"), ("float32", "tf32")])
def test_replayed_steps_of_every_precision_change_no_bit(monkeypatch, works, dtype, precision):
    assert_same_with_and_without_graphs(monkeypatch, works, dtype=dtype, precision=precision)


def test_modules_of_recorded_steps_stay_loaded(works, monkeypatch):
    """A recorded module must stay loaded even if the module cache has dropped it."""
    from fastmlp.kernels.cuda.build import compiled_module
    from fastmlp.kernels.cuda.single_net import layerwise

    made, compiled = [], compiled_module.compiled
    monkeypatch.setattr(
        layerwise,
        "compiled",
        lambda text: (made.append(text), compiled_module._compiled.cache_clear(), compiled(text))[2],
    )
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_CALL", 1)
    fitted()
    assert len(made) == len(set(made))


@pytest.mark.full
@pytest.mark.parametrize("case", ["adam", "full batch"])
def test_most_steps_are_replayed(emulated_cuda, monkeypatch, case):
    """Only the first steps of full batches and of the short last batch are launched; each graph is recorded once."""
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_CALL", 1e12)
    with emulated_cuda.counting() as n:
        fitted(**REPLAYED[case])
    assert n["launches of update"] <= 2 * (3 + 1) + 16
    assert n["graph_launches"] >= 3


@pytest.mark.full
@pytest.mark.parametrize("late", ["all", "null"])
def test_replayed_steps_on_late_streams_change_no_bit(emulated_cuda, monkeypatch, late):
    """An epoch's order must not be overwritten before its last step has run."""
    expected, _ = fitted()
    emulated_cuda.settings.late = late
    np.testing.assert_array_equal(fitted()[0].params, expected.params)


@pytest.mark.full
@pytest.mark.parametrize("stream", ["own", "shared"])
def test_concurrent_fits_with_replayed_steps_change_no_bit(cuda, works, stream):
    """Work of one thread while the other records a graph must neither enter nor invalidate the graph."""
    expected, found = fitted()[0].params, {}

    def work(number):
        with cuda.cuda.Stream(non_blocking=True) if stream == "own" else nullcontext():
            found[number] = fitted()[0].params

    workers = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for number in range(2):
        np.testing.assert_array_equal(found[number], expected)
    assert len(works) == 3
    assert all(work.replays._graphs for work in works)


@pytest.mark.parametrize("why", ["no library", "no workspace", "no capture"])
def test_steps_are_launched_one_by_one_without_graphs(emulated_cuda, cuda, monkeypatch, why):
    """No warning is given, since warnings are errors in tests."""
    expected, _ = fitted()
    if why == "no library":
        emulated_cuda.settings.cublas = False
        importlib.import_module("fastmlp.kernels.cuda.runtime.cublas").library.cache_clear()
    elif why == "no workspace":
        emulated_cuda.settings.limit = cuda.get_default_memory_pool().used_bytes() + 2**20
    else:
        monkeypatch.delattr(cuda.cuda.Stream, "begin_capture")
    from fastmlp.kernels.cuda.runtime.cuda_graphs import failures

    failures.clear()
    with emulated_cuda.counting() as n:
        np.testing.assert_array_equal(fitted()[0].params, expected.params)
    assert n["graph_launches"] == 0
    assert ["begin_capture" in reason for reason in failures] == [True] * (why == "no capture")
    assert n["launches of update"] == 6 * 19


@pytest.mark.full
def test_graphs_hold_sixteen_steps(emulated_cuda, monkeypatch, rng):
    """Driver calls of an epoch of 50 batches, as in bench/log/gpu.md#gpu-graphs for 784-512-512-10."""
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_CALL", 1e12)
    X, y = samples(rng, 200)
    net = make()
    net.fit(X, y, epochs=1, batch_size=4, verbose=0)
    with emulated_cuda.counting() as first:
        net.fit(X, y, epochs=1, batch_size=4, verbose=0)
    with emulated_cuda.counting() as more:
        net.fit(X, y, epochs=2, batch_size=4, verbose=0)
    assert more["graph_launches"] - first["graph_launches"] == 3 + 2  # 3 of 16 steps, 2 of one
    assert more["launches"] + more["products"] == first["launches"] + first["products"] + 2  # of the order


@pytest.mark.full
def test_full_batch_launches_no_gather(emulated_cuda, rng):
    X, y = samples(rng, 40)
    n = count_operations(emulated_cuda, lambda: make().fit(X, y, epochs=3, verbose=0))
    assert "gather" not in launches(n)


@pytest.mark.full
@pytest.mark.parametrize("shuffle", [True, False])
def test_no_synchronisation_inside_an_epoch(emulated_cuda, shuffle, rng, monkeypatch):
    """Transfers and synchronisations are independent of the number of batches and, within a call, of epochs."""
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_CALL", 1e12)
    X, y = samples(rng, 48)
    found = {}
    for epochs, batch_size in ((3, 24), (3, 2), (6, 24)):
        fit = lambda epochs=epochs, size=batch_size: make(dropout=0.2).fit(
            X, y, epochs=epochs, batch_size=size, shuffle=shuffle, optimizer=Adam(0.01, clip_norm=1.0), verbose=0
        )
        n = count_operations(emulated_cuda, fit)
        found[epochs, batch_size] = {name: n[name] for name in ("synchronizations", "device_to_host", "host_to_device")}
    assert found[3, 24] == found[3, 2]
    more = {name: found[6, 24][name] - count for name, count in found[3, 24].items()}
    assert set(more.values()) == {0}, found


def test_samples_are_sent_once_per_fit(emulated_cuda, rng, monkeypatch):
    """Samples are sent once, not with each call."""
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_CALL", 1)
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "SHORT_CALL", 0.0)  # calls stay short
    from fastmlp.kernels.cuda.runtime import device_memory
    from fastmlp.kernels.cuda.single_net import layerwise

    sent, to_device = [], device_memory.to_device
    calls, train = [], layerwise.LayerwiseWorkspace.train
    monkeypatch.setattr(layerwise.LayerwiseWorkspace, "train", lambda *job: (calls.append(1), train(*job)))

    def counted(array):
        sent.append(0 if device_memory.is_on_device(array) else array.size)
        return to_device(array)

    monkeypatch.setattr(device_memory, "to_device", counted)
    X, y = samples(rng, 40)
    make().fit(X, y, epochs=3, batch_size=10, sample_weight=rng.random(40), verbose=0)
    params, state = 112, 3 * 112
    assert [n for n in sent if n] == [X.size, y.size, 40, params, params, state]
    assert len(calls) > 3


def test_tf32_reaches_the_products(monkeypatch, rng):
    """The emulator does not round, so that only the setting given to the products can be checked."""
    from fastmlp.kernels.cuda.layers import passes

    asked, made = [], passes.Products
    monkeypatch.setattr(
        passes, "Products", lambda dtype, precision, n: (asked.append(precision), made(dtype, precision, n))[1]
    )
    X, y = samples(rng, 20)
    for precision in ("tf32", "exact"):
        net = make(precision=precision)
        net.fit(X, y, epochs=1, verbose=0)
        net.predict(X)
    assert asked == ["tf32", "tf32", "exact", "exact"]
