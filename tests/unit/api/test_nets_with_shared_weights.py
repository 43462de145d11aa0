"""What populations with shared weights cannot have is refused before anything is trained, with a sentence."""

import numpy as np
import pytest

from fastmlp import Adam, CategoryEmbedding, PiecewiseLinearEmbedding, Population, Quickprop

X, Y = np.zeros((4, 2)), np.zeros(4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer_sizes": (2, 1)}, "needs a hidden layer"),
        ({"dropout": [0.1, 0.2, 0.3]}, "the same dropout"),
        ({"init_scale": [1.0, 2.0, 3.0]}, "the same init_scale"),
        ({"l2": 0.1}, "cannot be combined with l2"),
        ({"l2": [0.1, 0.2, 0.3]}, "cannot be combined with l2"),
        ({"layer_sizes": (2, 1), "input_embedding": [CategoryEmbedding(2, 1)]}, "needs a hidden layer"),
        ({"shared_weights": "yes"}, "must be True or False"),
        ({"device": "cuda:7"}, "trained on a CPU"),
    ],
)
def test_settings_of_the_population(settings, message):
    with pytest.raises(ValueError, match=message):
        Population(**({"layer_sizes": (2, 3, 1), "n_nets": 3, "shared_weights": True} | settings))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"converged": 0.1}, "without converged"),
        ({"monitor": True}, "without monitor"),
        ({"executor": object()}, "without executor"),
        ({"optimizer": Adam(np.array([0.1, 0.2, 0.3]))}, "differ from net to net"),
        ({"optimizer": Adam(learning_rate_factors={"biases": 0.1})}, "learning_rate_factors"),
        ({"optimizer": Quickprop(by_fan_in=True)}, "without an optimizer with by_fan_in=True, or a bias_input"),
        ({"y": np.zeros((3, 4))}, "same data.*Give one X and one y"),
    ],
)
def test_arguments_of_fit(arguments, message):
    pop = Population((2, 3, 1), 3, shared_weights=True, random_state=0)
    before = pop.params.copy()
    with pytest.raises(ValueError, match=message):
        pop.fit(**({"X": X, "y": Y, "epochs": 1, "verbose": 0} | arguments))
    np.testing.assert_array_equal(pop.params, before)


def test_checkpoints_are_refused(tmp_path):
    pop = Population((2, 3, 1), 3, shared_weights=True, random_state=0)
    with pytest.raises(ValueError, match="without checkpoint"):
        pop.fit(X, Y, epochs=1, checkpoint=tmp_path / "run.ckpt", verbose=0)
    assert not (tmp_path / "run.ckpt").exists()


@pytest.mark.parametrize("embedding", [None, [PiecewiseLinearEmbedding(2, 3)]], ids=["plain", "embedded"])
def test_rows_from_disk_give_the_nets_of_rows_in_memory(embedding, tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=120_000) for name in "aby"}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    X, settings = np.column_stack([columns["a"], columns["b"]]), {"epochs": 2, "batch_size": 500, "shuffle": False}
    held = X[:50], columns["y"][:50]
    further = {"optimizer": "adamw", "validation_data": held, "early_stopping": 5, "verbose": 0}
    disk, memory = (
        Population((2, 3, 1), 3, shared_weights=True, input_embedding=embedding, random_state=0) for _ in range(2)
    )
    found = disk.fit(str(tmp_path / "rows.parquet"), "y", memory_limit="1MB", **settings, **further)
    expected = memory.fit(X, columns["y"], **settings, **further)
    np.testing.assert_allclose(disk.params, memory.params, atol=1e-5)
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-4)
    np.testing.assert_allclose(found.best_value, expected.best_value, rtol=1e-4)
    assert found.arguments["memory_limit"] == 1_000_000
    assert disk.fits == 1
    pop = Population((2, 3, 1), 3, shared_weights=True, input_embedding=embedding, random_state=0)
    pop.fit(str(tmp_path / "rows.parquet"), "y", memory_limit="1MB", epochs=1, batch_size=500, verbose=0)
    assert len(np.unique(pop.params[:, -1])) == 3, "shuffled, and without held-out rows"


def test_a_time_limit_ends_the_fit_of_a_file(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = np.random.default_rng(0).normal(size=(3, 3_000))
    pq.write_table(pa.table(dict(zip("aby", rows, strict=True))), tmp_path / "rows.parquet")
    pop = Population((2, 3, 1), 3, shared_weights=True, random_state=0)
    limits = {"memory_limit": "1MB", "time_limit": 0.1, "batch_size": 500, "verbose": 0}
    result = pop.fit(str(tmp_path / "rows.parquet"), "y", epochs=10**6, **limits)
    assert set(result.stopped_by) == {"time_limit"}
    assert 0 < result.epochs[0] < 10**6


def test_settings_make_an_equal_population():
    pop = Population((2, 3, 1), 3, shared_weights=np.True_, random_state=0)
    again = Population(**pop.get_settings(), n_nets=3, random_state=0)
    assert again.shared_weights
    np.testing.assert_array_equal(again.params, pop.params)
    assert "shared_weights" not in Population((2, 3, 1), 3).get_settings()
