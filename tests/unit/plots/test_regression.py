"""Plot of predictions over true values."""

import numpy as np
import pytest

import fastmlp
from fastmlp import plots


def test_predictions_plot_shows_outputs_and_error(rng):
    net = fastmlp.MLP((3, 2), random_state=0)
    X, Y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    ax = plots.predictions(net, X, Y, output=1)
    drawn = ax.collections[0].get_offsets()
    np.testing.assert_allclose(drawn, np.c_[Y[:, 1], net.predict(X)[:, 1]], rtol=1e-5)
    error = np.sqrt(np.mean((drawn[:, 0] - drawn[:, 1]) ** 2))
    assert ax.get_title(loc="left").startswith(f"Predictions: RMSE {error:.3g}, R² ")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("true output 1", "predicted output 1")
    with pytest.raises(ValueError, match="output must be below 2"):
        plots.predictions(net, X, Y, output=2)


def test_predictions_plot_uses_units_of_the_table(rng):
    pd = pytest.importorskip("pandas")
    from fitted_tables import fitted

    table = pd.DataFrame({"a": rng.normal(size=40), "price": 1000 + 50 * rng.normal(size=40)})
    net = fastmlp.MLP((1, 1), random_state=0)
    net.preprocessing = fitted(table, "price")
    X, y = net.preprocessing.transform(table), net.preprocessing.target.encode(table["price"])
    ax = plots.predictions(net, X, y)
    assert ax.get_xlabel() == "true price"
    np.testing.assert_allclose(ax.collections[0].get_offsets()[:, 0], table["price"], rtol=1e-5)


def test_predictions_plot_of_several_targets_uses_their_units(rng):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60)})
    Y = np.c_[1000 + 50 * table["a"], 3 * table["b"]]
    model = fastmlp.TabularMLPRegressor(8, n_nets=1, max_iter=3, random_state=0).fit(table, Y)
    ax = plots.predictions(model, table, pd.DataFrame(Y, columns=["x", "y"]), output=0)
    np.testing.assert_allclose(ax.collections[0].get_offsets(), np.c_[Y[:, 0], model.predict(table)[:, 0]], rtol=1e-9)


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
def test_predictions_plot_of_several_nets_shows_their_mean(rng):
    """The default estimator has several nets; they predict by their mean, which is what is drawn."""
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60)})
    y = pd.Series(1000 + 50 * table["a"] + rng.normal(size=60), name="price")
    model = fastmlp.TabularMLPRegressor(8, n_nets=4, max_iter=3, random_state=0, device="cpu").fit(table, y)
    drawn = plots.predictions(model, table, y).collections[0].get_offsets()
    np.testing.assert_allclose(drawn, np.c_[y, model.predict(table)], rtol=1e-5)
    inputs, targets = table.to_numpy(), y.to_numpy()
    nets = fastmlp.Population((2, 3, 1), 3, random_state=0, device="cpu")
    drawn = plots.predictions(nets, inputs, targets).collections[0].get_offsets()
    np.testing.assert_allclose(drawn[:, 1], nets.ensemble_predict(inputs)[:, 0], rtol=1e-5)
