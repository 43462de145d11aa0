"""Fits to data that are read piece by piece: the bits of a fit in memory where they fit, the same for all sources."""

import os
import signal
from itertools import count
from threading import Event

import numpy as np
import pytest
from kernel_clock import KernelClock
from peak_memory import growth, on_linux

from fastmlp import MLP, SGD, AdamW, EarlyStopping, OptimizerState
from fastmlp.errors import DivergenceWarning
from fastmlp.fit.one_net import OneNet
from fastmlp.schedules import Cosine, FlatCosine
from fastmlp.streams import row_loading, shuffled_blocks

N, LIMIT = 60_000, 1_000_000  # rows of 20 bytes; a limit that does not hold them


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(N, 3)).astype(np.float32)
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


class Batches:
    def __init__(self, X, y, size=7_000):
        self.batches = [(X[i : i + size], y[i : i + size]) for i in range(0, len(X), size)]

    def __iter__(self):
        return iter(self.batches)


def make_net(**settings):
    return MLP((3, 8, 2), loss="softmax_cross_entropy", random_state=0, device="cpu", **settings)


def fit(source, y=None, limit=LIMIT, net=None, **options):
    net = net or make_net()
    options = {"epochs": 3, "batch_size": 64, "verbose": 0, **options}
    return net, net.fit(source, y, memory_limit=limit, **options)


def test_data_within_the_limit_give_the_bits_of_a_fit_in_memory(data):
    options = {"optimizer": "adam", "schedule": Cosine()}
    streamed, history = fit(Batches(*data), limit="1GB", net=make_net(dropout=0.2), **options)
    in_memory = make_net(dropout=0.2)
    expected = in_memory.fit(*data, epochs=3, batch_size=64, verbose=0, **options)
    np.testing.assert_array_equal(streamed.params, in_memory.params)
    np.testing.assert_array_equal(history.loss, expected.loss)


@pytest.mark.parametrize("share", [100.0, shuffled_blocks.SHARE], ids=["one block", "several"])
def test_blocks_without_shuffling_give_the_bits_of_a_fit_in_memory(share, data, monkeypatch):
    """The whole path over the row file: without shuffling, the batches of an epoch are those of one in memory."""
    monkeypatch.setattr(shuffled_blocks, "SHARE", share)
    optimizer = AdamW(weight_decay=0.3, weight_decay_schedule=FlatCosine(0.2), learning_rate_factors={"biases": 0.1})
    options = {"optimizer": optimizer, "schedule": Cosine(), "shuffle": False}
    streamed, history = fit(Batches(*data), **options)
    in_memory = make_net()
    expected = in_memory.fit(*data, epochs=3, batch_size=64, verbose=0, **options)
    np.testing.assert_array_equal(streamed.params, in_memory.params)
    np.testing.assert_allclose(history.loss, expected.loss, rtol=1e-9)
    np.testing.assert_allclose(history.accuracy, expected.accuracy, rtol=1e-9)


def test_all_sources_of_the_same_rows_give_the_same_bits(data, tmp_path):
    X, y = data
    np.save(tmp_path / "X.npy", X)
    expected, history = fit(Batches(X, y))
    assert history.loss[-1] < history.loss[0]
    for source, targets in [
        (Batches(X, y, 999), None),
        (tmp_path / "X.npy", y),
        (np.load(tmp_path / "X.npy", mmap_mode="r"), y),
    ]:
        net, _ = fit(source, targets)
        np.testing.assert_array_equal(net.params, expected.params)


def test_columns_of_a_frame_can_be_named(data):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    X, y = data
    frame = pandas.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "label": y})
    net, _ = fit(frame, "label", limit="1GB")
    expected, _ = fit(Batches(X, y), limit="1GB")
    np.testing.assert_array_equal(net.params, expected.params)
    assert net.evaluate(frame, "label") == pytest.approx(expected.evaluate(X, y))


def test_predictions_and_scores_of_sources_equal_those_of_arrays(data, tmp_path):
    X, y = data
    np.save(tmp_path / "X.npy", X)
    net, _ = fit(Batches(X, y))
    np.testing.assert_array_equal(net.predict(tmp_path / "X.npy"), net.predict(X))
    np.testing.assert_array_equal(net.predict_classes(Batches(X, y)), net.predict_classes(X))
    assert net.evaluate(Batches(X, y), None) == pytest.approx(net.evaluate(X, y), rel=1e-6)


def test_early_stopping_returns_to_the_best_epoch(data):
    X, y = data
    held_out = X[:500], 1 - y[:500]  # a wrong target: the first epochs are the best
    net, history = fit(Batches(X, y), epochs=20, validation_data=held_out, early_stopping=EarlyStopping(patience=2))
    assert history.stopped_by == "early_stopping"
    assert len(history.loss) == len(history.validation_loss) == history.best_epoch + 3
    assert net.evaluate(*held_out)["loss"] == pytest.approx(history.validation_loss[history.best_epoch])


def test_callbacks_see_the_records_and_can_end_the_fit(data):
    seen = []

    def stop(epoch, history):
        seen.append((epoch, len(history.loss)))
        return epoch == 1

    _, history = fit(Batches(*data), epochs=5, callbacks=stop)
    assert (history.stopped_by, seen) == ("callback", [(0, 1), (1, 2)])


def test_interrupted_fit_keeps_finite_parameters_and_whole_epochs(data):
    def interrupt(epoch, history):
        if epoch == 1:
            signal.raise_signal(signal.SIGINT)

    net, history = fit(Batches(*data), epochs=5, callbacks=interrupt)
    assert (history.stopped_by, len(history.loss)) == ("interrupt", 2)
    assert np.isfinite(net.params).all()


def test_divergence_ends_the_fit_with_finite_parameters(data):
    X, y = data
    net = MLP((3, 8, 1), random_state=0, device="cpu")
    with pytest.warns(DivergenceWarning, match="epoch 1 of 3") as caught:
        _, history = fit(Batches(X * 1e6, y), net=net, optimizer=SGD(1e6))
    assert caught[0].filename == __file__
    assert history.stopped_by == "divergence"
    assert np.isfinite(net.params).all()


def test_two_fits_with_one_optimizer_state_go_on(data):
    net, state = make_net(), OptimizerState()
    for _ in range(2):
        fit(Batches(*data), net=net, epochs=1, optimizer_state=state, shuffle=False)
    expected, _ = fit(Batches(*data), epochs=2, shuffle=False)
    np.testing.assert_array_equal(net.params, expected.params)


def test_fit_says_that_it_reads_from_disk(data, capsys):
    fit(Batches(*data), epochs=1, verbose=1)
    assert "Reading 60,000 rows from disk in each epoch, in 8 blocks: they take 1.2 MB" in capsys.readouterr().err


def test_labels_that_look_like_classes_in_a_piece_are_scored_as_labels(data):
    """Each row of the first piece has one label, which only the whole data show to be chance."""
    X, y = data
    labels = np.stack([y, 1 - y, np.zeros_like(y)], axis=1)
    labels[5_000:, 2] = y[5_000:]
    net = MLP((3, 8, 3), loss="binary_cross_entropy", random_state=0, device="cpu")
    fit(Batches(X, labels), net=net, epochs=1)
    found, expected = net.evaluate(Batches(X, labels, 5_000), None), net.evaluate(X, labels)
    assert found == pytest.approx(expected, rel=1e-6)


def test_generators_can_be_trained_on(data):
    net, _ = fit(batch for batch in Batches(*data))
    expected, _ = fit(Batches(*data))
    np.testing.assert_array_equal(net.params, expected.params)


def test_memory_limit_is_in_the_settings(data):
    _, history = fit(Batches(*data), epochs=1)
    assert history.settings["memory_limit"] == LIMIT
    assert set(history.samples) == {"training"}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": None}, "batch_size is None"),
        ({"batch_size": "auto", "optimizer": "rprop"}, "Rprop needs all samples in one batch"),
    ],
)
def test_steps_that_take_all_rows_are_refused(options, message, data):
    with pytest.raises(ValueError, match=message):
        fit(Batches(*data), **options)


@pytest.mark.parametrize("validates", [False, True])
def test_a_time_limit_may_end_a_fit_within_an_epoch(validates, data, monkeypatch):
    clock = KernelClock(monkeypatch, step=1e-3, validation=0.1 * validates)  # 0.94 s an epoch
    held_out = {"validation_data": (data[0][:50], data[1][:50]), "early_stopping": 10} if validates else {}
    net, history = fit(Batches(*data), epochs=50, time_limit=2.4, **held_out)
    assert (history.stopped_by, history.epochs) == ("time_limit", 2)
    assert 0.95 * 2.4 <= clock.trained <= 1.05 * 2.4
    assert np.isfinite(net.params).all()
    if validates:
        loss = net.evaluate(*held_out["validation_data"])["loss"]
        assert loss == pytest.approx(history.validation_loss[history.best_epoch], rel=1e-6)


@pytest.mark.slow
def test_row_cache_keeps_the_rows_of_files(data, tmp_path, monkeypatch):
    X, y = data
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    sources, cache = (tmp_path / "X.npy", str(tmp_path / "y.npy")), tmp_path / "cache"
    first, history = fit(*sources, row_cache=cache)
    expected, _ = fit(Batches(X, y))
    np.testing.assert_array_equal(first.params, expected.params)
    (kept,) = cache.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(row_loading, "as_features", None)  # nothing is read again
        second, again = fit(*sources, row_cache=cache)
    np.testing.assert_array_equal(second.params, first.params)
    np.testing.assert_array_equal(again.loss, history.loss)
    assert list(cache.iterdir()) == [kept]
    np.save(tmp_path / "y.npy", 1 - y)
    os.utime(tmp_path / "y.npy", ns=(1, 1))
    other, _ = fit(*sources, row_cache=cache)
    assert not np.array_equal(other.params, first.params), "the file has changed"
    assert len(list(cache.iterdir())) == 2


@pytest.mark.slow
def test_a_row_cache_does_not_take_one_part_of_a_memory_map_for_another(data, tmp_path):
    for name, array in zip("Xy", data, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    X, y = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "Xy")
    for part in (slice(0, 40_000), slice(20_000, N)):
        found, _ = fit(X[part], y[part], epochs=1, row_cache=tmp_path / "cache")
        expected, _ = fit(Batches(data[0][part], data[1][part]), epochs=1)
        np.testing.assert_array_equal(found.params, expected.params)


def test_a_block_is_read_while_another_is_trained_on(data, monkeypatch):
    """The reading of a block waits for the training on the one before it, and that for this reading."""
    reads, trains = ([Event() for _ in range(8)] for _ in range(2))  # of the eight blocks
    read, set_block = shuffled_blocks.Blocks._read, OneNet.set_block
    numbers = count()

    def reading(self, *arguments):
        number = next(numbers)
        reads[number].set()
        assert number == 0 or trains[number - 1].wait(20), "no training meanwhile"
        return read(self, *arguments)

    def training(self, block):
        number = self.place.n_blocks
        trains[number].set()
        assert block.is_last or reads[number + 1].wait(20), "no reading meanwhile"
        return set_block(self, block)

    monkeypatch.setattr(shuffled_blocks.Blocks, "_read", reading)
    monkeypatch.setattr(OneNet, "set_block", training)
    net, _ = fit(Batches(*data), epochs=1)
    monkeypatch.undo()
    expected, _ = fit(Batches(*data), epochs=1)
    np.testing.assert_array_equal(net.params, expected.params)
    assert all(event.is_set() for event in reads + trains)


FIT = {
    "MLP": """
from fastmlp import MLP

def fit(path):
    net = MLP((12, 16, 1), random_state=0, device="cpu")
    net.fit(path, "y", epochs=1, batch_size=1000, memory_limit="30MB", verbose=0)
""",
    "Population": """
from fastmlp import Population

def fit(path):
    nets = Population((12, 16, 1), 2, random_state=0, device="cpu")
    nets.fit(path, "y", epochs=1, batch_size=1000, memory_limit="30MB", verbose=0)
""",
}


@pytest.mark.full
@on_linux
@pytest.mark.parametrize("nets", FIT)
def test_peak_memory_does_not_grow_with_the_file(nets, tmp_path):
    """In a process of its own: a file of 104 MB adds no more than one of 21 MB to the peak of a fit within 30 MB."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet is read by pyarrow")
    rng, paths = np.random.default_rng(0), []
    for n in (400_000, 2_000_000):  # also the first one is read from disk
        columns = dict(zip("abcdefghijkly", rng.standard_normal((13, n), dtype=np.float32), strict=True))
        paths.append(tmp_path / f"{n}.parquet")
        parquet.write_table(table := pyarrow.table(columns), paths[-1], row_group_size=50_000)
    assert growth(FIT[nets], *paths) < 0.2 * table.nbytes
