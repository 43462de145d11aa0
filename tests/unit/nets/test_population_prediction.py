"""fastmlp.nets.population_prediction: what predict and evaluate of Population do."""

import numpy as np
import pytest

from fastmlp import Population
from fastmlp.nets.population_prediction import outputs_of, reads_rows

X = np.arange(12, dtype=np.float32).reshape(6, 2)


@pytest.fixture
def pop():
    return Population((2, 3, 1), 4, random_state=0, device="cpu")


def test_memory_maps_of_all_nets_are_sources(tmp_path):
    path = tmp_path / "X.npy"
    np.save(path, X)
    mapped = np.load(path, mmap_mode="r")
    assert (reads_rows(X, None), reads_rows(mapped, None), reads_rows(mapped, np.zeros(6))) == (False, True, True)
    assert not reads_rows(mapped, np.zeros((4, 6))), "targets of each net"
    assert not reads_rows(mapped.reshape(2, 3, 2), None), "samples of each net"
    assert reads_rows(str(path), "y")


def test_arrays_on_disk_need_no_length():
    """As arrays of zarr."""

    class OnDisk:
        shape, dtype, chunks = X.shape, X.dtype, (3, 2)

        def __getitem__(self, rows):
            return X[rows]

    assert reads_rows(OnDisk(), np.zeros(6))
    assert not reads_rows(OnDisk(), np.zeros((4, 6))), "targets of each net"


def test_outputs_of_some_nets(pop):
    np.testing.assert_array_equal(outputs_of(pop, X, [2, 0]), pop.predict(X)[[2, 0]])


@pytest.mark.parametrize("kind", ["for all nets", "of each net", "in a column"])
def test_rows_of_a_source_are_weighted(kind, pop, rng, tmp_path):
    """The second piece has no weight, for one net or for all."""
    y, weights = rng.normal(size=6), rng.uniform(0.5, 2.0, (pop.n_nets, 6))
    weights = weights if kind == "of each net" else weights[0]
    weights[..., 2:4] = 0.0
    if kind == "in a column":
        path = tmp_path / "rows.csv"
        np.savetxt(path, np.column_stack([X, y, weights]), "%.18g", ",", header="a,b,y,w", comments="")
        found = pop.evaluate(path, "y", sample_weight="w")
    else:
        pieces = [(X[i : i + 2], y[i : i + 2]) for i in (0, 2, 4)]
        found = pop.evaluate(pieces, None, sample_weight=weights)
    np.testing.assert_allclose(found["loss"], pop.evaluate(X, y, sample_weight=weights)["loss"], rtol=1e-5)


@pytest.mark.parametrize("wrong", [np.ones(5), -np.ones(6), np.zeros(6), np.ones((2, 2, 6))])
def test_weights_of_a_source_are_checked(wrong, pop):
    with pytest.raises(ValueError, match="sample_weight must"):
        pop.evaluate([(X[:3], np.zeros(3)), (X[3:], np.zeros(3))], None, sample_weight=wrong)
    with pytest.raises(ValueError, match="sample_weight must have shape"):
        pop.net(0).evaluate([(X[:3], np.zeros(3)), (X[3:], np.zeros(3))], None, sample_weight=np.ones(7))


def test_targets_on_disk_are_of_all_nets_or_of_each(tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for y in (tmp_path / "y.npy", "y.npy", iter([np.zeros(6)]), mapped[:, :1]):
        assert reads_rows(mapped, y)
    assert not reads_rows(mapped, mapped[:4]), "targets of each net"
