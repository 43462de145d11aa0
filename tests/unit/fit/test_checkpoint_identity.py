"""Identity of a fit in its checkpoints: a setting that a later version adds is not another fit while it is off."""

from dataclasses import dataclass

import numpy as np
import pytest
from fit_kinds import HELD_OUT, fit
from resumed_fits import assert_same_fit
from small_blocks import N

import fastmlp
from fastmlp.convergence import Converged
from fastmlp.fit.checkpoint_identity import description
from fastmlp.fit.keywords import POPULATION_KEYWORDS


def of_a_later_version(cls):
    """Return a class of the same name with a setting more."""

    @dataclass(frozen=True, repr=cls is not fastmlp.Adam)
    class Later(cls):
        later: int = 0

        @property
        def rule(self):
            return fastmlp.Adam().rule

    Later.__name__ = cls.__name__
    return Later


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("kind", ["net", "nets one by one", "net, rows on disk"])
def test_a_fit_goes_on_in_a_version_with_more_settings(kind, tmp_path):
    def arguments(stopping, adam, **later):
        return {"optimizer": adam(**later), "early_stopping": stopping(9, **later), "validation_data": HELD_OUT}

    path = tmp_path / "run.ckpt"
    stopping, adam = of_a_later_version(fastmlp.EarlyStopping), of_a_later_version(fastmlp.Adam)
    before = arguments(fastmlp.EarlyStopping, fastmlp.Adam)
    fit(kind, path=path, epochs=4, **before)
    message = r"its optimizer was Adam\(\), and here it is Adam\(later=3"
    with pytest.raises(ValueError, match=message):
        fit(kind, path=path, resume=True, **arguments(stopping, adam, later=3))
    found = fit(kind, path=path, resume=True, **arguments(stopping, adam))
    assert_same_fit(found, fit(kind, **before))


@pytest.mark.parametrize(
    "value, text",
    [
        (None, "None"),
        (fastmlp.EarlyStopping(5, "loss"), "EarlyStopping(patience=5, monitor='loss')"),
        (Converged(accuracy=1.0), "Converged(accuracy=1.0)"),
        (fastmlp.SGD(np.array([0.1, 0.2]), momentum=0.9), "SGD(momentum=0.9)"),  # others of each net are digests
    ],
)
def test_identities_have_the_settings_that_are_not_defaults(value, text):
    assert description(value) == text


CHANGED = {  # keyword -> a value that makes it another fit
    "batch_size": 7,
    "optimizer": "sgd",
    "schedule": "cosine",
    "shuffle": False,
    "sample_weight": np.linspace(0.5, 1.5, N),
    "class_weight": {0: 2.0},
    "validation_data": HELD_OUT,
    "validation_fraction": 0.2,
    "early_stopping": 9,
    "metrics": ["accuracy"],
    "converged": 1e-9,
}


def test_identities_have_each_keyword_that_is_not_free_to_change():
    free = {name for name, row in POPULATION_KEYWORDS.rows.items() if not row.in_identity}
    assert free == {
        *("epochs", "callbacks", "monitor", "memory_limit", "verbose", "time_limit", "optimizer_state", "checkpoint"),
        "executor",
    }
    assert CHANGED.keys() <= POPULATION_KEYWORDS.rows.keys() - free


@pytest.mark.parametrize("name", CHANGED)
def test_a_checkpoint_is_refused_under_another_setting(name, tmp_path):
    path = tmp_path / "run.ckpt"
    fit("nets one by one", path=path, epochs=2)
    with pytest.raises(ValueError, match="is a checkpoint of another fit"):
        fit("nets one by one", path=path, epochs=2, resume=True, **{name: CHANGED[name]})
