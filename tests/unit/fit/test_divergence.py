"""Divergence: a fit ends with the last finite parameters, and with advice that fits its settings."""

import numpy as np
import pytest
from fit_kinds import KINDS, fit, make

from fastmlp import SGD, DivergenceWarning
from fastmlp.fit.divergence import SMALL, are_finite

as_is = lambda params: params


@pytest.mark.parametrize("size", (3, 4 * SMALL))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("bad", (None, np.nan, np.inf, -np.inf))
def test_one_bad_value_is_found_and_overflowing_sums_are_not_bad(bad, dtype, size):
    for value in (0.0, 1.0, 0.9 * np.finfo(dtype).max):
        params = np.full(size, value, dtype)
        if bad is not None:
            params[size // 2] = bad
        assert are_finite(params, as_is) == (bad is None)
    assert not are_finite(np.array([np.inf, 1.0, -np.inf], dtype), as_is)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("n_good", [0, 1, 4])
@pytest.mark.parametrize("kind", ["net", "net, rows on disk", "nets one by one"])
def test_the_parameters_are_the_last_finite_ones(kind, n_good):
    """After n_good epochs, each the end of a kernel call, steps are huge."""
    nets, expected = (make(kind, loss="squared_error", hidden_activation="leaky_relu") for _ in range(2))
    given = {"batch_size": 24, "optimizer": SGD(0.1), "callbacks": lambda epoch, history: None}
    schedule = lambda step, n: np.where(step < 3 * n_good, 1.0, 1e300)
    with pytest.warns(DivergenceWarning):
        record = fit(kind, nets=nets, schedule=schedule, **given)[1]
    assert set(np.atleast_1d(record.stopped_by)) == {"divergence"}
    if n_good:
        fit(kind, nets=expected, **given | {"epochs": n_good})
    np.testing.assert_array_equal(nets.params, expected.params)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    "clip_norm, remedy", [(0.0, "set clip_norm=1.0"), (5.0, "lower clip_norm"), ([0.0, 5.0, 5.0], "lower clip_norm")]
)
@pytest.mark.parametrize("kind", ["net", "nets one by one"])
def test_the_advice_knows_the_clipping(kind, clip_norm, remedy):
    if isinstance(clip_norm, list):
        kind, clip_norm = "nets one by one", np.array(clip_norm)
    nets = make(kind, loss="squared_error", hidden_activation="leaky_relu")
    with pytest.warns(DivergenceWarning, match=rf"Lower the learning rate.*, {remedy}.* standardize=True"):
        fit(kind, nets=nets, optimizer=SGD(1e300, clip_norm=clip_norm))


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].n_nets])
def test_one_diverging_net_leaves_the_others_finite(kind, capsys):
    n_nets = KINDS[kind].n_nets
    rates = np.full(n_nets, 1e-4)
    rates[1] = 1e30
    nets = make(kind, loss="squared_error", hidden_activation="leaky_relu")
    with pytest.warns(DivergenceWarning, match=f"1 of {n_nets} nets") as caught:
        result = fit(kind, nets=nets, optimizer=SGD(rates))[1]
    assert len(caught) == 1
    assert np.flatnonzero(result.stopped_by == "divergence").tolist() == [1]
    assert np.isfinite(nets.params).all()
    assert np.isnan(result.loss[1])
    assert np.flatnonzero(~result.converged).tolist() == [1]
    np.testing.assert_array_equal(result.settings["learning_rate"], rates)
    assert "learning_rate" not in result.arguments["optimizer"]
