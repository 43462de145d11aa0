"""Identity of a fit in its checkpoints: a setting that a later version adds is not another fit while it is off."""

from dataclasses import dataclass

import numpy as np
import pytest
from resumed_fits import assert_same_fit, killed, train
from small_blocks import BATCH, Rows, X, use_small_blocks

import fastmlp
from fastmlp.convergence import Converged
from fastmlp.fit import checkpoint_identity
from fastmlp.fit.checkpoint_identity import description, identity_of_net

y = np.tanh(X[:, 0] * X[:, 1])
MAKE = {
    "net": lambda: fastmlp.MLP((3, 5, 1), random_state=0, device="cpu"),
    "population": lambda: fastmlp.Population((3, 5, 1), 3, random_state=0, device="cpu"),
    "rows on disk": lambda: fastmlp.MLP((3, 5, 1), random_state=0, device="cpu"),
}


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


def fit_of(kind, stopping, adam, **later):
    data, further = (X, y), {}
    if kind == "rows on disk":
        data, further = (Rows(X, y), None), {"memory_limit": 1_000_000}
    arguments = {
        "epochs": 12,
        "batch_size": BATCH,
        "optimizer": adam(0.01, **later),
        "early_stopping": stopping(9, **later),
    }
    return data, {**arguments, "validation_data": (X[:9], y[:9]), **further}


@pytest.mark.parametrize("kind", MAKE)
def test_a_fit_goes_on_in_a_version_with_more_settings(kind, tmp_path, monkeypatch):
    use_small_blocks(monkeypatch)
    make, path = MAKE[kind], tmp_path / "run.ckpt"
    stopping, adam = of_a_later_version(fastmlp.EarlyStopping), of_a_later_version(fastmlp.Adam)
    data, before = fit_of(kind, fastmlp.EarlyStopping, fastmlp.Adam)
    whole = train(make(), data, **before)
    killed(1, monkeypatch, make(), data, path, every=4, **before)
    with pytest.raises(
        ValueError, match=r"its (optimizer was 'Adam|early_stopping was 'EarlyStopping).* later=3(\.0)?\)'"
    ):
        train(make(), data, path, resume=True, **fit_of(kind, stopping, adam, later=3)[1])
    found = train(make(), data, path, resume=True, **fit_of(kind, stopping, adam)[1])
    assert_same_fit(found, whole)


def test_settings_of_a_net_that_are_off_are_not_described():
    """An older version would not know them."""
    described = identity_of_net(fastmlp.MLP((3, 5, 1), random_state=0))
    assert "l2" not in described
    assert described["hidden_activation"]
    assert identity_of_net(fastmlp.MLP((3, 5, 1), l2=0.1, random_state=0))["l2"] == 0.1


@pytest.mark.parametrize(
    "value, text",
    [
        (None, "None"),
        (fastmlp.EarlyStopping(), "EarlyStopping()"),
        (fastmlp.EarlyStopping(5, "loss"), "EarlyStopping(patience=5, monitor='loss')"),
        (Converged(accuracy=1.0), "Converged(accuracy=1.0)"),
        (fastmlp.SGD(0.1, momentum=np.array([0.5, 0.9])), "SGD(learning_rate=0.1)"),
        (fastmlp.AdamW(weight_decay_schedule="cosine"), "AdamW(weight_decay_schedule='cosine')"),
    ],
)
def test_descriptions_have_the_settings_that_are_not_defaults(value, text):
    assert description(value) == text


def test_settings_that_differ_between_nets_are_digests():
    optimizer = fastmlp.SGD(np.array([0.1, 0.2]), momentum=0.9)
    described = checkpoint_identity.describe_optimizer(optimizer)
    assert described["optimizer"] == "SGD(momentum=0.9)"
    other = checkpoint_identity.describe_optimizer(fastmlp.SGD(np.array([0.1, 0.3]), momentum=0.9))
    assert described["learning_rate"] != other["learning_rate"]
