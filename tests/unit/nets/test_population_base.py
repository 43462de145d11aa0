"""fastmlp.nets.population_base: what predict and evaluate of Population do."""

import numpy as np
import pytest

from fastmlp import Population

X = np.arange(12, dtype=np.float32).reshape(6, 2)


@pytest.fixture
def pop():
    return Population((2, 3, 1), 4, random_state=0, device="cpu")


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


class Chunked:
    """An array on disk, as of zarr, which has no length."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.chunks = array, array.shape, array.dtype, (3, 2)

    def __getitem__(self, rows):
        return self.array[rows]


def test_arrays_on_disk_have_samples_and_targets_of_all_nets_or_of_each(pop, rng, tmp_path):
    y = rng.normal(size=(4, 6))
    expected = pop.evaluate(X, y[0])["loss"]
    np.testing.assert_allclose(pop.evaluate(Chunked(X), y[0])["loss"], expected, rtol=1e-6)
    for k, (inputs, targets) in enumerate(((X, y[0]), (X, y), (np.tile(X, (4, 1, 1)), y))):
        np.save(tmp_path / f"{k}.npy", inputs)
        found = pop.evaluate(np.load(tmp_path / f"{k}.npy", mmap_mode="r"), targets)["loss"]
        np.testing.assert_allclose(found, pop.evaluate(inputs, targets)["loss"], rtol=1e-6)
