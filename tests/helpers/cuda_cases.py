"""Helpers of the CUDA tests: forcing a net into one kernel family, and training the reference beside it."""

import dataclasses
import importlib

import numpy as np
import reference_optimizers
from reference_net import ReferenceMLP
from reference_random import dropout_mask, epoch_order
from tolerances import TOLERANCES

import fastmlp.execution.gpu_costs
import fastmlp.execution.thresholds
from fastmlp import SGD, Adagrad, Adam, AdamW, Quickprop, RMSprop, Rprop
from fastmlp.execution.gpu_costs import BY_LAYERS, IN_BLOCKS
from fastmlp.kernels.formulas import net_seeds
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.kernels.formulas.update_rules import RULES
from fastmlp.optimizers import settings_of

DTYPES = ("float32", "float64")
# Where a net can be trained. "thread": one net per thread, in populations of small nets. "block": one net per block, in
# shared memory. "workspace": one net per block, in global memory, if shared memory is too small. "batched": all nets of
# a population together, by batched matrix products. "layers": a single net, layer by layer.
PLACES = ("thread", "block", "workspace", "batched", "layers")

OPTIMIZERS = {
    "sgd": SGD(0.3),
    "momentum": SGD(0.1, momentum=0.8),
    "nesterov": SGD(0.1, momentum=0.8, nesterov=True),
    "adam": Adam(0.05),
    "adamw": AdamW(0.05, weight_decay=0.2),
    "rmsprop": RMSprop(0.02),
    "adagrad": Adagrad(0.1),
    "quickprop": Quickprop(0.2),
    "rprop": Rprop(0.05),
}
assert {optimizer.rule.name for optimizer in OPTIMIZERS.values()} == {row.name for row in RULES}
FURTHER_OPTIMIZERS = {
    **OPTIMIZERS,
    "clipped": Adam(0.05, clip_norm=0.1),
    "decayed": SGD(0.1, momentum=0.8, weight_decay=0.3, clip_norm=0.2),
    "factors": AdamW(0.02, learning_rate_factors={"biases": 0.1}),
}

# The kernels of layers/passes.cu and of single_net/layerwise.cu.
OF_PASSES = {"gather", "activate", "loss_and_output_delta", "backward"}
OF_LAYERWISE = {"list_steps", "order_samples", "measure", "update", "reduce_bias_gradients"}

# Settings of optimisers that `follow` gets from its caller, or leaves to the reference.
GIVEN_APART = ("by_fan_in", "bias_input", "weight_decay_schedule", "learning_rate_factors")

HIDDEN_NAMES = [row.name for row in ACTIVATIONS if row.hidden]


# Nets of a population are trained one by one, layer by layer: as if a kernel took less than no time.
ONE_BY_ONE = BY_LAYERS._replace(node_seconds=-1.0)


class Place:
    """Patches the dispatch so that all nets are trained in one of PLACES, and counts the launches there."""

    def __init__(self, name, monkeypatch):
        self.name, self.shapes, self.layers, self.batched = name, [], 0, 0
        in_layers = name in ("batched", "layers")
        monkeypatch.setattr(fastmlp.execution.thresholds, "BLOCK_UP_TO_PARAMS", -1 if in_layers else 10**9)
        monkeypatch.setattr(fastmlp.execution.thresholds, "BLOCK_UP_TO_BYTES", -1 if in_layers else 10**9)
        costs = {"layers": ONE_BY_ONE, "batched": BY_LAYERS}.get(name, IN_BLOCKS)
        monkeypatch.setattr(fastmlp.execution.gpu_costs, "costs_of", lambda device: costs)
        if name == "thread":  # all optimisers in both dtypes, also those that have too few registers for it
            monkeypatch.setattr(fastmlp.execution.thresholds, "THREAD_UP_TO_NUMBERS", {4: 180, 8: 180})
        for module in map(_of_backend, ("single_net.small_net", "population.train")):
            if name == "workspace":
                monkeypatch.setattr(module, "shared_limit", lambda: 0)
            monkeypatch.setattr(module, "launch", self._counted(module.launch))
        work, window = (
            _of_backend("single_net.layerwise").LayerwiseWorkspace,
            _of_backend("population.batched").BatchedWindow,
        )
        monkeypatch.setattr(work, "train", self._counted_in("layers", work.train))
        monkeypatch.setattr(window, "train", self._counted_in("batched", window.train))

    def _counted(self, launch):
        def launched(kernel, shape, *arguments, **job):
            self.shapes.append((kernel.name, shape))
            launch(kernel, shape, *arguments, **job)

        return launched

    def _counted_in(self, name, train):
        def trained(*arguments):
            setattr(self, name, getattr(self, name) + 1)
            train(*arguments)

        return trained

    def check(self):
        """Assert that all training took place there."""
        shapes = [shape for name, shape in self.shapes if name == "train_nets"]
        found = {"blocks": bool(shapes), "batched": bool(self.batched), "layers": bool(self.layers)}
        wanted = self.name if self.name in found else "blocks"
        assert found == {name: name == wanted for name in found}
        if wanted == "blocks":
            assert {shape.in_thread for shape in shapes} == {self.name == "thread"}
            if self.name != "thread":
                assert {shape.in_shared for shape in shapes} == {self.name == "block"}


def sizes_moved(cuda, monkeypatch):
    """Return a list to which the size of every array that is copied to the device is appended."""
    found, asarray = [], cuda.asarray

    def counted(array, *arguments, **names):
        found.append(np.size(array))
        return asarray(array, *arguments, **names)

    monkeypatch.setattr(cuda, "asarray", counted)
    return found


def _of_backend(name):
    return importlib.import_module(f"fastmlp.kernels.cuda.{name}")


class Layered(ReferenceMLP):
    """ReferenceMLP with factors, (n_layers, 2), on the gradients of the weights and biases of each layer."""

    factors = None

    def loss_and_gradient(self, X, y, weight=None, masks=None):
        loss, gradient = super().loss_and_gradient(X, y, weight, masks)
        for (W, b), (w_factor, b_factor) in zip(self.layers(gradient), self.factors, strict=True):
            W *= w_factor
            b *= b_factor
        return loss, gradient


def reference_of(network, params, l2=None, kind=ReferenceMLP):
    """Return the reference for a network, with the given parameters."""
    names = [ACTIVATIONS[code].name for code in network.activation_codes]
    return kind(
        network.layer_sizes,
        names,
        network.loss_row.name,
        params,
        network.l2 if l2 is None else l2,
        network.loss_constant,
    )


class Recorded(ReferenceMLP):
    """ReferenceMLP that records its parameters before each step in `path`."""

    def loss_and_gradient(self, X, y, weight=None, masks=None):
        self.path.append(self.params.copy())
        return super().loss_and_gradient(X, y, weight, masks)

    @property
    def path(self):
        return self.__dict__.setdefault("_path", [])


def follow(reference, X, y, optimizer, **settings):
    """Train the reference with the settings of a fastmlp optimiser, and return the loss of each epoch."""
    values = {name: value for name, value in settings_of(optimizer).items() if name not in GIVEN_APART}
    return reference_optimizers.train(
        reference, X, y, type(optimizer).__name__, values, decay_factors=optimizer.decay_factors, **settings
    )


def assert_trains_as_the_reference(net, X, y, name):
    """Train a net by FURTHER_OPTIMIZERS[name], and the reference beside it; compare losses and parameters."""
    optimizer, reference = FURTHER_OPTIMIZERS[name], reference_of(net.network, net.params)
    size = None if optimizer.rule.needs_full_batch else 32
    history = net.fit(X, y, epochs=3, batch_size=size, optimizer=optimizer, shuffle=False, verbose=0)
    factors = {"rate_factors": [(1.0, 0.1)] * net.network.layout.n_layers} if name == "factors" else {}
    losses = follow(reference, X, y, optimizer, epochs=3, batch_size=size, **factors)
    tolerance = 3 * TOLERANCES["training", net.dtype.name]
    np.testing.assert_allclose(history.loss, losses, rtol=tolerance)
    np.testing.assert_allclose(net.params, reference.params, rtol=tolerance, atol=tolerance)


def follow_sgd(
    reference,
    X,
    y,
    learning_rate,
    *,
    epochs,
    batch_size=None,
    seed=0,
    shuffle=False,
    rates=(),
    dropout_factors=None,
    weight=None,
):
    """Train the reference by gradient descent, and return the loss of each epoch.

    seed : seed of the shuffled orders and of the dropout masks
    rates : dropout rate of each hidden layer
    dropout_factors : schedule of these rates, a function (steps, n_steps) -> factors
    """
    n, step, losses = len(X), 0, []
    size = n if batch_size is None else batch_size
    for epoch in range(epochs):
        order = epoch_order(n, seed, epoch) if shuffle else np.arange(n)
        sums = 0.0
        for first in range(0, n, size):
            rows = order[first : first + size]
            now = rates
            if dropout_factors is not None:
                now = np.multiply(rates, dropout_factors(np.array([step]), epochs * -(-n // size))[0])
            masks = masks_of(reference.sizes, now, len(rows), seed, step) if any(rates) else None
            loss, gradient = reference.loss_and_gradient(
                X[rows], y[rows], None if weight is None else weight[rows], masks=masks
            )
            penalty = 0.5 * reference.l2 * sum(np.sum(W * W) for W, _ in reference.layers(reference.params))
            sums += (loss - penalty) * len(rows)
            reference.params -= learning_rate * gradient
            step += 1
        losses.append(sums / n)
    return np.array(losses)


def masks_of(sizes, rates, rows, seed, step):
    return [
        dropout_mask(rows, width, rate, seed, step, layer) if rate else np.ones((rows, width))
        for layer, (width, rate) in enumerate(zip(sizes[1:-1], rates, strict=True))
    ]


def fit_seed(seed, fits=0):
    """Return the seed of the shuffles and dropout masks of one fit.

    fits : number of earlier fits of the net
    """
    return net_seeds.fit_seed(seed, fits)


def own(optimizer, **values):
    """Return a copy of the optimiser with some settings replaced."""
    return dataclasses.replace(optimizer, **values)
