"""Kernel family batched_gemm: all nets of a window take each step together. That each net trains as it would alone is
tested in test_train.py and test_train_ends.py.
"""

import itertools
import signal

import numpy as np
import pytest
from cuda_cases import DTYPES, HIDDEN_NAMES, Place, Recorded, fit_seed, follow, follow_sgd, masks_of, reference_of
from cuda_populations import make
from net_cases import PAIRS, targets_for
from reference_net import loss_per_sample
from reference_random import epoch_order
from tolerances import TOLERANCES
from toy_data import XOR_X, XOR_Y

import fastmlp.fit.hooks.of_lanes
from fastmlp import SGD, Adam, EarlyStopping, Rprop
from fastmlp.kernels.formulas.losses import CONSTANTS

pytestmark = pytest.mark.thinned(16)

SIZES = (5, 7, 6, 2)


@pytest.fixture(autouse=True)
def batched(cuda, monkeypatch):
    place = Place("batched", monkeypatch)
    yield place
    place.check()


@pytest.fixture
def windows(monkeypatch):
    """The list of windows that are opened."""
    return opened_windows(monkeypatch, lambda window, members: window)


@pytest.fixture
def counts(monkeypatch):
    """The numbers of nets of the windows that are opened."""
    return opened_windows(monkeypatch, lambda window, members: len(members))


def opened_windows(monkeypatch, describe):
    from fastmlp.kernels.cuda.population.window import Window

    found, begin = [], Window.__init__

    def opened(self, work, members, *arguments):
        found.append(describe(self, members))
        begin(self, work, members, *arguments)

    monkeypatch.setattr(Window, "__init__", opened)
    return found


@pytest.fixture
def without_graphs(monkeypatch):
    """Launch every step kernel by kernel, without graphs."""
    monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", "0")


def samples(rng, n, sizes=SIZES):
    return rng.normal(size=(n, sizes[0])), rng.normal(size=(n, sizes[-1]))


def assert_close(pop, k, reference, start):
    tolerance = TOLERANCES["training", pop.dtype.name]
    assert np.abs(reference.params - start[k]).max() > 100 * tolerance, "nothing was learned, so nothing is compared"
    np.testing.assert_allclose(pop.params[k], reference.params, rtol=tolerance, atol=tolerance, err_msg=f"net {k}")


# ---- formulas in this family's passes


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_hidden_activation_matches_the_reference(dtype, rng):
    """One layer per activation, with dropout on some of the nets."""
    sizes, rates = (3,) * (len(HIDDEN_NAMES) + 1) + (2,), np.array([0.0, 0.2])
    X, y = samples(rng, 11, sizes)
    pop = make(2, sizes, hidden_activation=HIDDEN_NAMES, dtype=dtype, init_scale=1.5, dropout=rates)
    start = pop.params.copy()
    result = pop.fit(X, y, epochs=2, batch_size=8, optimizer=SGD(0.05), verbose=0)
    for k in range(2):
        reference = reference_of(pop.network, start[k])
        losses = follow_sgd(
            reference,
            X,
            y,
            0.05,
            epochs=2,
            batch_size=8,
            seed=fit_seed(pop.seeds[k]),
            shuffle=True,
            rates=(rates[k],) * len(HIDDEN_NAMES),
        )
        assert_close(pop, k, reference, start)
        assert result.loss[k] == pytest.approx(losses[-1], rel=TOLERANCES["training", dtype])


@pytest.mark.parametrize("loss, output", {loss: (loss, output) for loss, output in PAIRS}.values())
def test_every_loss_matches_the_reference(loss, output, rng):
    X, _ = samples(rng, 11, (2, 3, 3))
    y, weight = targets_for(loss, output, 11, 3, rng), rng.random((3, 11)) * (rng.random((3, 11)) > 0.3)
    pop = make(3, (2, 3, 3), loss=loss, output_activation=output, **dict.fromkeys(CONSTANTS, 0.3))
    start = pop.params.copy()
    result = pop.fit(X, y, epochs=3, optimizer=SGD(0.1), sample_weight=weight, verbose=0)
    for k in range(3):
        reference = reference_of(pop.network, start[k])
        losses = follow_sgd(reference, X, y, 0.1, epochs=3, weight=weight[k] / weight[k].mean())
        assert_close(pop, k, reference, start)
        assert result.loss[k] == pytest.approx(losses[-1])


@pytest.mark.full
@pytest.mark.parametrize("dtype", DTYPES)
def test_masks_and_orders_equal_the_reference_bit_for_bit(dtype, windows, rng):
    """The window's arrays hold masks of the last step; 13 x 7 and 13 x 6 elements are no multiples of four."""
    rates = np.array([0.5, 0.0, 0.3])
    pop, (X, y) = make(3, SIZES, dropout=rates, dtype=dtype), samples(rng, 39)
    pop.fit(X, y, epochs=2, batch_size=13, optimizer=SGD(0.1), verbose=0)
    [window] = windows
    for k, rate in enumerate(rates):
        seed = fit_seed(pop.seeds[k])
        np.testing.assert_array_equal(window._job["order"].get().reshape(3, 39)[k], epoch_order(39, seed, 1))
        expected = masks_of(SIZES, (rate, rate), 13, seed, 5)
        for layer in range(2):
            mask = window._passes.mask[layer].get().reshape(3, 13, SIZES[layer + 1])[k]
            np.testing.assert_array_equal(mask, expected[layer].astype(dtype))


@pytest.mark.full
def test_long_orders_in_global_memory_equal_the_reference(windows, rng):
    """Orders too long for shared memory are drawn in global memory."""
    n = 13_000
    pop = make(2, (1, 2, 1))
    pop.fit(rng.normal(size=(n, 1)), np.zeros(n), epochs=1, batch_size=6500, optimizer=SGD(0.1), verbose=0)
    orders = windows[0]._job["order"].get().reshape(2, n)
    for k in range(2):
        np.testing.assert_array_equal(orders[k], epoch_order(n, fit_seed(pop.seeds[k]), 0))


# ---- shapes


@pytest.mark.parametrize("optimizer", [SGD(0.4, clip_norm=0.4), Rprop(0.02, clip_norm=0.4)], ids=["sgd", "rprop"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_wide_layers_and_many_rows_match_the_reference(dtype, optimizer, rng, monkeypatch):
    """More columns and rows than a block takes, chunks of rows, the last one short; a shorter last batch; more
    parameters than threads; held-out samples in parts of as many rows as fit into memory.
    """
    monkeypatch.setattr("fastmlp.kernels.cuda.layers.passes.MOST_BLOCKS", 2)
    sizes = (33, 40, 35, 12)
    X, labels = rng.normal(size=(233, 33)), rng.integers(0, 12, 233)
    X_new, new = rng.normal(size=(300, 33)), rng.integers(0, 12, 300)
    pop = make(2, sizes, hidden_activation="silu", loss="softmax_cross_entropy", dtype=dtype, l2=np.array([0.0, 0.01]))
    start = pop.params.copy()
    result = pop.fit(
        X,
        labels,
        epochs=2,
        batch_size=150,
        optimizer=optimizer,
        shuffle=False,
        validation_data=(X_new, new),
        early_stopping=EarlyStopping(9, "validation_loss"),
        verbose=0,
    )
    tolerance = TOLERANCES["training", dtype]
    for k in range(2):
        reference = reference_of(pop.network, start[k], (0.0, 0.01)[k], kind=Recorded)
        losses = follow(reference, X, np.eye(12)[labels], optimizer, epochs=2, batch_size=150)
        assert result.loss[k] == pytest.approx(losses[-1], rel=tolerance)
        ends, held_out = [reference.path[2], reference.params], []
        for params in ends:
            reference.params = params
            zs, outputs = reference.forward(X_new)
            held_out.append(loss_per_sample("softmax_cross_entropy", zs[-1], outputs[-1], np.eye(12)[new]).mean())
        best = int(np.argmin(held_out))
        assert result.best_epoch[k] == best
        assert result.best_value[k] == pytest.approx(held_out[best], rel=tolerance)
        reference.params = ends[best]
        assert_close(pop, k, reference, start)


@pytest.mark.full
def test_net_without_hidden_layers_matches_the_reference(rng):
    X, y = samples(rng, 9, (3, 2))
    pop = make(3, (3, 2))
    start = pop.params.copy()
    pop.fit(X, y, epochs=3, optimizer=Adam(0.1), verbose=0)
    for k in range(3):
        reference = reference_of(pop.network, start[k])
        follow(reference, X, y, Adam(0.1), epochs=3)
        assert_close(pop, k, reference, start)


# ---- what is launched


@pytest.mark.full
def test_launches_of_a_step_are_independent_of_the_number_of_nets(emulated_cuda, without_graphs, rng):
    """A step has 5 L + 1 launches for any number of nets, an epoch two more, and no synchronisation inside an epoch."""
    X, y = samples(rng, 40)

    def count_operations(n_nets, epochs, batch_size):
        pop = make(n_nets, SIZES)
        with emulated_cuda.counting() as n:
            pop.fit(X, y, epochs=epochs, batch_size=batch_size, optimizer="adam", verbose=0)
        return n

    count_operations(2, 1, 10)
    for n_nets in (2, 6):
        few, many = count_operations(n_nets, 1, 20), count_operations(n_nets, 1, 10)
        assert many["launches"] + many["products"] - few["launches"] - few["products"] == 2 * (5 * 3 + 1)
        assert many["synchronizations"] == few["synchronizations"]


def test_finished_nets_are_removed_from_the_batch(windows, without_graphs, monkeypatch):
    """The slot of a finished net goes to a running one, grids shrink, and every net ends as it would alone."""
    from fastmlp.kernels.cuda.runtime.gemm import Products

    counts, multiply = [], Products._multiply

    def counted(self, *arguments):
        counts.append(self.n_nets)
        multiply(self, *arguments)

    monkeypatch.setattr(Products, "_multiply", counted)
    pop = make(12, (2, 3, 1), loss="binary_cross_entropy")
    start = pop.params.copy()
    result = pop.fit(XOR_X, XOR_Y, epochs=60, optimizer=Adam(0.2), converged=0.3, verbose=0)
    assert len(set(result.epochs)) > 3
    running = [(result.epochs > epoch).sum() for epoch in range(result.epochs.max())]
    assert counts[::5] == running, "five products a step, one step an epoch"
    assert (windows[0]._owners.get() != np.arange(12)).any()
    for k in range(12):
        reference = reference_of(pop.network, start[k])
        losses = follow(reference, XOR_X, XOR_Y[:, None], Adam(0.2), epochs=int(result.epochs[k]))
        assert result.loss[k] == pytest.approx(losses[-1])
        seen = result.record_epochs <= len(losses)
        np.testing.assert_allclose(result.records[seen, k], losses[result.record_epochs[seen] - 1], rtol=1e-9)


@pytest.mark.full
@pytest.mark.parametrize("recorded", [True, False])
def test_replayed_steps_change_no_bit(emulated_cuda, recorded, without_graphs, monkeypatch, rng):
    """Graphs are recorded per number of nets and rows, and give the same bits as single launches."""
    X, y = samples(rng, 75)
    fit = {
        "epochs": 4,
        "batch_size": 2,
        "optimizer": Adam(0.05, clip_norm=0.5),
        "early_stopping": EarlyStopping(1),
        "validation_data": (X[:9], y[:9]),
        "verbose": 0,
    }
    pops = [make(5, SIZES, dropout=0.2, dtype="float32") for _ in range(2)]
    results = [pops[0].fit(X, y, **fit)]
    monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", str(int(recorded)))
    with emulated_cuda.counting() as n:
        results.append(pops[1].fit(X, y, **fit))
    assert len(set(results[0].epochs)) > 1, "nets end at different times"
    assert bool(n["graph_launches"]) == recorded
    if recorded:
        epochs = results[1].epochs.max()
        assert n["launches from graphs"] > epochs * 20 * 16, "more than half of 37 whole batches an epoch"
    np.testing.assert_array_equal(pops[0].params, pops[1].params)
    np.testing.assert_array_equal(results[0].loss, results[1].loss)


@pytest.mark.full
def test_few_graphs_serve_nets_that_end_in_every_epoch(emulated_cuda, monkeypatch, rng):
    """Steps are launched for a few numbers of nets, and nets that have ended keep their bits."""
    from fastmlp.kernels.cuda.population.batched import rounded_up
    from fastmlp.kernels.cuda.runtime import cuda_graphs

    rounded = [rounded_up(n) for n in range(1, 4097)]
    assert all(n <= more <= n + n // 8 for n, more in enumerate(rounded, 1))
    assert len(set(rounded)) <= 16 + 8 * 8
    (X, y), found, recorded = samples(rng, 40), [], []
    record = cuda_graphs.record
    monkeypatch.setattr(cuda_graphs, "record", lambda *arguments: (recorded.append(1), record(*arguments))[1])
    for wanted in ("0", "1"):
        monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", wanted)
        pop = make(40, SIZES)
        fit = {"epochs": 25, "batch_size": 8, "optimizer": Adam(np.linspace(0.01, 0.6, 40)), "early_stopping": 2}
        found.append((pop, pop.fit(X, y, verbose=0, **fit)))
    (pop, result), (other, replayed) = found
    numbers = {int((result.epochs > epoch).sum()) for epoch in range(25)}
    assert len(numbers) > 8, "nets end at different times"
    assert 0 < len(recorded) < len(numbers)
    np.testing.assert_array_equal(pop.params, other.params)
    np.testing.assert_array_equal(result.loss, replayed.loss)
    np.testing.assert_array_equal(result.epochs, replayed.epochs)


TYPES_OF_PRODUCTS = {"exact": None, "tf32": 77, "bfloat16": 68}  # CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_COMPUTE_32F


@pytest.mark.full
@pytest.mark.parametrize("precision", TYPES_OF_PRODUCTS)
def test_precision_of_the_population_reaches_the_products(windows, precision, rng):
    pop, (X, y) = make(2, SIZES, dtype="float32", precision=precision), samples(rng, 8)
    start = pop.params.copy()
    pop.fit(X, y, epochs=2, optimizer=SGD(0.2), verbose=0)
    assert windows[0]._passes.products._compute == TYPES_OF_PRODUCTS[precision]
    reference = reference_of(pop.network, start[1])
    follow_sgd(reference, X, y, 0.2, epochs=2)
    np.testing.assert_allclose(pop.params[1], reference.params, atol=1e-5 if precision == "exact" else 1e-2)


# ---- windows, memory, interruption


@pytest.mark.full
def test_windows_smaller_than_the_population_change_no_result(emulated_cuda, counts, monkeypatch, rng):
    """With memory for only a part of the nets at a time, every net ends as it would with memory for all."""
    from fastmlp.kernels.cuda.population.batched import BatchedWindow
    from fastmlp.kernels.cuda.runtime.device_memory import ORDER_BYTES

    X, y = samples(rng, 20)
    fit = {"epochs": 6, "batch_size": 8, "optimizer": Adam(0.1), "early_stopping": 2, "verbose": 0}
    pops, measured, bytes_each = [make(9, SIZES, dropout=0.2) for _ in range(2)], [], BatchedWindow.bytes_each
    measure = lambda *given: measured.append(bytes_each(*given)) or measured[-1]
    monkeypatch.setattr(BatchedWindow, "bytes_each", staticmethod(measure))
    results = [pops[0].fit(X, y, **fit)]
    assert counts == [9]
    counts.clear()
    each = measured[0] + 16 * len(results[0].record_epochs) + ORDER_BYTES * 20
    monkeypatch.setattr(
        "fastmlp.kernels.cuda.population.train.SHARE_OF_MEMORY", 4.5 * each / emulated_cuda.settings.limit
    )
    results.append(pops[1].fit(X, y, **fit))
    assert counts == [4, 4, 1]
    np.testing.assert_allclose(pops[0].params, pops[1].params, rtol=1e-12, atol=1e-14)
    for name in ("epochs", "status", "best_epoch"):
        np.testing.assert_array_equal(getattr(results[0], name), getattr(results[1], name))


@pytest.mark.full
@pytest.mark.parametrize("dtype, precision", [("float64", "exact"), ("float32", "bfloat16")])
def test_windows_fit_into_the_measured_memory(emulated_cuda, counts, dtype, precision, rng):
    """The measured bytes of a net are those that it takes, so that windows fit into any amount of memory."""
    X, y = samples(rng, 50, (5, 40, 30, 2))
    for limit in (700_000, 1_500_000):
        counts.clear()
        emulated_cuda.settings.limit = limit // (1 if dtype == "float64" else 2)
        pop = make(40, (5, 40, 30, 2), dropout=0.1, dtype=dtype, precision=precision)
        result = pop.fit(
            X, y, epochs=2, batch_size=32, optimizer=Adam(0.01), validation_data=(X, y), early_stopping=5, verbose=0
        )
        assert len(counts) > 1
        assert (result.epochs == 2).all()
        assert np.isfinite(pop.evaluate(X, y)["loss"]).all()
        assert np.isfinite(pop.predict(X)).all()


def test_too_little_memory_for_one_net_raises(emulated_cuda, batched, rng):
    X, y = samples(rng, 200)
    emulated_cuda.settings.limit = 40_000
    with pytest.raises(MemoryError, match=r"no room for a window of nets: .* bytes are wanted.* Lower batch_size"):
        make(3, SIZES).fit(X, y, epochs=1, verbose=0)
    batched.batched = 1  # nothing was trained


def test_too_little_memory_for_the_inputs_of_each_net_raises(emulated_cuda, batched, rng):
    """Predictions gather inputs per net, in a buffer of their own."""
    pop = make(2, (200, 2, 1))
    X = rng.normal(size=(2, 200, 200))
    emulated_cuda.settings.limit = int(1.45 * X.nbytes)  # the inputs fit, and no copy of those of a net
    with pytest.raises(MemoryError, match=r"no room for the outputs of nets: .* Evaluate fewer samples at a time\.$"):
        pop.predict(X)
    batched.batched = 1  # nothing was trained


@pytest.mark.parametrize("shuffle", [True, False])
def test_buffers_of_batches_are_there_before_the_first_step(monkeypatch, shuffle, rng):
    """Steps that are replayed have their addresses."""
    from fastmlp.kernels.cuda.layers.batches import Batches
    from fastmlp.kernels.cuda.runtime.gemm import Products

    made, init, taken, take = [], Batches.__init__, [], Products.take_workspace
    buffers = lambda: [None if b is None else b.data.ptr for b in (made[0]._x, made[0]._y, made[0]._weight)]
    monkeypatch.setattr(Batches, "__init__", lambda self, *given: made.append(self) or init(self, *given))
    monkeypatch.setattr(Products, "take_workspace", lambda self: taken.append(buffers()) or take(self))
    X, y = samples(rng, 20)
    make(3, SIZES).fit(X, y, epochs=2, batch_size=8, shuffle=shuffle, validation_data=(X, y), verbose=0)
    assert taken[0] == buffers()
    assert [b is None for b in taken[0]] == [False, False, True], "there are no weights"


def test_inputs_beyond_device_memory_are_streamed_net_by_net(emulated_cuda, batched, rng):
    X, y = samples(rng, 300)
    pop = make(2, SIZES, dtype="float32")
    start = pop.params.copy()
    emulated_cuda.settings.free = X.size * 4
    pop.fit(X, y, epochs=2, batch_size=100, optimizer=SGD(0.1), shuffle=False, verbose=0)
    assert batched.layers
    assert not batched.batched
    reference = reference_of(pop.network, start[1])
    follow_sgd(reference, X, y, 0.1, epochs=2, batch_size=100)
    assert_close(pop, 1, reference, start)
    batched.layers, batched.batched = 0, 1


@pytest.mark.full
@pytest.mark.parametrize("launch", [37, 44])
def test_interruption_keeps_whole_epochs(launch, without_graphs, monkeypatch, rng):
    """Ctrl-C between two launches within an epoch: results are those of whole epochs."""
    from fastmlp.kernels.cuda.build import compiled_module

    call, count = compiled_module.Kernel.__call__, itertools.count()

    def interrupted(self, *arguments, **keywords):
        if next(count) == launch:
            signal.raise_signal(signal.SIGINT)
        call(self, *arguments, **keywords)

    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "FIRST_CALL_OF_DEVICE", 1)
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "CALL_SECONDS", (0.0, 1e9))
    X, y = samples(rng, 24)
    pop = make(3, SIZES)
    start = pop.params.copy()
    monkeypatch.setattr(compiled_module.Kernel, "__call__", interrupted)
    result = pop.fit(X, y, epochs=9, batch_size=12, optimizer=SGD(0.1), shuffle=False, verbose=0)
    monkeypatch.setattr(compiled_module.Kernel, "__call__", call)
    assert result.interrupted
    assert set(result.stopped_by) == {"interrupt"}
    assert set(result.epochs) == {2}  # an epoch is two steps of seven kernels and its end
    for k in range(3):
        reference = reference_of(pop.network, start[k])
        losses = follow_sgd(reference, X, y, 0.1, epochs=2, batch_size=12)
        assert result.loss[k] == pytest.approx(losses[-1])
        assert np.abs(pop.params[k] - start[k]).max() > 0
    assert (pop.fit(X, y, epochs=2, verbose=0).epochs == 2).all(), "the population is usable"


# ---- use


@pytest.mark.parametrize("memory", [2**33, 200_000])
@pytest.mark.parametrize("loss, k", [("binary_cross_entropy", 1), ("softmax_cross_entropy", 3)])
def test_predict_and_evaluate_match_the_reference(emulated_cuda, batched, loss, k, memory, rng):
    """Outputs, losses and accuracy of all nets and of some, with inputs and weights per net, in parts of rows."""
    n = 300
    pop = make(5, (2, 6, k), loss=loss)
    own, weight = rng.normal(size=(5, n, 2)), rng.random((5, n)) * (rng.random((5, n)) > 0.2)
    y = targets_for(loss, None, n, k, rng)
    emulated_cuda.settings.limit = memory
    for X in (own[0], own):
        outputs, some = pop.predict(X), pop.predict(own[0], nets=[3, 1])
        figures = pop.evaluate(X, y, sample_weight=weight)
        for net in range(5):
            reference, mine = reference_of(pop.network, pop.params[net]), X if X.ndim == 2 else X[net]
            expected = reference.predict(mine)
            np.testing.assert_allclose(outputs[net], expected, rtol=1e-11, atol=1e-13)
            if net in (3, 1):
                alone = reference.predict(own[0])
                np.testing.assert_allclose(some[[3, 1].index(net)], alone, rtol=1e-11, atol=1e-13)
            zs, layers = reference.forward(mine)
            losses = loss_per_sample(loss, zs[-1], layers[-1], y)
            correct = (expected.argmax(1) == y.argmax(1)) if k > 1 else ((expected > 0.5) == y).mean(axis=1)
            shares = weight[net] / weight[net].mean()
            assert figures["loss"][net] == pytest.approx(np.mean(shares * losses))
            assert figures["accuracy"][net] == pytest.approx(np.mean(shares * correct))
    batched.batched = 1  # nothing was trained


def test_outputs_stay_on_the_device(cuda, batched, rng):
    pop = make(3, SIZES, dtype="float32")
    X = rng.normal(size=(20, 5)).astype(np.float32)
    there = pop.predict(cuda.asarray(X))
    assert isinstance(there, cuda.ndarray)
    np.testing.assert_array_equal(there.get(), pop.predict(X))
    batched.batched = 1  # nothing was trained
