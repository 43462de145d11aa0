"""What the targets of the fuzzing share: a folder for their files, small data, a net, and what becomes of a file."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

import fastmlp

READ, REFUSED = "read", "refused"
SIZES = (3, 4, 1)
X = np.linspace(-1, 1, 36).reshape(12, 3).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
_kept: list = []


@cache
def folder():
    """Return a folder of this process, which is removed at its end."""
    made = tempfile.TemporaryDirectory(prefix="fastmlp-fuzz-")
    _kept.append(made)
    return Path(made.name)


def written(data, name):
    path = folder() / name
    path.write_bytes(data)
    return path


def sentence(error):
    """Return REFUSED if an error has a sentence as its message."""
    text = str(error)
    assert len(text.split()) > 4, f"no sentence: {text!r}"
    return REFUSED


def small_net(**settings):
    return fastmlp.MLP(SIZES, loss="binary_cross_entropy", random_state=0, device="cpu", **settings)


def fit(net, *data, epochs=4, **options):
    return net.fit(*data, epochs=epochs, batch_size=5, optimizer="adam", verbose=0, **options)
