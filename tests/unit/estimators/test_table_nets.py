"""Estimators from the files of `fastmlp train`: they take the table itself and agree with `fastmlp predict`."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import fastmlp
from fastmlp.commands.cli import app

ROWS = 120


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    size, colour = rng.normal(100.0, 30.0, ROWS), rng.choice(["red", "blue", "green"], ROWS)
    price = 3000.0 * size + 50_000.0 * (colour == "red") + rng.normal(0.0, 1000.0, ROWS)
    sold = np.where(price > np.median(price), "late", "soon")
    made = pd.DataFrame({"house": np.arange(ROWS), "size": size, "colour": colour, "price": price, "sold": sold})
    made.to_csv(tmp_path / "houses.csv", index=False)
    return made


def run(*arguments):
    result = CliRunner().invoke(app, [str(word) for word in arguments])
    assert result.exit_code == 0, result.output


@pytest.fixture
def trained(table, tmp_path):
    """Return a function that trains on a target column, and returns the loaded model and the command's predictions."""

    def train(target, other):
        model, predicted = tmp_path / "model.safetensors", tmp_path / "predicted.csv"
        options = ("--n-nets", 1, "--drop", other, "--id", "house", "--epochs", 20, "--hidden", "16", "--device", "cpu")
        run("train", tmp_path / "houses.csv", "--target", target, "--output", model, *options)
        run("predict", model, tmp_path / "houses.csv", "--output", predicted)
        return fastmlp.load(model, device="cpu"), pd.read_csv(predicted)

    return train


def test_regressor_predicts_in_units_of_the_target(trained, table):
    model, predicted = trained("price", "sold")
    assert type(model).__name__ == "TabularMLPRegressor"
    assert model.net_.history.epochs == model.n_iter_ == len(model.loss_curve_)
    inputs = table[["colour", "size"]]
    np.testing.assert_allclose(model.predict(inputs), predicted["prediction"], rtol=1e-5)
    assert model.score(inputs, table["price"]) > 0.2


def test_classifier_predicts_labels_and_probabilities(trained, table):
    model, predicted = trained("sold", "price")
    assert list(model.classes_) == ["late", "soon"]
    assert (model.predict(table) == predicted["prediction"]).all()
    np.testing.assert_allclose(model.predict_proba(table)[:, 1], predicted["probability_soon"], rtol=1e-4, atol=1e-6)
    assert model.get_params()["hidden_layer_sizes"] == (16,)


def test_table_may_have_further_columns_but_not_lack_one(trained, table, tmp_path):
    """As for `fastmlp predict`, since training leaves columns out."""
    model, _ = trained("price", "sold")
    both = model.predict(table), model.predict(table[["size", "colour"]])
    np.testing.assert_array_equal(*both)
    with pytest.raises(ValueError, match="colour") as raised:
        model.predict(table.drop(columns="colour"))
    assert "unseen" not in str(raised.value), "further columns are no mistake"
    model.save(tmp_path / "again.safetensors")
    np.testing.assert_array_equal(fastmlp.load(tmp_path / "again.safetensors").predict(table), both[0])
    model.set_params(max_iter=1).fit(table[["size", "colour"]], table["price"])
    with pytest.raises(ValueError, match="unseen at fit time"):
        model.predict(table)
