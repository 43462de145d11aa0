"""Competitors for suite/cases/prediction.py.

A form is constructed with (case, threads); `predict()` returns the outputs of all rows, in one call. The rows are what
the library's users have: NumPy arrays for libraries that take them, tensors for PyTorch.
"""

from __future__ import annotations

import time

import numpy as np
from suite.flat_params import layers

from competitors import DEVICE


class Fastmlp:
    def __init__(self, case, threads):
        import fastmlp

        self.net = fastmlp.MLP(case.net.layer_sizes, loss="softmax_cross_entropy", random_state=0, device=DEVICE)
        self.net.params[:] = case.net.start
        self.X = case.net.X

    def predict(self):
        return self.net.predict(self.X)


class Numpy:
    """Every layer in place."""

    def __init__(self, case, threads):
        self.net, self.X = layers(case.net.start, case.net.layer_sizes), case.net.X
        self.a = [np.empty((len(self.X), o), np.float32) for _, o in case.net.shapes]

    def predict(self):
        a = self.X
        for (W, b), z in zip(self.net, self.a, strict=True):
            np.dot(a, W, out=z)
            z += b
            if z is not self.a[-1]:
                np.maximum(z, 0, out=z)
            a = z
        a -= a.max(axis=1, keepdims=True)
        np.exp(a, out=a)
        a /= a.sum(axis=1, keepdims=True)
        return a


class Sklearn:
    """predict_proba of a classifier whose weights are set."""

    def __init__(self, case, threads):
        import warnings

        from sklearn.neural_network import MLPClassifier

        warnings.filterwarnings("ignore")  # that one epoch does not converge
        self.net, self.X = MLPClassifier(case.net.layer_sizes[1:-1], max_iter=1, random_state=0), case.net.X
        rng = np.random.default_rng(0)
        n = 10 * case.net.layer_sizes[-1]
        self.net.fit(rng.random((n, case.net.layer_sizes[0]), np.float32), np.arange(n) % case.net.layer_sizes[-1])
        pairs = layers(case.net.start, case.net.layer_sizes)
        self.net.coefs_, self.net.intercepts_ = [W for W, _ in pairs], [b for _, b in pairs]

    def predict(self):
        return self.net.predict_proba(self.X)


class TorchEager:
    """nn.Sequential in inference mode."""

    def __init__(self, case, threads):
        import torch

        torch.set_num_threads(threads)
        modules = []
        for W, b in layers(case.net.start, case.net.layer_sizes):
            linear = torch.nn.Linear(*W.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(W).T)
                linear.bias.copy_(torch.from_numpy(b))
            modules += [linear, torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*modules[:-1], torch.nn.Softmax(dim=1)).to(DEVICE).eval()
        self.X, self.torch = torch.from_numpy(case.net.X).to(DEVICE), torch

    def predict(self):
        with self.torch.inference_mode():
            return self.model(self.X).cpu()


class TorchCompiled(TorchEager):
    def __init__(self, case, threads):
        super().__init__(case, threads)
        self.model = self.torch.compile(self.model, fullgraph=True, dynamic=False)


class TorchTraced(TorchEager):
    """A traced and frozen graph, which does not call into Python."""

    def __init__(self, case, threads):
        super().__init__(case, threads)
        with self.torch.inference_mode():
            self.model = self.torch.jit.freeze(self.torch.jit.trace(self.model, self.X))
            for _ in range(3):  # it optimises itself at its first calls
                self.model(self.X)


class Jax:
    """One jit around the net, with weights as constants, because each argument of a call costs microseconds.

    The rows are on the device. Without asynchronous dispatch a call runs in the calling thread, so that a small net
    does not wait for another thread to wake up.
    """

    def __init__(self, case, threads):
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_cpu_enable_async_dispatch", False)
        net = [(jnp.array(W), jnp.array(b)) for W, b in layers(case.net.start, case.net.layer_sizes)]

        def forward(X):
            for k, (W, b) in enumerate(net):
                X = (jax.nn.relu(X) if k else X) @ W + b
            return jax.nn.softmax(X, axis=1)

        self.X = jnp.array(case.net.X)
        self.forward = jax.jit(forward)

    def predict(self):
        return self.forward(self.X).block_until_ready()


class Keras:
    """`predict_on_batch`, the fastest call of a compiled model."""

    def __init__(self, case, threads):
        import keras

        dense = [keras.layers.Dense(size, activation="relu") for size in case.net.layer_sizes[1:-1]]
        last = keras.layers.Dense(case.net.layer_sizes[-1], activation="softmax")
        self.model = keras.Sequential([keras.Input((case.net.layer_sizes[0],)), *dense, last])
        self.model.compile(jit_compile=True)
        self.model.set_weights([x for pair in layers(case.net.start, case.net.layer_sizes) for x in pair])
        self.X = case.net.X

    def predict(self):
        return self.model.predict_on_batch(self.X)


FORMS = {
    "fastmlp": Fastmlp,
    "numpy": Numpy,
    "sklearn": Sklearn,
    "torch eager": TorchEager,
    "torch traced": TorchTraced,
    "torch compiled": TorchCompiled,
    "jax": Jax,
    "keras jax": Keras,
}


class Implementation:
    def __init__(self, variant: str):
        self.name = variant

    def prepare(self, case, threads: int | None) -> float:
        started = time.perf_counter()
        self.form = FORMS[self.name](case, threads)
        self.form.predict()
        return time.perf_counter() - started

    def reset(self) -> None:
        """Nothing changes."""

    def run(self, n: int) -> None:
        predict = self.form.predict
        for _ in range(n):
            self.out = predict()

    def answer(self, case) -> np.ndarray:
        return np.asarray(self.out)
