"""`History`, the records that `fit` returns."""

import copy
import pickle

import numpy as np
import pytest

import fastmlp
from fastmlp import History


def history(**records):
    made = History()
    for name, value in records.items():
        setattr(made, name, value)
    return made


RECORDS = {"loss": np.array([3.0, 1.0]), "accuracy": np.array([0.5, 0.75])}


@pytest.mark.parametrize(
    "records, text",
    [
        ({}, "History(epochs=0, stopped_by='epochs')"),
        (
            {**RECORDS, "seconds": 1.5, "stopped_by": "callback", "best_epoch": 0},
            "History(epochs=2, loss=1, accuracy=0.75, best_epoch=0, seconds=1.5, stopped_by='callback')",
        ),
        (
            {**RECORDS, "seconds": 13.7, "compile_seconds": 12.1},
            "History(epochs=2, loss=1, accuracy=0.75, seconds=13.7, compile_seconds=12.1, stopped_by='epochs')",
        ),
        (
            {**RECORDS, "seconds": 13.7, "compile_seconds": 0.01},
            "History(epochs=2, loss=1, accuracy=0.75, seconds=13.7, stopped_by='epochs')",
        ),
    ],
)
def test_repr_shows_the_last_records(records, text):
    assert repr(history(**records)) == text


def test_record_returns_an_array_by_name():
    made = history(loss=np.array([3.0]), validation_loss=np.array([4.0]))
    assert made.record("loss") is made.loss
    assert made.record("validation_loss") is made.validation_loss


@pytest.mark.parametrize(
    "name, reason", [("accuracy", "not a classification"), ("validation_loss", "give validation_data")]
)
def test_missing_record_raises_with_the_reason(name, reason):
    with pytest.raises(ValueError, match=f"There is no {name} to monitor: .*{reason}"):
        history(loss=np.array([3.0])).record(name)


def test_settings_are_computed_on_first_access():
    asked = []
    made = History()
    made.settings = lambda: asked.append(1) or {"epochs": 5}
    assert asked == []
    assert made.settings == {"epochs": 5}
    assert made.settings["epochs"] == 5
    assert asked == [1]


def test_net_history_is_that_of_its_last_fit():
    net = fastmlp.MLP((2, 3, 1), random_state=0)
    assert net.history is None
    history = net.fit([[0, 1], [1, 0]], [0, 1], epochs=3, batch_size=1)
    assert net.history is history
    assert history.settings["n_samples"] == 2
    assert history.settings["batch_size"] == 1
    assert net.reset().history is None


@pytest.mark.parametrize("again", [lambda whole: pickle.loads(pickle.dumps(whole)), copy.deepcopy])
def test_copies_keep_net_and_history_linked_without_samples(again):
    """In either order of net and history in the pickled tuple."""
    net = fastmlp.MLP((2, 3, 1), random_state=0)
    made = net.fit(
        [[0, 1], [1, 0]], [0, 1], epochs=3, schedule=lambda steps, n: 1.0, callbacks=[lambda epoch, history: None]
    )
    for same in (again(net), again((made,))[0].net, again((net, made))[0], again((made, net))[1]):
        np.testing.assert_array_equal(same.params, net.params)
        np.testing.assert_array_equal(same.history.loss, made.loss)
        assert same.history.settings["schedule"] == "<lambda>"
        assert same.history.net is same
        assert same.history.samples == {}, "samples must not be copied with the net"
    first, second = again((made, net))
    assert second.history is first
    assert made.samples["training"][0].shape == (2, 2)
    assert copy.copy(made).net is net


def test_getstate_has_no_reference_cycle():
    """Formats such as skops' cannot store cycles: a net's state holds its history, a history's state holds no net."""
    net = fastmlp.MLP((2, 3, 1), random_state=0)
    made = net.fit([[0, 1], [1, 0]], [0, 1], epochs=3)
    assert made.__getstate__()["net"] is None
    same = object.__new__(fastmlp.MLP)
    history = object.__new__(History)
    history.__dict__.update(made.__getstate__())
    same.__setstate__({**net.__getstate__(), "history": history})
    assert same.history.net is same
    assert made.net is net
