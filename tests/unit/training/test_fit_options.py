"""The description of a fit's settings that a history holds."""

import json
import weakref

import numpy as np

from fastmlp import SGD, EarlyStopping
from fastmlp.kernels.structs import METRIC_NONE, Samples
from fastmlp.schedules import FlatCosine
from fastmlp.training.fit_options import Options


def samples(n, weighted):
    return Samples(
        n_samples=n,
        X=np.zeros(2 * n),
        Y=np.zeros(n),
        has_weights=weighted,
        weight=np.ones(n if weighted else 0),
        has_targets=True,
        metric=METRIC_NONE,
    )


def test_description_is_json_and_holds_no_arrays():
    options = Options(
        epochs=3,
        batch_size=2,
        shuffle=True,
        seed=0,
        optimizer=SGD(0.5),
        factors=lambda steps, n: np.ones(len(steps)),
        early_stopping=EarlyStopping(4),
        callbacks=(),
        verbose=0,
    )
    training = samples(5, True)
    known = weakref.ref(training.X)
    describe = options.description(training, samples(2, False), 2, "cosine")
    del training
    assert known() is None, "the description keeps the samples alive"
    found = json.loads(json.dumps(describe()))
    assert (found["n_samples"], found["n_validation"], found["weighted"], found["n_threads"]) == (5, 2, True, 2)
    assert (found["optimizer"], found["schedule"]) == (repr(SGD(0.5)), "cosine")
    assert found["early_stopping"] == repr(EarlyStopping(4))
    describe = options.description(samples(5, False), None, 1, len)
    assert describe()["schedule"] == "len"
    assert "dropout_schedule" not in found
    assert options.description(samples(5, False), None, 1, None, "step")()["dropout_schedule"] == "step"
    known = weakref.ref(options)
    del options
    assert known() is None, "the description keeps the options alive, and with them the buffers of metrics"


def test_schedules_of_a_part_of_a_fit_are_those_of_its_steps():
    factors = FlatCosine(0.1).factors
    options = Options(3, 2, True, 0, SGD(0.5), factors, None, (), 0, decay_factors=factors)
    part, steps = options.from_step(10, 40), np.arange(5)
    np.testing.assert_array_equal(part["factors"](steps, 5), factors(steps + 10, 40))
    np.testing.assert_array_equal(part["decay_factors"](steps, 5), factors(steps + 10, 40))
    assert part["dropout_factors"] is None
