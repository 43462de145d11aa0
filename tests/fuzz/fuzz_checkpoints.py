"""Targets of the fuzzing that read checkpoints: files with damage, and forged ones, whose checksum is right.

A forged file is a valid one after some edits of its description and its arrays. The bytes that are fuzzed say which
edits (`forged`); without any, the file is the valid one.
"""

import json
import signal
import warnings
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import islice
from typing import NamedTuple
from unittest import mock

import numpy as np
from fuzz_files import READ, SIZES, X, Y, fit, folder, sentence, small_net, written

import fastmlp
from fastmlp.persistence import checksum
from fastmlp.persistence.safetensors_file import parts_of_file
from fastmlp.persistence.safetensors_file import read as read_safetensors
from fastmlp.streams import row_loading, shuffled_blocks


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


def _stream(options, **more):
    """Fit to rows that are read from disk in three blocks."""
    with ExitStack() as patches:
        for place, name, value in (
            (row_loading, "SHARE_IN_MEMORY", 0.0),
            (shuffled_blocks, "CHUNK_BYTES", 64),
            (shuffled_blocks, "SHARE", 4.6e-4),
        ):
            patches.enter_context(mock.patch.object(place, name, value))
        return _finish(small_net(), [(X, Y)], None, memory_limit=1_000_000, **options, **more)


STOPPED = {"epochs": 12, "early_stopping": fastmlp.EarlyStopping(8, "loss", 0.01)}  # with a best epoch to replay


def _lanes(options):
    pop = fastmlp.Population(SIZES, 18, loss="binary_cross_entropy", random_state=0, device="cpu")
    with _unchanged_if_refused(pop):
        pop.fit(X, Y, epochs=12, batch_size=5, converged=0.6, verbose=0, **options)
    return pop.params


def _one_by_one(options):
    pop = fastmlp.Population(SIZES, 2, loss="binary_cross_entropy", random_state=0, device="cpu")
    with _unchanged_if_refused(pop):
        pop.fit(X, Y, epochs=8, batch_size=5, verbose=0, **options)
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
    "stopped": Fit(
        lambda options: fit(small_net(), X, Y, **{**options, "every": 5}, **STOPPED | {"epochs": 10}),
        lambda options: _finish(small_net(), X, Y, **options, **STOPPED),
    ),
    "stream": Fit(_until_write(3, _stream), _stream),
    "population": Fit(_until_write(2, _lanes), _lanes),
    "one-by-one": Fit(_until_write(3, _one_by_one), _one_by_one),
    "sweep": Fit(_part_of_sweep, _sweep),
}


def _forget_checkpoints(name):
    for old in folder().glob(f"{name}*"):
        old.unlink()


@cache
def checkpoint(kind):
    """Return the valid checkpoint of a kind of fit, as bytes."""
    _forget_checkpoints("seed.ckpt")
    FITS[kind].begin({"checkpoint": folder() / "seed.ckpt", "every": "0.000001 s" if kind == "stream" else 1})
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


def resume_forged(kind, edits):
    """Go on from a forged checkpoint, which may lead to any numbers."""
    outcome, found = _resumed(kind, forged(checkpoint(kind), edits))
    if outcome == READ and not edits:
        assert (found == _end(kind)).all(), "a valid checkpoint has led to other numbers"
    return outcome


def _resumed(kind, data):
    _forget_checkpoints("fit.ckpt")
    path = written(data, "fit.ckpt")
    try:
        return READ, FITS[kind].finish({"checkpoint": path, "resume": True})
    except ValueError as error:
        return sentence(error), None


# ---- forging

COUNTS = (0, 1, -1, 2, 3, 7, 12, 13, 17, 100, 2**15, 2**31, 2**40, 2**53, 2**62, 2**63 - 1, -(2**63))
FLOATS = (0.0, 0.5, 1e300, -1.0, float("nan"), float("inf"), float("-inf"), 5e-324)
VALUES = *COUNTS, 2**63, 10**30, 0.5, -1.5, 1e308, "", "converged", "early_stopping", None, True, [], {}, [1], {"a": 1}
DTYPES = "f8", "i8", "f4", "i4", "i1"


def forged(data, edits):
    """Return a valid file after some edits, with the checksum of what it then is.

    edits : bytes, six or less for each edit
    """
    path = written(data, "valid.ckpt")
    text, arrays = read_safetensors(path)
    description, arrays = json.loads(text), {name: array.copy() for name, array in arrays.items()}
    numbers = iter(edits)
    while piece := [*islice(numbers, 6)]:
        kind, *rest = (*piece, 0, 0, 0, 0, 0)[:6]
        edit = (_edit_value, _edit_value, _edit_array, _edit_names, _edit_description, _edit_description)[kind % 6]
        edit(description if edit is _edit_description else arrays, *rest)
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    description["checksum"] = checksum(description, arrays)
    return b"".join(bytes(part) for part in parts_of_file(arrays, json.dumps(description)))


def _chosen(names, number):
    return sorted(names)[number % len(names)]


def _edit_value(arrays, array, high, low, value, is_raw):
    """Write a number to a place of an array; of the scalars of nets, to each of the few places often."""
    if not arrays:
        return
    values = arrays[_chosen(arrays, array)]
    if values.size:
        flat, of_floats = values.reshape(-1), values.dtype.kind == "f"
        place = (256 * high + low) % flat.size
        chosen = FLOATS + COUNTS if of_floats else COUNTS
        number = float(value) if is_raw % 4 == 3 else chosen[value % len(chosen)]
        with np.errstate(all="ignore"):
            flat[place] = np.array(number, np.float64 if of_floats else np.int64).astype(values.dtype)


def _edit_array(arrays, array, kind, dtype, *_):
    """Give an array another dtype or shape."""
    if not arrays:
        return
    name = _chosen(arrays, array)
    values = arrays[name]
    with np.errstate(all="ignore"):
        arrays[name] = (
            lambda: values.astype(DTYPES[dtype % len(DTYPES)]),
            lambda: values.reshape(-1),
            lambda: values[np.newaxis],
            lambda: values[:-1] if values.ndim else values,
            lambda: np.concatenate([values, values[:1]]) if values.ndim else values,
            lambda: values[:0] if values.ndim else values,
            lambda: values.reshape(-1)[:1].reshape(()) if values.size else values,
            lambda: np.swapaxes(values, 0, -1) if values.ndim else values,
        )[kind % 8]()


def _edit_names(arrays, array, other, removes, *_):
    """Remove an array, or put another one in its place."""
    if not arrays:
        return
    name = _chosen(arrays, array)
    if removes % 2:
        del arrays[name]
    else:
        arrays[name] = arrays[_chosen(arrays, other)].copy()


def _edit_description(description, first, second, third, kind, value):
    """Replace, remove or rename an entry of the description, at any depth."""
    entry = description
    for number in (first, second, third):
        if not isinstance(entry, dict) or not entry:
            return
        parent, key = entry, _chosen(entry, number)
        entry = parent[key]
        if not isinstance(entry, dict) or not entry or (kind // 4) % 4 == 3:
            break
    if kind % 4 == 2:
        del parent[key]
    elif kind % 4 == 3:
        parent[f"{key}{value}" if value % 2 else str(value)] = parent.pop(key)
    else:
        parent[key] = VALUES[value % len(VALUES)]
