"""Helpers of the CUDA tests: forcing a net into one kernel family, and training the reference beside it."""

import dataclasses
import importlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from itertools import pairwise

import numpy as np
import reference_optimizers
from reference_net import ReferenceMLP
from reference_random import dropout_mask, epoch_order
from tolerances import TOLERANCES

import fastmlp
import fastmlp.execution.gpu_costs
import fastmlp.execution.thresholds
from fastmlp.execution.gpu_costs import BY_LAYERS, IN_BLOCKS
from fastmlp.fit import one_net
from fastmlp.fit.hooks import lane_calls, steps_and_threads
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.kernels.formulas.counter_rng import fit_seed

DTYPES = ("float32", "float64")
# Where a net can be trained. "thread": one net per thread, in populations of small nets. "block": one net per block, in
# shared memory. "workspace": one net per block, in global memory, if shared memory is too small. "batched": all nets of
# a population together, by batched matrix products. "layers": a single net, layer by layer.
PLACES = ("thread", "block", "workspace", "batched", "layers")

RATES = {"sgd": 0.3, "momentum": 0.1, "nesterov": 0.1, "rmsprop": 0.02, "adagrad": 0.1, "quickprop": 0.2}
OPTIMIZERS = {
    name: getattr(fastmlp, kind)(RATES.get(name, 0.05), **settings)
    for name, (kind, settings) in reference_optimizers.EXAMPLES.items()
}
OPTIMIZERS["adamw"] = fastmlp.AdamW(0.05, weight_decay=0.2)
# The kernels of layers/passes.cu and of single_net/layerwise.cu.
OF_PASSES = {"gather", "activate", "loss_and_output_delta", "backward"}
OF_LAYERWISE = {"list_steps", "order_samples", "measure", "update", "reduce_bias_gradients"}

# Settings of optimisers that `follow` gets from its caller, or leaves to the reference.
GIVEN_APART = ("by_fan_in", "bias_input", "learning_rate_factors")

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
        monkeypatch.setattr(fastmlp.execution.gpu_costs, "ESTIMATED_COSTS", costs)
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


def shorten_calls(monkeypatch):
    """Give each kernel call of a fit one step, or one epoch of a population."""
    monkeypatch.setattr(one_net, "FIRST_CALL", 1)
    monkeypatch.setattr(steps_and_threads, "SHORT_CALL", 0.0)
    monkeypatch.setattr(lane_calls, "FIRST_CALL_OF_DEVICE", 1)
    monkeypatch.setattr(lane_calls, "CALL_SECONDS", (0.0, 1e9))


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

    factors = ()

    def loss_and_gradient(self, X, y, weight=None, masks=None):
        loss, gradient = super().loss_and_gradient(X, y, weight, masks)
        for (W, b), (w_factor, b_factor) in zip(self.layers(gradient), self.factors, strict=False):
            W *= w_factor
            b *= b_factor
        return loss, gradient


def reference_of(network, params, l2=None, kind=Layered):
    """Return the reference for a network, with the given parameters."""
    names = [ACTIVATIONS[code].name for code in network.activation_codes]
    l2 = network.l2 if l2 is None else l2
    return kind(network.layer_sizes, names, network.loss_row.name, params, l2, network.loss_constant)


def follow(reference, X, y, optimizer, *, seed=0, shuffle=False, rates=(), schedule=None, sample_weight=None, **fit):
    """Train the reference as a fit with these arguments would, and return the loss of each epoch.

    seed : seed of the shuffled orders and of the dropout masks
    rates : dropout rate of each hidden layer
    """
    n, sizes, rate_factors = len(X), reference.sizes, None
    shapes = list(pairwise(sizes))
    if len(factors := optimizer.layer_factors(shapes)):
        reference.factors = factors.reshape(-1, 2)
    if len(factors := optimizer.rate_factors(shapes)):
        rate_factors = factors.reshape(-1, 2).tolist()

    def masks(rows, step, n_steps):
        return [
            dropout_mask(rows, width, rate, seed, step, layer) if rate else np.ones((rows, width))
            for layer, (width, rate) in enumerate(zip(sizes[1:-1], rates, strict=True))
        ]

    return reference_optimizers.train(
        reference,
        X,
        y,
        type(optimizer).__name__,
        {name: value for name, value in optimizer.settings.items() if name not in GIVEN_APART},
        factors=schedule and schedule.factors,
        rate_factors=rate_factors,
        weight=None if sample_weight is None else sample_weight / sample_weight.mean(),
        order=cache(lambda epoch: epoch_order(n, seed, epoch)) if shuffle else None,
        masks=masks if any(rates) else None,
        **fit,
    )


def assert_follows(nets, X, y, some=None, kind=Layered, tolerance=None, optimizer=None, shuffle=True, **fit):
    """Fit a net or a population, compare losses and parameters with the reference, and return what fit returns.

    X, y, fit["sample_weight"] : of all nets, or of each
    some : numbers of the nets that are compared; None for the first and the last
    tolerance : of the parameters, relative to the way that they have gone, and of the losses
    """
    many = hasattr(nets, "n_nets")
    starts, n_fits, weight = np.atleast_2d(nets.params).copy(), nets.fits, fit.get("sample_weight")
    result = nets.fit(X, y, optimizer=optimizer, shuffle=shuffle, verbose=0, **fit)
    tolerance = tolerance or 5 * TOLERANCES["training", nets.dtype.name]
    for k in (0, len(starts) - 1)[: 1 + many] if some is None else some:
        net, own_fit = nets.net(k) if many else nets, fit
        if weight is not None and weight.ndim == 2:
            own_fit = fit | {"sample_weight": weight[k]}
        reference = reference_of(net.network, starts[k], kind=kind)
        losses = follow(
            reference,
            X[k] if X.ndim == 3 else X,
            y[k] if y.ndim == 3 else y,
            optimizer.of_net(k),
            seed=fit_seed(net.seed, n_fits),
            shuffle=shuffle,
            rates=np.array(net.network.dropout),
            **own_fit,
        )
        found, losses = (nets.params[k], losses[-1]) if many else (nets.params, losses)
        way = np.linalg.norm(reference.params - starts[k])
        assert np.linalg.norm(found - reference.params) < tolerance * way, f"net {k}"
        np.testing.assert_allclose(result.loss[k] if many else result.loss, losses, rtol=tolerance, err_msg=f"net {k}")
    return result


def own(optimizer, **values):
    """Return a copy of the optimiser with some settings replaced."""
    return dataclasses.replace(optimizer, **values)


def assert_same_in_two_threads(cuda, fit, expected, own_streams):
    """Assert that two concurrent calls of fit() return `expected`; own_streams : whether each call has a stream"""

    def work():
        with cuda.cuda.Stream(non_blocking=True) if own_streams else nullcontext():
            return fit()

    with ThreadPoolExecutor(2) as pool:
        for call in [pool.submit(work) for _ in range(2)]:
            np.testing.assert_array_equal(call.result(), expected)
