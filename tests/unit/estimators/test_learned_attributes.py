"""Attributes of a first pass: the same after JSON, and none of an earlier fit beside them."""

import json

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="estimators are those of scikit-learn")

from fastmlp import MLPClassifier, MLPRegressor  # needs scikit-learn
from fastmlp.estimators.learned_attributes import LEARNED, learned_by, take_learned

LABELS = {
    "text": np.array(["no", "yes"]),
    "text of pandas": np.array(["no", "yes"], dtype=object),
    "numbers": np.array([1.5, 2.25], dtype=np.float32),
    "whole numbers": np.array([3, 2**40]),
    "booleans": np.array([False, True]),
}


def with_classes(classes):
    model = MLPClassifier()
    model.classes_, model.n_outputs_, model.n_features_in_, model._is_multilabel = classes, np.int64(1), 4, False
    model._input_dtype = np.dtype(np.float32)
    return model


@pytest.mark.parametrize("kind", LABELS)
def test_attributes_are_the_same_after_json(kind):
    given, found = with_classes(LABELS[kind]), MLPClassifier()
    take_learned(found, json.loads(json.dumps(learned_by(given))))
    assert found.classes_.dtype == given.classes_.dtype
    assert found.classes_.tolist() == given.classes_.tolist()
    assert [type(label) for label in found.classes_.tolist()] == [type(label) for label in given.classes_.tolist()]
    rest = [name for name in LEARNED if name != "classes_" and name in vars(given)]
    assert {name: vars(found)[name] for name in rest} == {name: vars(given)[name] for name in rest}


def test_attributes_of_an_earlier_fit_go():
    given, found = MLPRegressor(), with_classes(LABELS["text"])
    given.n_features_in_ = 3
    found.feature_names_in_ = np.array(["a", "b", "c", "d"], dtype=object)
    take_learned(found, learned_by(given))
    assert [name for name in LEARNED if name in vars(found)] == ["n_features_in_"]


def test_classes_that_are_neither_text_nor_numbers_are_refused():
    with pytest.raises(TypeError, match="classes_ has"):
        learned_by(with_classes(np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]")))


@pytest.mark.parametrize("damage", [{"classes_": 5}, {"_input_dtype": "much"}, {"columns_": [{}]}, {"new": 1}])
def test_attributes_of_another_version_change_nothing(damage):
    found = with_classes(LABELS["text"])
    before = dict(vars(found))
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        take_learned(found, {**learned_by(with_classes(LABELS["booleans"])), **damage})
    assert vars(found) == before
