"""Checkpoints of a search: it goes on to the same scores, whatever has interrupted it, and refuses those of another."""

import signal

import numpy as np
import pytest
from executor_cases import InPlace, Interrupted
from resumed_fits import Killed, checkpoint, kill_after_writes

import fastmlp
from fastmlp.fit import slices_on_workers
from fastmlp.kernels.cpu import backend

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
SPACE = {"hidden_layer_sizes": [(4,), (8,), (5, 3)], "learning_rate": [0.01, 0.03, 0.1]}
SETTINGS = {"n": 7, "cv": 2, "epochs": 12, "batch_size": 16, "device": "cpu", "dtype": "float32", "random_state": 5}


def sweep(space=SPACE, path=None, every="5 min", resume=False, **options):
    file = checkpoint(path, every, resume)
    return fastmlp.sweep(X, Y, space, checkpoint=file, **SETTINGS | {"verbose": 0} | options)


@pytest.fixture(scope="module")
def expected():
    """The search without a checkpoint."""
    return sweep()


def assert_same(one, other):
    np.testing.assert_array_equal(one.fold_scores, other.fold_scores)
    np.testing.assert_array_equal(one.train_losses, other.train_losses)
    assert one.settings == other.settings
    assert one.best.params.tobytes() == other.best.params.tobytes()


def test_a_checkpoint_changes_no_bit_and_a_finished_search_trains_nothing(tmp_path, monkeypatch, expected):
    path = tmp_path / "search.ckpt"
    assert_same(sweep(path=path, every=2), expected)
    numbered = [f"search.ckpt.{number}" for number in range(3)]  # of the populations, which have ended
    assert sorted(file.name for file in tmp_path.iterdir()) == ["search.ckpt", *numbered]
    monkeypatch.setattr(backend, "train_nets", None)
    assert_same(sweep(path=path, resume=True), expected)


@pytest.mark.parametrize("n_fits", [0, 1, 2])
def test_an_interrupted_search_goes_on_to_the_same_scores(tmp_path, monkeypatch, n_fits, expected):
    path, fit, calls = tmp_path / "search.ckpt", fastmlp.Population.fit, []

    def fail(self, *data, **options):
        calls.append(options)
        with monkeypatch.context() as patches:
            if len(calls) > n_fits:
                kill_after_writes(2, patches)
            return fit(self, *data, **options)

    with monkeypatch.context() as patches:
        patches.setattr(fastmlp.Population, "fit", fail)
        with pytest.raises(Killed):
            sweep(path=path, every=4)
    assert (tmp_path / f"search.ckpt.{n_fits}").exists()
    assert_same(sweep(path=path, resume=True), expected)


def test_ctrl_c_leaves_a_checkpoint_to_go_on_from(tmp_path, monkeypatch, expected):
    path, evaluate, calls = tmp_path / "search.ckpt", fastmlp.Population.evaluate, []

    def interrupted(self, *data, **options):
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return evaluate(self, *data, **options)

    monkeypatch.setattr(fastmlp.Population, "evaluate", interrupted)
    with pytest.warns(UserWarning, match="The search was interrupted"):
        found = sweep(path=path)
    assert found.interrupted
    assert 0 < len(found.scores) < 7
    monkeypatch.undo()
    assert_same(sweep(path=path, resume=True), expected)


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"n": 8}, "its n was 7, and here it is 8"),
        ({"cv": 3}, "its cv was 2, and here it is 3"),
        ({"random_state": 6}, "its random_state was 5, and here it is 6"),
        ({"epochs": 13}, "space, with epochs and batch_size had other values"),
        ({"batch_size": 8}, "space, with epochs and batch_size had other values"),
        ({"space": SPACE | {"learning_rate": [0.2, 0.3, 0.4]}}, "space, with epochs and batch_size had other values"),
        ({"dtype": "float64"}, "its dtype was float32, and here it is float64"),
    ],
)
def test_checkpoints_of_other_searches_are_refused(tmp_path, options, difference):
    path = tmp_path / "search.ckpt"
    sweep(path=path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"is a checkpoint of another fit: {difference}"):
        sweep(path=path, resume=True, **options)
    assert path.read_bytes() == before


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "net.ckpt"
    fastmlp.MLP((2, 1), random_state=0).fit(X, Y, epochs=2, checkpoint=path, verbose=0)
    with pytest.raises(ValueError, match="it is a checkpoint of a net, and this is a sweep"):
        sweep(path=path, resume=True)
    with pytest.raises(FileExistsError, match=r"to start anew, remove it and .*net\.ckpt\.\*'\.$"):
        sweep(path=path)


def test_an_interrupted_population_of_workers_goes_on(tmp_path, monkeypatch):
    for name in ("FIRST_SECONDS", "TASK_SECONDS"):
        monkeypatch.setattr(slices_on_workers, name, 1e-9)
    monkeypatch.setattr(slices_on_workers, "SHORTEST", 0.0)
    space, path, rest = {"learning_rate": np.geomspace(0.01, 0.1, 20)}, tmp_path / "search.ckpt", InPlace()
    expected = sweep(space, n=20)
    with pytest.warns(UserWarning, match="The search was interrupted"):
        assert sweep(space, n=20, path=path, executor=Interrupted(2)).interrupted
    assert_same(sweep(space, n=20, path=path, executor=rest, resume=True), expected)
    assert rest.n_submitted == 1, "40 nets are three tasks"


def test_workers_go_on_with_a_population_in_training(tmp_path, monkeypatch, expected):
    path = tmp_path / "search.ckpt"
    with monkeypatch.context() as patches:
        kill_after_writes(4, patches)
        with pytest.raises(Killed):
            sweep(path=path, every=1)
    assert (tmp_path / "search.ckpt.0").exists()
    assert_same(sweep(path=path, executor=InPlace(), resume=True), expected)
    assert_same(sweep(path=tmp_path / "other.ckpt", every=2, executor=InPlace()), expected)


def test_a_search_without_a_seed_goes_on_with_that_of_its_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "search.ckpt"
    with monkeypatch.context() as patches:
        kill_after_writes(3, patches)
        with pytest.raises(Killed):
            sweep(path=path, random_state=None, every=1)
    first = sweep(path=path, random_state=None, resume=True)
    assert_same(sweep(path=path, random_state=None, resume=True), first)


def test_the_state_of_a_population_without_the_checkpoint_of_its_search_is_refused(tmp_path):
    (tmp_path / "search.ckpt.0").write_bytes(b"something")
    for resume in (False, True):
        with pytest.raises(FileExistsError, match=r"search\.ckpt\.0' is there.*search\.ckpt\.\*'\.$"):
            sweep(path=tmp_path / "search.ckpt", resume=resume)
