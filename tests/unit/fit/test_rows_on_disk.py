"""Rows on disk: whatever a fit to rows in memory has, with the same bits where rows come in the same order."""

from pathlib import Path

import numpy as np
import pytest
from executor_cases import Pickled, process_pool
from fit_kinds import ALL, HELD_OUT, KINDS, WEIGHTS, fit, make
from peak_memory import growth, on_linux
from resumed_fits import assert_same_fit
from small_blocks import N, Rows, X, Y

from fastmlp import MLP, SGD, Population, TrainingWarning
from fastmlp.streams import shuffled_blocks

ON_DISK = {"net, rows on disk": "net", "nets, rows on disk": "nets one by one"}  # and the kind in memory
OF_NETS = np.random.default_rng(1).uniform(0.1, 3.0, (3, N))
small_parts = pytest.mark.usefixtures("small_parts")


FITS = {  # arguments of fit, beside the options
    "class_weight": {"class_weight": {0: 0.5, 1: 3.0}},
    "weights and fraction": {"sample_weight": WEIGHTS, "class_weight": "balanced", "validation_fraction": 0.3},
    "metrics": {"metrics": lambda y_true, y_pred: float(y_pred.mean()), "validation_data": HELD_OUT},
    "weights of each net": {"sample_weight": OF_NETS},
    "margin": {"converged": "40-20-40", "epochs": 60},
}
OPTIONS_ON_DISK = [case for case in ALL if case[0] in ON_DISK and case[1] not in ("restarts", "one diverges")]
CASES = [(kind, option, {}) for kind, option in OPTIONS_ON_DISK] + [
    (kind, "plain", given)
    for kind in ON_DISK
    for name, given in FITS.items()
    if KINDS[kind].n_nets or name not in ("weights of each net", "margin")
]


def assert_same_records(found, expected):
    """But for `converged`, which needs another pass over the rows where no rule decides."""
    records = expected.arrays() if hasattr(expected, "arrays") else expected.records()
    for name, values in records.items():
        if name == "converged":
            continue
        mine = found.arrays()[name] if hasattr(found, "arrays") else found.record(name)
        np.testing.assert_allclose(mine, values, rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(found.stopped_by, expected.stopped_by)
    np.testing.assert_array_equal(found.best_epoch, expected.best_epoch)


@small_parts
@pytest.mark.parametrize("blocks", ["several blocks", "one block"])
@pytest.mark.parametrize("kind, option, given", CASES)
def test_fits_without_shuffling_have_the_bits_of_fits_in_memory(kind, option, given, blocks, monkeypatch):
    """Without dropout, which each block draws anew."""
    if blocks == "one block":
        monkeypatch.setattr(shuffled_blocks, "SHARE", 1.0)
    fits = []
    for place in (kind, ON_DISK[kind]):
        fits.append(fit(place, option, nets=make(place, option, dropout=0.0), **{"shuffle": False, **given}))
    (nets, record), (expected, in_memory) = fits
    np.testing.assert_array_equal(nets.params, expected.params)
    assert_same_records(record, in_memory)
    if not KINDS[kind].n_nets:
        for setting in ("weighted", "n_validation"):
            assert record.settings[setting] == in_memory.settings[setting]
        assert record.settings["memory_limit"] == 1_000_000
        assert record.samples.keys() == in_memory.samples.keys()


@pytest.mark.parametrize("kind", ON_DISK)
def test_data_within_the_limit_give_the_bits_of_a_fit_in_memory(kind):
    """Shuffled, too."""
    given = {"schedule": "cosine", "memory_limit": "1GB"}
    found, expected = fit(kind, **given), fit(ON_DISK[kind], "plain", schedule="cosine")
    np.testing.assert_array_equal(found[0].params, expected[0].params)
    assert_same_records(found[1], expected[1])


@small_parts
def test_weights_stay_with_their_rows_in_a_new_order():
    """At a learning rate of nearly 0, the records of an epoch do not depend on the order of its rows."""
    given = {**FITS["weights and fraction"], "optimizer": SGD(1e-12)}
    assert_same_records(fit("net, rows on disk", **given)[1], fit("net", **given)[1])


def sources(kind, folder):
    """Return (X, y) to train on, and inputs to predict for."""
    if kind == "npy" or kind == "memory map":
        np.save(folder / "X.npy", X)
        source = folder / "X.npy" if kind == "npy" else np.load(folder / "X.npy", mmap_mode="r")
        return source, Y, source
    if kind == "generator":
        return iter(Rows(size=11)), None, (piece for piece, _ in Rows(size=11))
    pandas = pytest.importorskip("pandas", reason="tables are data frames of pandas")
    pytest.importorskip("pyarrow", reason="tables are read by pyarrow")
    frame = pandas.DataFrame(X, columns=list("abc"))
    if kind == "frame":
        return frame.assign(label=Y), "label", frame
    write = pandas.DataFrame.to_parquet if kind == "parquet" else pandas.DataFrame.to_csv
    for name, table in (("rows", frame.assign(label=Y)), ("inputs", frame)):
        write(table, folder / f"{name}.{kind}", index=False)
    return folder / f"rows.{kind}", "label", folder / f"inputs.{kind}"


@small_parts
@pytest.mark.parametrize("kind", ON_DISK)
@pytest.mark.parametrize("source", ["npy", "memory map", "generator", "frame", "parquet", "csv"])
def test_all_sources_of_the_same_rows_give_the_same_bits(source, kind, tmp_path):
    """And predictions and scores are those of arrays."""
    *data, inputs = sources(source, tmp_path)
    (nets, _), (expected, _) = fit(kind, data=data), fit(kind)
    np.testing.assert_array_equal(nets.params, expected.params)
    np.testing.assert_allclose(nets.predict(inputs), expected.predict(X), rtol=1e-6)
    *data, _ = sources(source, tmp_path)
    scores = nets.evaluate(*data)
    for name, values in expected.evaluate(X, Y).items():
        np.testing.assert_allclose(scores[name], values, rtol=1e-5)


class Inputs:
    def __iter__(self):
        return (piece for piece, _ in Rows())


def test_predictions_of_chosen_nets_and_of_their_mean_are_those_of_arrays():
    pop = Population((3, 8, 2), 3, loss="softmax_cross_entropy", random_state=0, device="cpu")
    for method, given in (
        (pop.predict, {"nets": [1]}),
        (pop.predict_classes, {}),
        (pop.predict_classes, {"nets": [2, 0]}),
        (pop.ensemble_predict, {}),
    ):
        np.testing.assert_allclose(method(Inputs(), **given), method(X, **given), rtol=1e-6)
    of_nets = np.stack([X] * 3)
    np.testing.assert_array_equal(pop.predict(of_nets), pop.predict(X))


def test_memory_maps_with_samples_of_each_net_are_arrays(tmp_path):
    of_nets = np.stack([X, X + 1, X - 1])
    np.save(tmp_path / "X.npy", of_nets)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    kind = "nets one by one"
    np.testing.assert_array_equal(fit(kind, data=(mapped, Y))[0].params, fit(kind, data=(of_nets, Y))[0].params)


@pytest.mark.parametrize("make", [MLP, lambda *given, **more: Population(given[0], 2, **more)], ids=["net", "nets"])
def test_labels_that_look_like_classes_in_a_piece_are_scored_as_labels(make):
    """Each row of the first piece has one label, which only the whole data show to be chance."""
    labels = (X > 0).astype(int)
    labels[:30] = [1, 0, 0]
    nets = make((3, 3), loss="binary_cross_entropy", random_state=0, device="cpu")
    found, expected = nets.evaluate(Rows(y=labels), None), nets.evaluate(X, labels)
    np.testing.assert_allclose(found["accuracy"], expected["accuracy"], rtol=1e-6)


@small_parts
def test_nets_on_disk_are_those_trained_alone():
    rates = np.array([0.1, 0.2, 0.05])
    pop, result = fit("nets, rows on disk", optimizer=SGD(rates))
    for k, rate in enumerate(rates):
        net, history = fit("net, rows on disk", nets=make("nets one by one").net(k), optimizer=SGD(float(rate)))
        np.testing.assert_array_equal(pop.params[k], net.params)
        assert result.loss[k] == history.loss[-1]
    assert pop.fits == 1


@small_parts
@pytest.mark.parametrize("kind", ON_DISK)
def test_a_monitor_watches_them(kind):
    with pytest.warns(TrainingWarning, match="no better than a constant"):
        fit(kind, data=(Rows(y=np.arange(N) % 2), None), epochs=60, optimizer=SGD(1e-9), monitor=True)


@small_parts
@pytest.mark.parametrize("kind", ON_DISK)
@pytest.mark.parametrize(
    "given, message",
    [
        ({"batch_size": None}, "^batch_size is None"),
        ({"batch_size": "auto", "optimizer": "rprop"}, "Rprop needs all samples in one batch"),
        ({"sample_weight": WEIGHTS[1:]}, "sample_weight must"),
        ({"sample_weight": -WEIGHTS}, "sample_weight must"),
        ({"sample_weight": np.ones((2, N))}, "sample_weight must"),
    ],
    ids=["full batch", "rprop", "too few weights", "negative weights", "weights of other nets"],
)
def test_what_is_refused(given, message, kind):
    with pytest.raises(ValueError, match=message):
        fit(kind, **given)


@small_parts
def test_a_fit_says_that_it_reads_from_disk_and_leaves_no_file(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fit("net, rows on disk", epochs=1, validation_fraction=0.3, verbose=1)
    assert "Reading 49 rows from disk in each epoch, in 3 blocks: they take " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    fit("nets, rows on disk", epochs=1, verbose=2)
    assert capsys.readouterr().out.splitlines()[-1].startswith("net 3/3  median loss ")


def write_csv(path, **columns):
    np.savetxt(path, np.column_stack([*columns.values()]), "%.18g", ",", header=",".join(columns), comments="")
    return path


@pytest.mark.parametrize("kind", ON_DISK)
@pytest.mark.parametrize("where", ["in memory", "on disk"])
def test_weights_may_be_a_column(where, kind, request, tmp_path):
    path = write_csv(tmp_path / "rows.csv", a=X[:, 0], b=X[:, 1], c=X[:, 2], w=WEIGHTS, sign=Y)
    expected, _ = fit(ON_DISK[kind], shuffle=False, sample_weight=WEIGHTS)
    if where != "in memory":
        request.getfixturevalue("small_parts")
    found, _ = fit(kind, data=(path, "sign"), shuffle=False, sample_weight="w")
    np.testing.assert_array_equal(found.params, expected.params)


@pytest.mark.parametrize(
    "y, message",
    [(Y, "sample_weight names the column 'w', so that y must name columns"), ("sign", "Unknown column 'w'")],
    ids=["array", "name"],
)
def test_a_column_of_weights_has_to_be_there(y, message, tmp_path):
    path = write_csv(tmp_path / "rows.csv", a=X[:, 0], b=X[:, 1], c=X[:, 2], sign=Y)
    with pytest.raises(ValueError, match=message):
        fit("net, rows on disk", data=(path, y), sample_weight="w")


# ---- on workers


def test_processes_read_the_same_file():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(60_000, 3)).astype(np.float32)
    data = Rows(rows, (rows[:, 0] * rows[:, 1] > 0).astype(int), 7_000), None
    given = {"validation_fraction": 0.1, "class_weight": "balanced", "batch_size": 500, "epochs": 2}
    with process_pool(1) as pool:
        found = fit("nets, rows on disk", data=data, executor=pool, **given)
    assert_same_fit(found, fit("nets, rows on disk", data=data, **given))


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


@small_parts
def test_a_worker_that_does_not_see_the_file_says_so():
    with pytest.raises(ValueError, match=r"rows are in '/of another machine', where a worker .* by .* TMPDIR"):
        fit("nets, rows on disk", executor=Elsewhere())


FIT = """
from fastmlp import MLP, Population

def fit(path):
    nets = {nets}
    nets.fit(path, "y", epochs=1, batch_size=1000, memory_limit="30MB", verbose=0)
"""


@pytest.mark.full
@on_linux
@pytest.mark.parametrize("nets", ["MLP((12, 16, 1), device='cpu')", "Population((12, 16, 1), 2, device='cpu')"])
def test_peak_memory_does_not_grow_with_the_file(nets, tmp_path):
    """In a process of its own: a file of 104 MB takes no more than one of 21 MB in a fit within 30 MB."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet is read by pyarrow")
    rng, paths = np.random.default_rng(0), []
    for n in (400_000, 2_000_000):  # also the first one is read from disk
        columns = dict(zip("abcdefghijkly", rng.standard_normal((13, n), dtype=np.float32), strict=True))
        paths.append(tmp_path / f"{n}.parquet")
        parquet.write_table(table := pyarrow.table(columns), paths[-1], row_group_size=50_000)
    assert growth(FIT.format(nets=nets), *paths) < 0.05 * table.nbytes
