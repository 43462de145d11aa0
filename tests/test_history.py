"""What fit returns."""

import numpy as np
import pytest

from fastmlp import History


def history(**records):
    made = History()
    for name, value in records.items():
        setattr(made, name, value)
    return made


def test_empty():
    empty = History()
    assert empty.epochs == 0
    assert empty.loss.shape == (0,)
    assert repr(empty) == "History(epochs=0, stopped_by='epochs')"


def test_epochs_and_repr_show_the_last_figures():
    made = history(loss=np.array([3.0, 1.0]), accuracy=np.array([0.5, 0.75]), seconds=1.5, stopped_by="callback")
    assert made.epochs == 2
    assert repr(made) == "History(epochs=2, loss=1, accuracy=0.75, seconds=1.5, stopped_by='callback')"


def test_record():
    made = history(loss=np.array([3.0]), validation_loss=np.array([4.0]))
    assert made.record("loss") is made.loss
    assert made.record("validation_loss") is made.validation_loss


@pytest.mark.parametrize(
    "name, reason", [("accuracy", "not a classification"), ("validation_loss", "give validation_data")]
)
def test_missing_record(name, reason):
    with pytest.raises(ValueError, match=f"There is no {name} to monitor: .*{reason}"):
        history(loss=np.array([3.0])).record(name)
