"""Rows on disk: whatever a fit to rows in memory has, with the same bits where rows come in the same order."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from executor_cases import InPlace, Pickled, process_pool
from small_blocks import BATCH, N_BLOCKS, N, Rows, X, Y, cut_calls, use_small_blocks

from fastmlp import MLP, SGD, Population, TrainingWarning
from fastmlp.fit import nets_per_task
from fastmlp.streams import shuffled_blocks

RNG = np.random.default_rng(1)
WEIGHTS, OF_NETS = RNG.uniform(0.1, 3.0, N), RNG.uniform(0.1, 3.0, (2, N))
HELD_OUT = X[:10] + 0.1, Y[:10], WEIGHTS[:10]


def mean_output(y_true, y_pred):
    return float(y_pred.mean())


# name -> arguments of fit
FITS = {
    "sample_weight": {"sample_weight": WEIGHTS},
    "class_weight": {"class_weight": {0: 0.5, 1: 3.0}},
    "both weights": {"sample_weight": WEIGHTS, "class_weight": "balanced"},
    "validation_fraction": {"validation_fraction": 0.3, "early_stopping": 2},
    "weights and fraction": {"sample_weight": WEIGHTS, "class_weight": "balanced", "validation_fraction": 0.3},
    "metrics": {
        "metrics": ["squared_error", "roc_auc", "log_loss", mean_output],
        "sample_weight": WEIGHTS,
        "validation_data": HELD_OUT,
        "early_stopping": 2,
    },
}


@pytest.fixture(params=["several blocks", "one block"])
def on_disk(request, monkeypatch):
    use_small_blocks(monkeypatch)
    if request.param == "one block":
        monkeypatch.setattr(shuffled_blocks, "SHARE", 1.0)


def make(kind, **settings):
    given = {"loss": "binary_cross_entropy", "random_state": 0, "device": "cpu", **settings}
    return MLP((3, 5, 1), **given) if kind == "net" else Population((3, 5, 1), 2, **given)


def fit(nets, source, y=None, **options):
    limit = {"memory_limit": "1MB"} if y is None else {}
    given = {"epochs": 5, "batch_size": BATCH, "shuffle": False, "verbose": 0, **limit, **options}
    return nets, nets.fit(source, y, **given)


def assert_same_records(found, expected):
    assert (found.stopped_by, found.best_epoch) == (expected.stopped_by, expected.best_epoch)
    records = expected.records()
    assert found.records().keys() == records.keys()
    for name, values in records.items():
        np.testing.assert_allclose(found.record(name), values, rtol=1e-6, err_msg=name)


@pytest.mark.usefixtures("on_disk")
@pytest.mark.parametrize("name", FITS)
def test_a_net_has_the_bits_of_a_fit_in_memory(name):
    (net, history), (expected, in_memory) = fit(make("net"), Rows(), **FITS[name]), fit(make("net"), X, Y, **FITS[name])
    np.testing.assert_array_equal(net.params, expected.params)
    assert_same_records(history, in_memory)
    assert history.settings["weighted"] == in_memory.settings["weighted"]
    assert history.settings["n_validation"] == in_memory.settings["n_validation"]
    assert history.samples.keys() == in_memory.samples.keys()


@pytest.mark.usefixtures("on_disk")
@pytest.mark.parametrize("name", [*FITS, "weights of each net", "margin"])
def test_nets_of_a_population_have_the_bits_of_a_fit_in_memory(name):
    others = {"weights of each net": {"sample_weight": OF_NETS}, "margin": {"converged": "40-20-40", "epochs": 60}}
    options = (FITS | others)[name]
    one_by_one = {"callbacks": lambda epoch, history: None}
    (pop, result), (expected, in_memory) = (
        fit(make("population"), *rows, **options, **more) for rows, more in (((Rows(),), {}), ((X, Y), one_by_one))
    )
    np.testing.assert_array_equal(pop.params, expected.params)
    for key in ("epochs", "status", "best_epoch"):
        np.testing.assert_array_equal(getattr(result, key), getattr(in_memory, key))
    np.testing.assert_allclose(result.loss, in_memory.loss, rtol=1e-6)
    np.testing.assert_allclose(result.accuracy, in_memory.accuracy, rtol=1e-6)


@pytest.mark.parametrize("name", ["sample_weight", "both weights", "weights and fraction"])
def test_weights_stay_with_their_rows_in_a_new_order(name, monkeypatch):
    """At a learning rate of nearly 0, the records of an epoch do not depend on the order of its rows."""
    use_small_blocks(monkeypatch)
    options = {**FITS[name], "shuffle": True, "optimizer": SGD(1e-12)}
    found, expected = (fit(make("net"), *rows, **options)[1] for rows in ((Rows(),), (X, Y)))
    assert_same_records(found, expected)


@pytest.mark.parametrize("kind", ["net", "population"])
def test_a_monitor_watches_them(kind, monkeypatch):
    use_small_blocks(monkeypatch)
    with pytest.warns(TrainingWarning, match="no better than a constant"):
        fit(make(kind), Rows(y=np.arange(N) % 2), epochs=60, optimizer=SGD(1e-9), monitor=True)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("kind", ["net", "population"])
@pytest.mark.parametrize("name", ["weights and fraction", "metrics"])
def test_a_fit_goes_on_from_its_checkpoint(name, kind, tmp_path, monkeypatch):
    use_small_blocks(monkeypatch)
    options, path = {**FITS[name], "shuffle": True}, tmp_path / "run.ckpt"
    expected, whole = fit(make(kind), Rows(), **options)
    with monkeypatch.context() as patch:
        cut_calls(patch, last=3 * N_BLOCKS + 4)  # within an epoch
        fit(make(kind), Rows(), checkpoint=path, **options)
    with pytest.raises(ValueError, match=r"is a checkpoint of another fit: .*weights"):
        fit(make(kind), Rows(), checkpoint=path, resume=True, **options | {"sample_weight": WEIGHTS[::-1]})
    found, again = fit(make(kind), Rows(), checkpoint=path, resume=True, **options)
    np.testing.assert_array_equal(found.params, expected.params)
    if kind == "net":
        assert_same_records(again, whole)


@pytest.mark.parametrize("wrong", [WEIGHTS[1:], -WEIGHTS, OF_NETS], ids=["too few", "negative", "of nets"])
def test_weights_are_checked(wrong, monkeypatch):
    use_small_blocks(monkeypatch)
    with pytest.raises(ValueError, match="sample_weight must"):
        fit(make("net"), Rows(), sample_weight=wrong)


def test_no_file_is_left(monkeypatch, tmp_path):
    use_small_blocks(monkeypatch)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fit(make("net"), Rows(), validation_fraction=0.3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["net", "population"])
@pytest.mark.parametrize("where", ["in memory", "on disk", "in a row cache"])
def test_weights_may_be_a_column(where, kind, monkeypatch, tmp_path):
    table, path = np.column_stack([X, WEIGHTS, Y]), tmp_path / "rows.csv"
    np.savetxt(path, table, "%.18g", delimiter=",", header="a,b,c,w,sign", comments="")
    expected, _ = fit(make(kind), X, Y, sample_weight=WEIGHTS, callbacks=lambda epoch, history: None)
    if where != "in memory":
        use_small_blocks(monkeypatch)
    cache = {"row_cache": tmp_path / "cache", "memory_limit": "1MB"} if where == "in a row cache" else {}
    for _ in range(1 + len(cache)):
        found, _ = fit(make(kind), path, "sign", sample_weight="w", **{"memory_limit": "1MB", **cache})
        if kind == "net" or where != "in memory":
            np.testing.assert_array_equal(found.params, expected.params)
        np.testing.assert_allclose(found.params, expected.params, atol=1e-5)


@pytest.mark.parametrize(
    "y, message",
    [(Y, "sample_weight names the column 'w', so that y must name columns"), ("sign", "Unknown column 'w'")],
)
def test_a_column_of_weights_has_to_be_there(y, message, tmp_path):
    path = tmp_path / "rows.csv"
    np.savetxt(path, np.column_stack([X, Y]), delimiter=",", header="a,b,c,sign", comments="")
    with pytest.raises(ValueError, match=message):
        fit(make("net"), path, y, sample_weight="w")


# ---- on workers


@pytest.fixture
def a_net_each(monkeypatch):
    monkeypatch.setattr(nets_per_task, "FIRST_SECONDS", 1e-9)


def assert_same_results(found, expected):
    for key, values in expected.arrays().items():
        np.testing.assert_array_equal(found.arrays()[key], values, err_msg=key)


@pytest.mark.usefixtures("a_net_each")
@pytest.mark.parametrize("executor", [InPlace, Pickled, lambda: ThreadPoolExecutor(2)], ids=["here", "sent", "threads"])
@pytest.mark.parametrize("name", ["both weights", "weights and fraction", "metrics", "weights of each net"])
def test_workers_read_the_same_file(name, executor, monkeypatch):
    use_small_blocks(monkeypatch)
    options = {"weights of each net": {"sample_weight": OF_NETS}, **FITS}[name] | {"shuffle": True}
    (pop, result), (expected, here) = (
        fit(make("population"), Rows(), executor=given, **options) for given in (executor(), None)
    )
    np.testing.assert_array_equal(pop.params, expected.params)
    assert_same_results(result, here)


def test_processes_read_the_same_file():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(60_000, 3)).astype(np.float32)
    source = Rows(rows, (rows[:, 0] * rows[:, 1] > 0).astype(int), 7_000)
    options = {"validation_fraction": 0.1, "class_weight": "balanced", "batch_size": 500, "epochs": 2, "shuffle": True}
    expected, here = fit(make("population"), source, **options)
    with process_pool(1) as pool:
        found, result = fit(make("population"), source, executor=pool, **options)
    np.testing.assert_array_equal(found.params, expected.params)
    assert_same_results(result, here)


@pytest.mark.usefixtures("a_net_each")
def test_a_fit_on_workers_goes_on_from_its_checkpoint(monkeypatch, tmp_path):
    use_small_blocks(monkeypatch)
    options, path = {**FITS["weights and fraction"], "shuffle": True}, tmp_path / "run.ckpt"
    expected, whole = fit(make("population"), Rows(), **options)
    fit(make("population"), Rows(), checkpoint=path, executor=InPlace(), **options | {"epochs": 2})
    found, result = fit(make("population"), Rows(), checkpoint=path, resume=True, executor=InPlace(), **options)
    np.testing.assert_array_equal(found.params, expected.params)
    np.testing.assert_array_equal(result.loss, whole.loss)


class Elsewhere(Pickled):
    """A worker on a machine that does not see the folder."""

    def submit(self, function, /, *arguments):
        _, task, *_ = arguments
        file = task.task.rows.file
        before, file.folder = file.folder, Path("/of another machine")
        try:
            return super().submit(function, *arguments)
        finally:
            file.folder = before


def test_a_worker_that_does_not_see_the_file_says_so(monkeypatch):
    use_small_blocks(monkeypatch)
    with pytest.raises(ValueError, match=r"rows are in '/of another machine', where a worker .* by row_cache"):
        fit(make("population"), Rows(), executor=Elsewhere())
