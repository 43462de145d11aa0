"""Targets of the fuzzing that read checkpoints. States under a right checksum that are none of the fit are in
tests/unit/fit/test_refused_checkpoints.py.
"""

from functools import cache

from fuzz_files import READ, SIZES, X, Y, folder, sentence, small_net, written

import fastmlp


def _net():
    return small_net(), {"optimizer": "adam"}


def _population():
    nets = fastmlp.Population(SIZES, 18, loss="binary_cross_entropy", random_state=0, device="cpu")
    return nets, {"converged": 0.6}


FITS = {"net": _net, "population": _population}  # functions that return nets, and arguments of their fit


def _fit(kind, epochs=6, **options):
    """Fit the nets of a kind, whose parameters and random numbers a refused checkpoint must leave as they are."""
    nets, arguments = FITS[kind]()
    before, numbers = nets.params.copy(), (nets.seed, nets.fits)
    try:
        nets.fit(X, Y, epochs=epochs, batch_size=5, verbose=0, **arguments, **options)
    except ValueError:
        assert (nets.params == before).all(), "a refused checkpoint has changed the nets"
        assert (nets.seed, nets.fits) == numbers, "a refused checkpoint has changed the random numbers of the nets"
        raise
    return nets.params


@cache
def checkpoint(kind):
    """Return the valid checkpoint of a kind of fit, after a part of its epochs where more can follow, as bytes."""
    path = folder() / f"seed-{kind}.ckpt"
    _fit(kind, epochs=2 if kind == "net" else 6, checkpoint=fastmlp.Checkpoint(path, 1))
    return path.read_bytes()


@cache
def _end(kind):
    """Return the numbers of a fit without interruption, which each that goes on from a checkpoint must reach."""
    return _fit(kind).copy()


def resume(kind, data):
    """Go on from a checkpoint that may be damaged."""
    path = written(data, "fit.ckpt")
    (folder() / "fit.ckpt.previous").unlink(missing_ok=True)
    try:
        found = _fit(kind, checkpoint=fastmlp.Checkpoint(path, resume=True))
    except ValueError as error:
        return sentence(error)
    assert (found == _end(kind)).all(), "a damaged checkpoint has led to other numbers"
    return READ
