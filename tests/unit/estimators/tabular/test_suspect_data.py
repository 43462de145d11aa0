"""Warnings of data that can be learned from, but probably by mistake."""

import warnings

import numpy as np
import pandas as pd
import pytest

from fastmlp import TabularMLPClassifier, TabularMLPRegressor

QUICK = {"hidden_layer_sizes": (2,), "n_nets": 1, "max_iter": 1, "random_state": 0}
OTHER_ORDER = "but have their labels in another order"


@pytest.fixture
def frame(rng):
    """A table whose rows are in random order, as of df.sample(frac=1)."""
    frame = pd.DataFrame({"size": rng.normal(size=60), "price": rng.normal(size=60), "kind": ["a", "b", "c"] * 20})
    return frame.sample(frac=1, random_state=0)


def warnings_of(model, *data, **more):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(*data, **more)
    assert all(warning.filename == __file__ for warning in caught)
    return [str(warning.message) for warning in caught]


def test_the_target_among_the_inputs_is_told_of_once(frame):
    found = warnings_of(TabularMLPRegressor(**QUICK), frame, frame["price"])
    assert found == [
        "The inputs should not hold the target, but 'price' equals it in every row: leave such columns out."
    ]
    found = warnings_of(TabularMLPRegressor(**QUICK), frame, frame[["price", "size"]])
    assert ["target 'price', but 'price' equals" in found[0], "target 'size', but" in found[1]] == [True, True]
    (found,) = warnings_of(TabularMLPClassifier(**QUICK), frame, frame["kind"].to_numpy())
    assert "'kind' equals it" in found
    (found,) = warnings_of(TabularMLPRegressor(**QUICK), frame[["size", "price"]].to_numpy(), frame["price"])
    assert "'1' equals it" in found


def test_labels_of_rows_in_another_order_are_told_of(frame):
    X, y = frame[["size", "kind"]], frame["price"]
    assert warnings_of(TabularMLPRegressor(**QUICK), X, y.sort_index()) == [
        "The rows of y should be in the order of those of X, but have their labels in another order, and labels are "
        "not looked at. If rows go together by their labels, align them by .loc[X.index]; if they are in the same "
        "order, drop the labels by .to_numpy()."
    ]
    (found,) = warnings_of(TabularMLPRegressor(**QUICK), X, y, y.sort_index().abs())
    assert found.startswith("The rows of sample_weight")
    held_out = X, y.sort_index(), y.sort_index().abs()
    found = warnings_of(TabularMLPRegressor(**QUICK), X, y, validation_data=held_out)
    assert [note.split(" should")[0] for note in found] == [
        "The rows of y of validation_data",
        "The rows of sample_weight of validation_data",
    ]
    aligned = y.sort_index().loc[X.index]
    assert not warnings_of(TabularMLPRegressor(**QUICK), X, aligned, validation_data=(X, aligned))


@pytest.mark.parametrize(
    "relabelled",
    (
        lambda y: y.to_numpy(),
        lambda y: y.tolist(),
        lambda y: y.set_axis(y.index + 1),  # rows of the next day
        lambda y: y.set_axis(range(1000, 1060)),
        lambda y: y.set_axis([0] * 60),
        lambda y: y.set_axis(pd.date_range("2020-01-01", periods=60)),
    ),
)
def test_other_labels_and_none_are_no_reason_to_warn(frame, relabelled):
    assert not warnings_of(TabularMLPRegressor(**QUICK), frame[["size", "kind"]], relabelled(frame["price"]))


def test_usual_data_are_no_reason_to_warn(frame):
    X, y, part = frame[["size", "kind"]], frame["price"], frame[:30]
    for inputs, targets in (
        (frame, "price"),
        (part[["size", "kind"]], part["price"].reset_index(drop=True)),
        (X.reset_index(drop=True), y),  # as X = pd.DataFrame(scaler.fit_transform(frame[columns])) has them
        (np.exp(frame[["price", "size"]].to_numpy()), y.rename(0)),
    ):
        assert not warnings_of(TabularMLPRegressor(**QUICK), inputs, targets)
    assert not warnings_of(TabularMLPClassifier(**QUICK), frame.drop(columns="kind"), frame["kind"])


def test_numbers_as_text_are_no_classes_without_a_word(frame):
    prices = np.resize([f"{k / 4:.2f} EUR" for k in range(30)], len(frame))
    (found,) = warnings_of(TabularMLPClassifier(**QUICK), frame[["size"]], prices)
    assert found.startswith("The target 'y' is taken for 30 classes: its texts look like numbers with ")
    assert "pandas.to_numeric(table['y'].str.replace('EUR', '', regex=True))" in found
    few = np.resize(["10 %", "20 %", "30 %"], len(frame))
    assert not warnings_of(TabularMLPClassifier(**QUICK), frame[["size"]], few)


def test_equal_targets_are_told_of(frame):
    X, equal = frame[["size", "kind"]], np.full(len(frame), 2.5)
    assert warnings_of(TabularMLPRegressor(**QUICK), X, equal) == ["y is 2.5 in every row: there is nothing to learn."]
    (found,) = warnings_of(TabularMLPRegressor(**QUICK), X, np.stack([frame["price"], equal], axis=1))
    assert found.startswith("Output 1 of y is 2.5")


def test_a_column_that_predicts_the_target_alone_is_told_of(rng):
    X = pd.DataFrame({"size": rng.normal(size=300), "code": rng.integers(0, 3, 300)})
    y = X["code"].map({0: "a", 1: "b", 2: "c"}).rename("kind")
    (found,) = warnings_of(TabularMLPClassifier(**QUICK), X, y)
    assert found.startswith("The column 'code' alone predicts the target (nearly) perfectly")
    (found,) = warnings_of(TabularMLPRegressor(**QUICK), X.assign(cents=100 * X["size"]), X["size"].to_numpy() + 1)
    assert found.startswith("Each of the columns 'size', 'cents' alone predicts the target (nearly) perfectly")
    assert not warnings_of(TabularMLPRegressor(**QUICK), X, X["size"] + X["code"])
