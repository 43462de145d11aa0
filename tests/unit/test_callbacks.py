"""Early stopping's rule on given sequences of values, and the forms that callbacks may have."""

import pytest

import fastmlp
from fastmlp.callbacks import Best, EarlyStopping, as_callbacks, as_early_stopping


def run_rule(rule, monitor, values):
    """(epochs that improved, the epoch after which the rule stops)"""
    best, improved = Best(rule, monitor), []
    for epoch, value in enumerate(values):
        if best.improves(epoch, value):
            improved.append(epoch)
        elif best.is_late(epoch):
            return improved, epoch
    return improved, None


NAN = float("nan")


@pytest.mark.parametrize(
    "rule, monitor, values, expected",
    [
        (EarlyStopping(3), "loss", [5, 4, 4, 3, 3, 3, 3, 3], ([0, 1, 3], 6)),
        (EarlyStopping(2), "accuracy", [0.1, 0.5, 0.4, 0.5, 0.9], ([0, 1], 3)),  # a rise is an improvement
        (EarlyStopping(2), "validation_accuracy", [0.1, 0.2, 0.3], ([0, 1, 2], None)),
        (EarlyStopping(2, min_delta=0.5), "validation_loss", [5, 4.6, 4.4, 4.3], ([0, 2], None)),
        (EarlyStopping(2, min_delta=0.5), "validation_loss", [5, 4.6, 4.5, 3], ([0], 2)),
        (EarlyStopping(2), "loss", [1.0, NAN, NAN], ([0], 2)),
        (EarlyStopping(5), "loss", [NAN, 1.0], ([1], None)),
    ],
)
def test_early_stopping_waits_patience_epochs_without_an_improvement(rule, monitor, values, expected):
    assert run_rule(rule, monitor, values) == expected


RULE = EarlyStopping(3, "accuracy")


@pytest.mark.parametrize(
    "value, expected",
    [(None, None), (False, None), (True, EarlyStopping()), (7, EarlyStopping(patience=7)), (RULE, RULE)],
)
def test_as_early_stopping_accepts_none_bool_patience_and_rule(value, expected):
    assert as_early_stopping(value) == expected


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: EarlyStopping(0), "patience must be a whole number of at least 1, but it is 0"),
        (lambda: EarlyStopping(min_delta=-1.0), "min_delta must be a number"),
        (lambda: EarlyStopping(monitor="acuracy"), "Unknown monitor 'acuracy'. Did you mean 'accuracy'"),
        (lambda: EarlyStopping(monitor="q90"), "Unknown monitor 'q90'.* For a metric of your own, say which values"),
        (lambda: EarlyStopping(monitor=["loss"]), r"Unknown monitor \['loss'\]"),
        (lambda: EarlyStopping(monitor="q90", mode="auto"), "Unknown mode 'auto'. Choose from: min, max"),
        (lambda: EarlyStopping(monitor="r2", mode="min"), "mode is 'min', but a larger r2 is better: leave mode out"),
        (lambda: as_early_stopping("yes"), "early_stopping must be a whole number of at least 1, but it is 'yes'"),
    ],
)
def test_invalid_early_stopping_settings_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("callbacks", (7, ["print"], (print, None)))
def test_invalid_callbacks_raise(callbacks):
    with pytest.raises(ValueError, match="callbacks must be functions"):
        as_callbacks(callbacks)
    with pytest.raises(ValueError, match=r"called as callback\(epoch, history\), but .* does not take two arguments"):
        as_callbacks(lambda history: True)


def test_all_callbacks_are_told_of_the_end_even_if_one_fails():
    told = []

    class Ending:
        def __init__(self, name):
            self.name = name

        def __call__(self, epoch, history):
            pass

        def fit_ended(self, history):
            told.append((self.name, history.stopped_by, history.epochs))
            if self.name == "first":
                raise OSError("no")

    net = fastmlp.MLP((2, 3, 1), random_state=0)
    with pytest.raises(OSError, match="no"):
        net.fit([[0, 1], [1, 0]], [0, 1], epochs=3, callbacks=[Ending("first"), Ending("second")], verbose=0)
    assert told == [("first", "epochs", 3), ("second", "epochs", 3)]
    assert net.history.seconds > 0.0
