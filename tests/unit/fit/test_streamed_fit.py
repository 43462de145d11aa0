"""Populations and data that are read piece by piece."""

import shutil
import tempfile

import numpy as np
import pytest
from interrupted_fits import interrupted_epochs, with_sigint
from large_tables import Pieces

from fastmlp import MLP, SGD, DivergenceWarning, EarlyStopping, Population, TabularMLPRegressor
from fastmlp.streams import shuffled_blocks
from fastmlp.streams.row_file import RowFile

N, LIMIT = 60_000, 1_000_000
OPTIONS = {"epochs": 2, "batch_size": 100, "verbose": 0}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(N, 4)).astype(np.float32)
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


def make(n_nets=3):
    return Population((4, 8, 2), n_nets, loss="softmax_cross_entropy", random_state=0, device="cpu")


def test_data_within_the_limit_give_the_bits_of_a_fit_in_memory(data):
    found, expected = make(), make()
    found.fit(Pieces(*data), None, memory_limit="1GB", **OPTIONS)
    expected.fit(*data, **OPTIONS)
    np.testing.assert_array_equal(found.params, expected.params)


@pytest.mark.slow
def test_nets_beyond_the_limit_are_those_trained_alone(data):
    pop, rates = make(), np.array([0.1, 0.2, 0.05])
    alone = [pop.net(k) for k in range(3)]
    result = pop.fit(Pieces(*data), None, memory_limit=LIMIT, optimizer=SGD(rates), **OPTIONS)
    for k, net in enumerate(alone):
        history = net.fit(Pieces(*data), None, memory_limit=LIMIT, optimizer=SGD(float(rates[k])), **OPTIONS)
        np.testing.assert_array_equal(pop.params[k], net.params)
        assert result.loss[k] == history.loss[-1]
    assert result.epochs.tolist() == [2, 2, 2]
    assert pop.fits == 1


@pytest.mark.thinned(3)
@pytest.mark.parametrize("kind", ["parquet", "csv", "memmap"])
def test_files_and_memory_maps_are_read_as_pieces_are(kind, data, tmp_path):
    X, y = data
    if kind == "memmap":
        np.save(tmp_path / "X.npy", X)
        source = inputs = np.load(tmp_path / "X.npy", mmap_mode="r")
        targets = y
    else:
        pandas = pytest.importorskip("pandas", reason="tables are data frames of pandas")
        pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow")
        frame = pandas.DataFrame(X, columns=list("abcd"))
        write = pandas.DataFrame.to_parquet if kind == "parquet" else pandas.DataFrame.to_csv
        write(frame.assign(label=y), source := tmp_path / f"rows.{kind}", index=False)
        write(frame, inputs := tmp_path / f"inputs.{kind}", index=False)
        targets = "label"
    found, expected = make(2), make(2)
    options = {**OPTIONS, "epochs": 1}
    found.fit(source, targets, memory_limit=LIMIT, **options)
    expected.fit(Pieces(X, y), None, memory_limit=LIMIT, **options)
    np.testing.assert_array_equal(found.params, expected.params)
    np.testing.assert_allclose(found.predict(inputs), expected.predict(X), rtol=1e-6)
    scores = found.evaluate(source, targets)
    for name, values in expected.evaluate(X, y).items():
        np.testing.assert_allclose(scores[name], values, rtol=1e-5)


def test_early_stopping_has_best_values(data):
    held_out = data[0][:500], data[1][:500]
    result = make().fit(
        Pieces(*data), None, memory_limit=LIMIT, validation_data=held_out, early_stopping=EarlyStopping(1), **OPTIONS
    )
    assert result.monitor == "validation_loss"
    assert np.isfinite(result.best_value).all()


def test_predictions_and_scores_of_sources_are_those_of_arrays(data):
    pop, (X, y) = make(), data

    class Inputs:
        def __iter__(self):
            return (X[i : i + 7_000] for i in range(0, N, 7_000))

    np.testing.assert_array_equal(pop.predict(Inputs()), pop.predict(X))
    np.testing.assert_array_equal(pop.predict(Inputs(), nets=[1]), pop.predict(X, nets=[1]))
    np.testing.assert_array_equal(pop.predict_classes(Inputs()), pop.predict_classes(X))
    np.testing.assert_array_equal(pop.predict_classes(Inputs(), nets=[2, 0]), pop.predict_classes(X, nets=[2, 0]))
    for weights in (None, [1.0, 0.0, 3.0]):
        found, expected = (pop.ensemble_predict(rows, weights=weights) for rows in (Inputs(), X))
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    once = pop.ensemble_predict(piece for piece in Inputs())
    np.testing.assert_allclose(once, pop.ensemble_predict(X), rtol=1e-6)
    found, expected = pop.evaluate(Pieces(X, y), None), pop.evaluate(X, y)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5)


def test_labels_that_look_like_classes_in_a_piece_are_scored_as_labels(data):
    X = data[0]
    labels = (X[:, :2] > 0).astype(int)
    labels[:7_000] = [1, 0]
    pop = Population((4, 2), 2, loss="binary_cross_entropy", random_state=0, device="cpu")
    found, expected = pop.evaluate(Pieces(X, labels), None), pop.evaluate(X, labels)
    np.testing.assert_allclose(found["accuracy"], expected["accuracy"], rtol=1e-6)


def test_an_interrupted_fit_keeps_the_nets_that_had_begun(data, monkeypatch):
    pop = make()
    before = pop.params[2].copy()
    with interrupted_epochs(3, monkeypatch):  # the first of the second net
        result = pop.fit(Pieces(*data), None, memory_limit=LIMIT, **OPTIONS)
    assert result.interrupted
    assert result.epochs.tolist() == [2, 1, 0]
    assert np.isnan(result.accuracy[2])
    np.testing.assert_array_equal(pop.params[2], before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_between_two_nets_keeps_the_first(data, monkeypatch):
    pop, before = make(), make().params
    with monkeypatch.context() as patch:
        patch.setattr(shuffled_blocks, "Blocks", with_sigint(shuffled_blocks.Blocks, 1))
        result = pop.fit(Pieces(*data), None, memory_limit=LIMIT, **OPTIONS)
    assert result.interrupted
    assert not result.epochs.any()
    np.testing.assert_array_equal(pop.params, before)
    monkeypatch.setattr(shuffled_blocks, "Blocks", with_sigint(shuffled_blocks.Blocks, 2))
    result = pop.fit(Pieces(*data), None, memory_limit=LIMIT, **OPTIONS)
    assert result is pop.result
    assert result.interrupted
    assert result.epochs.tolist() == [2, 0, 0]
    assert result.stopped_by.tolist() == ["epochs", "interrupt", "interrupt"]
    assert (pop.params[0] != before[0]).any()
    np.testing.assert_array_equal(pop.params[1:], before[1:])


def train(kind, data):
    """Train a net, a population or an estimator on rows on disk; return what fit returns, and the parameters."""
    if kind == "estimator":
        model = TabularMLPRegressor((8,), n_nets=1, max_iter=2, batch_size=100, random_state=0, device="cpu")
        return model.fit(Pieces(data[0], data[0][:, 0]), None, memory_limit=LIMIT), model.net_.params
    nets = make() if kind == "population" else make().net(0)
    return nets.fit(Pieces(*data), None, memory_limit=LIMIT, **OPTIONS), nets.params


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.filterwarnings("ignore:Training reached max_iter")
@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("kind", ["net", "population", "estimator"])
def test_ctrl_c_while_rows_are_removed_leaves_the_result_and_no_rows(data, monkeypatch, tmp_path, kind, begins):
    """begins : whether Ctrl-C comes before anything is closed, or before the folder is removed"""
    _, expected = train(kind, data)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place, name = (RowFile, "close") if begins else (shutil, "rmtree")
    monkeypatch.setattr(place, name, with_sigint(getattr(place, name)))
    words = "after its nets were trained" if kind == "estimator" else "after its last epoch|3 of 3 nets had come"
    with pytest.warns(UserWarning, match=words):
        found, params = train(kind, data)
    np.testing.assert_array_equal(params, expected)
    assert list(tmp_path.iterdir()) == []
    if kind == "net":
        assert (found.epochs, found.stopped_by) == (2, "interrupt")
    if kind == "population":
        assert found.epochs.tolist() == [2, 2, 2]
        assert found.interrupted


def test_memory_maps_with_samples_of_each_net_are_arrays(data, tmp_path):
    X = np.stack([data[0][:50]] * 3)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    pop = make()
    np.testing.assert_array_equal(pop.predict(mapped), pop.predict(X))
    pop.fit(mapped, data[1][:50], **{**OPTIONS, "batch_size": 10})


def test_steps_that_take_all_rows_are_refused(data):
    with pytest.raises(ValueError, match=r"^batch_size is None"):
        make().fit(Pieces(*data), None, memory_limit=LIMIT, **{**OPTIONS, "batch_size": None})


def test_nets_of_one_are_as_mlps(data):
    net = MLP((4, 8, 2), loss="softmax_cross_entropy", random_state=0, device="cpu")
    assert net.evaluate(Pieces(*data), None) == pytest.approx(net.evaluate(*data), rel=1e-6)


def test_results_have_what_differs_between_nets_and_no_diverged_net_counts(data, capsys):
    pop = Population(
        (4, 8, 2), 3, loss="softmax_cross_entropy", init_scale=[0.5, 1.0, 2.0], random_state=0, device="cpu"
    )
    rates = np.array([0.1, 1e30, 0.05])
    with pytest.warns(DivergenceWarning, match="loss of 1 of 3 nets stopped being finite") as caught:
        result = pop.fit(Pieces(*data), None, memory_limit=LIMIT, optimizer=SGD(rates), **OPTIONS | {"verbose": 2})
    assert len([warning for warning in caught if warning.category is DivergenceWarning]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("net 3/3  median loss ")
    assert result.settings.keys() == {"learning_rate", "init_scale"}
    np.testing.assert_array_equal(result.settings["learning_rate"], rates)
    assert "learning_rate" not in result.arguments["optimizer"]
    assert result.converged.tolist() == [True, False, True]
    assert np.isnan(result.loss[1])
