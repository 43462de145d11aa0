"""Training populations: XOR, full batch. Divide by nets and epochs for the time of a net and epoch."""

import numpy as np
import pytest

import fastmlp
from fastmlp.execution.unrolled_code import unrolled_at_once

X, Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 1, 1, 0])
CASES = [  # layer sizes, hidden activation, optimiser, nets, epochs
    ((2, 2, 1), "sigmoid", fastmlp.SGD(0.5), 1_000, 200),
    ((2, 2, 1), "sigmoid", fastmlp.Adam(0.01), 1_000, 200),
    ((2, 2, 1), "sigmoid", fastmlp.SGD(0.5), 20_000, 100),
    ((2, 4, 4, 1), "tanh", fastmlp.SGD(0.5), 1_000, 100),
]


def id_of(case):
    sizes, activation, optimizer, nets, epochs = case
    return f"{'-'.join(map(str, sizes))}-{activation}-{type(optimizer).__name__}-{nets}nets-{epochs}epochs"


@pytest.mark.parametrize("case", CASES, ids=id_of)
def test_population(benchmark, case):
    sizes, activation, optimizer, nets, epochs = case
    population = fastmlp.Population(
        sizes,
        nets,
        hidden_activation=activation,
        output_activation="sigmoid",
        loss="squared_error",
        device="cpu",
        random_state=0,
    )
    start = population.params.copy()

    def fit(epochs=epochs):
        population.params = start
        population.fit(X, Y, epochs=epochs, optimizer=optimizer, verbose=0)

    alone = fastmlp.MLP(
        sizes, hidden_activation=activation, output_activation="sigmoid", loss="squared_error", device="cpu"
    )
    alone.params[:] = start[0]
    alone.fit(X, Y, epochs=10, optimizer=optimizer, verbose=0)
    with unrolled_at_once():
        fit(epochs=10)
    np.testing.assert_allclose(population.params[0], alone.params, atol=1e-4)
    benchmark.pedantic(fit, rounds=15, warmup_rounds=2)
