"""Training one small net: whole calls of `fit` on random classes. Divide by the steps for the time of a step."""

import numpy as np
import pytest

import fastmlp

# The net of 2-2-2-1 stays below the number of steps after which an unrolled program is made for it.
CASES = [  # layer sizes, samples, batch size, epochs
    ((2, 2, 2, 1), 4, 4, 2_000),
    ((64, 64, 32, 10), 1_792, 32, 5),
    ((64, 64, 32, 10), 1_800, 200, 10),
    ((2, 16, 16, 2), 1_000, 1_000, 100),
]


def id_of(case):
    sizes, samples, batch, epochs = case
    return f"{'-'.join(map(str, sizes))}-batch{batch}-{epochs * samples // batch}steps"


@pytest.mark.parametrize("case", CASES, ids=id_of)
def test_fit_small(benchmark, case):
    sizes, samples, batch, epochs = case
    rng = np.random.default_rng(0)
    outputs = max(2, sizes[-1])
    y = np.arange(samples) % outputs
    X = (rng.standard_normal((outputs, sizes[0]))[y] + 0.3 * rng.standard_normal((samples, sizes[0]))).astype(
        np.float32
    )
    loss = "binary_cross_entropy" if sizes[-1] == 1 else "softmax_cross_entropy"
    net = fastmlp.MLP(sizes, loss=loss, device="cpu", random_state=0)
    start = net.params.copy()

    def fit():
        net.params[:] = start
        return net.fit(X, y, epochs=epochs, batch_size=batch, optimizer="adam", shuffle=False, verbose=0)

    before = net.evaluate(X, y)["loss"]
    fit()
    assert net.evaluate(X, y)["loss"] < before, "it learns"
    benchmark.pedantic(fit, rounds=20, warmup_rounds=2)
