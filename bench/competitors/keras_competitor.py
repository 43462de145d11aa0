"""Keras on JAX (KERAS_BACKEND is set by the process that runs it): `model.fit`, compiled, no shuffling, no metrics, and
up to 64 steps per execution, which halves the time of small steps.

Where an epoch is a few batches, `fit` gets the data repeated once per epoch: the same steps without its overhead.
"""

from __future__ import annotations

import time

import numpy as np
from suite.flat_params import flatten, layers
from suite.training_case import TrainingCase

from competitors import TrainingImplementation

FEW = 4  # batches
SHORT = 1e8  # FLOP of a step


def products() -> str:
    return "XLA's own"


class Implementation(TrainingImplementation):
    def __init__(self, variant: str):
        self.variant = variant

    def prepare(self, case: TrainingCase, threads: int) -> float:
        import keras

        self.case = case
        started = time.perf_counter()
        dense = [keras.layers.Dense(size, activation=case.hidden_activation) for size in case.layer_sizes[1:-1]]
        from_logits = case.loss != "squared_error"
        output = None if from_logits or case.output_activation == "identity" else case.output_activation
        last = keras.layers.Dense(case.layer_sizes[-1], activation=output)
        self.model = keras.Sequential([keras.Input((case.layer_sizes[0],)), *dense, last])
        losses = {
            "softmax_cross_entropy": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "binary_cross_entropy": lambda: keras.losses.BinaryCrossentropy(from_logits=True),
            "squared_error": keras.losses.MeanSquaredError,
        }
        if case.optimizer == "sgd":
            self.optimizer = keras.optimizers.SGD(case.learning_rate)
        else:
            self.optimizer = keras.optimizers.Adam(case.learning_rate, epsilon=1e-8)
        self.model.compile(self.optimizer, losses[case.loss](), steps_per_execution=2, jit_compile=True)
        self.optimizer.build(self.model.trainable_variables)
        self.fresh = [np.array(keras.ops.convert_to_numpy(v.value)) for v in self.optimizer.variables]
        # The first fit decides whether there can be several steps per execution; short steps are repeated as in a job.
        self.run(64 if case.n_steps <= FEW and case.flop_per_step < SHORT else 1)
        seconds = time.perf_counter() - started
        self.reset()
        return seconds

    def reset(self) -> None:
        self.model.set_weights([x for pair in layers(self.case.start, self.case.layer_sizes) for x in pair])
        for variable, value in zip(self.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)

    def run(self, n_epochs: int) -> None:
        X, y = self.case.X, self.case.y
        if self.case.n_steps <= FEW:
            X, y = np.tile(X, (n_epochs, 1)), np.tile(y, (n_epochs, 1) if y.ndim == 2 else n_epochs)
            n_epochs = 1
        n_steps = len(X) // self.case.batch_size
        self.model.steps_per_execution = next(k for k in range(64, 0, -1) if n_steps % k == 0)
        self.model.fit(X, y, batch_size=self.case.batch_size, epochs=n_epochs, shuffle=False, verbose=0)

    def params(self):
        return flatten(self.model.get_weights())

    def loss(self, X, y) -> float:
        return float(self.model.evaluate(X, y, batch_size=len(X), verbose=0))
