"""fastmlp.training.fit_options: what a history keeps of how fit was called."""

import json

import numpy as np

from fastmlp import SGD, EarlyStopping
from fastmlp.kernels.structs import METRIC_NONE, Samples
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


def test_a_description_is_json_and_keeps_no_data():
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
    describe = options.description(samples(5, True), samples(2, False), 2, "cosine")
    assert not any(isinstance(cell.cell_contents, (np.ndarray, Samples)) for cell in describe.__closure__)
    found = json.loads(json.dumps(describe()))
    assert (found["n_samples"], found["n_validation"], found["weighted"], found["n_threads"]) == (5, 2, True, 2)
    assert (found["optimizer"], found["schedule"]) == (repr(SGD(0.5)), "cosine")
    assert found["early_stopping"] == repr(EarlyStopping(4))
    assert options.description(samples(5, False), None, 1, len)()["schedule"] == "len"
