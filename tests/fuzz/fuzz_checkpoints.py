"""Targets of the fuzzing that read checkpoints. States under a right checksum that are none of the fit are in
tests/unit/fit/test_refused_checkpoints.py.
"""

import signal
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple
from unittest import mock

import numpy as np
from fuzz_files import READ, SIZES, X, Y, fit, folder, sentence, small_net, written

import fastmlp


class Fit(NamedTuple):
    """A fit with checkpoints.

    begin : function (options of the checkpoint) that fits a part of the way
    finish : function (options) that fits to the end, and returns the numbers that it must reach
    """

    begin: Callable[[dict], object]
    finish: Callable[[dict], np.ndarray]


@contextmanager
def _unchanged_if_refused(net):
    before, numbers = net.params.copy(), (net.seed, net.fits)
    try:
        yield
    except ValueError:
        assert (net.params == before).all(), "a refused checkpoint has changed the net"
        assert (net.seed, net.fits) == numbers, "a refused checkpoint has changed the net's random numbers"
        raise


def _finish(net, *data, **options):
    with _unchanged_if_refused(net):
        fit(net, *data, **options)
    return net.params


def _lanes(options):
    pop = fastmlp.Population(SIZES, 18, loss="binary_cross_entropy", random_state=0, device="cpu")
    with _unchanged_if_refused(pop):
        pop.fit(X, Y, epochs=12, batch_size=5, converged=0.6, verbose=0, **options)
    return pop.params


def _sweep(options):
    space = {"hidden_layer_sizes": [(2,), (3,)], "learning_rate": [0.01, 0.1]}
    fixed = {"n": 4, "cv": 2, "epochs": 2, "batch_size": 4, "random_state": 1, "device": "cpu", "verbose": 0}
    return fastmlp.sweep(X, Y, space, **fixed, **options).fold_scores


def _until_write(n_writes, function):
    """Return a function that ends another one with the n-th checkpoint that it writes."""
    from fastmlp.persistence import checkpoint_files

    def begun(options):
        write, written_files = checkpoint_files.write, []

        def write_some(*arguments, **names):
            write(*arguments, **names)
            written_files.append(arguments)
            if len(written_files) == n_writes:
                signal.raise_signal(signal.SIGINT)

        with mock.patch.object(checkpoint_files, "write", write_some), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the interruption
            function(options)

    return begun


def _part_of_sweep(options):
    """Search until the first population is finished."""
    from fastmlp.sweeps.search import Search

    train = Search._train

    def train_one(search, group, *others):
        if search._is_finished.any():
            return signal.raise_signal(signal.SIGINT)
        train(search, group, *others)

    with mock.patch.object(Search, "_train", train_one), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the interruption
        _sweep(options)


FITS = {
    "net": Fit(
        lambda options: fit(small_net(), X, Y, epochs=2, **options),
        lambda options: _finish(small_net(), X, Y, **options),
    ),
    "population": Fit(_until_write(2, _lanes), _lanes),
    "sweep": Fit(_part_of_sweep, _sweep),
}


def _forget_checkpoints(name):
    for old in folder().glob(f"{name}*"):
        old.unlink()


@cache
def checkpoint(kind):
    """Return the valid checkpoint of a kind of fit, as bytes."""
    _forget_checkpoints("seed.ckpt")
    FITS[kind].begin({"checkpoint": folder() / "seed.ckpt", "every": 1})
    return (folder() / "seed.ckpt").read_bytes()


@cache
def _end(kind):
    """Return the numbers of a fit without interruption, which each that goes on from a checkpoint must reach."""
    return FITS[kind].finish({}).copy()


def resume(kind, data):
    """Go on from a checkpoint that may be damaged."""
    outcome, found = _resumed(kind, data)
    if outcome == READ:
        assert (found == _end(kind)).all(), "a damaged checkpoint has led to other numbers"
    return outcome


def _resumed(kind, data):
    _forget_checkpoints("fit.ckpt")
    path = written(data, "fit.ckpt")
    try:
        return READ, FITS[kind].finish({"checkpoint": path, "resume": True})
    except ValueError as error:
        return sentence(error), None
