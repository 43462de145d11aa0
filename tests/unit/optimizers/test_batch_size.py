"""fastmlp.fit.rows: the default batch_size="auto", by which nets and populations are trained."""

import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

from fastmlp import MLP, Population, sweep
from fastmlp.optimizers.batch_size import batch_rows, takes_all

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(450, 3)), RNG.normal(size=450)


def net(**settings):
    return MLP((X.shape[1], 8, 1), device="cpu", random_state=0, **settings)


def test_the_default_is_200_samples_as_in_scikit_learn():
    default, of_200 = net(), net()
    history = default.fit(X, Y, epochs=3)
    of_200.fit(X, Y, epochs=3, batch_size=200)
    assert history.settings["batch_size"] == 200
    np.testing.assert_array_equal(default.params, of_200.params)
    assert default.fit(X, Y, epochs=1, batch_size=None).settings["batch_size"] == 450


@pytest.mark.parametrize("n_samples", [4, 150, 200])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_few_samples_are_one_batch_to_the_same_bits(n_samples, optimizer):
    data = X[:n_samples], Y[:n_samples]
    fits = [net().fit(*data, epochs=5, optimizer=optimizer, **size) for size in ({}, {"batch_size": None})]
    assert fits[0].settings == fits[1].settings
    assert fits[0].settings["shuffle"] is False
    np.testing.assert_array_equal(fits[0].loss, fits[1].loss)
    np.testing.assert_array_equal(fits[0].net.params, fits[1].net.params)


def test_held_out_samples_do_not_count():
    fits = [net().fit(X[:240], Y[:240], epochs=2, validation_fraction=0.25, batch_size=b) for b in ("auto", None)]
    assert fits[0].settings == fits[1].settings
    np.testing.assert_array_equal(fits[0].net.params, fits[1].net.params)


@pytest.mark.parametrize("optimizer", ["rprop", "quickprop"])
def test_rules_that_need_full_batches_have_them(optimizer):
    assert net().fit(X, Y, epochs=2, optimizer=optimizer).settings["batch_size"] == 450
    pop = Population((3, 4, 1), 3, device="cpu", random_state=0)
    assert pop.fit(X, Y, epochs=2, optimizer=optimizer).arguments["batch_size"] == 450


def test_populations_of_xor_are_trained_in_one_batch_to_the_same_bits():
    make = lambda: Population((2, 2, 1), 50, device="cpu", random_state=0)
    pops = make(), make()
    results = [pops[0].fit(XOR_X, XOR_Y, epochs=20), pops[1].fit(XOR_X, XOR_Y, epochs=20, batch_size=None)]
    assert results[0].arguments == results[1].arguments
    np.testing.assert_array_equal(pops[0].params, pops[1].params)


def test_nets_with_samples_of_their_own_count_those_of_one():
    pop = Population((3, 4, 1), 3, device="cpu", random_state=0)
    for n_samples, size in ((150, 150), (300, 200)):
        of_nets = RNG.normal(size=(3, n_samples, 3)), RNG.normal(size=(3, n_samples))
        assert pop.fit(*of_nets, epochs=1).arguments["batch_size"] == size


def test_rows_on_disk_and_searches_take_auto(tmp_path):
    np.save(tmp_path / "x.npy", np.tile(X, (300, 1))), np.save(tmp_path / "y.npy", np.tile(Y, 300))
    history = net().fit(tmp_path / "x.npy", str(tmp_path / "y.npy"), epochs=1, memory_limit="1MB", verbose=0)
    assert history.settings["batch_size"] == 200
    assert "memory_limit" in history.settings
    found = sweep(X, Y, {"batch_size": ["auto", None]}, n=2, cv=2, epochs=1, random_state=0, verbose=0)
    assert {row["batch_size"] for row in found.settings} <= {"auto", None}


@pytest.mark.parametrize("batch_size", ["all", 0, -1, 2.5, True])
def test_mistakes(batch_size):
    with pytest.raises(ValueError, match=r"batch_size must be a whole number of at least 1.*, but it is"):
        batch_rows(batch_size, 100)
    assert not takes_all(batch_size)
