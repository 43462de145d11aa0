"""Small data and nets for the tests of data/: six samples of three features, and calls of the checks."""

import numpy as np

from fastmlp.data.checked_samples import as_features
from fastmlp.data.targets import as_targets
from fastmlp.network.spec import Network

N = 6
VALUES = np.arange(N * 3).reshape(N, 3) / 4.0


def network(k=1, loss="squared_error", output=None, label_smoothing=0.0):
    return Network.build((3, k), {"output_activation": output, "loss": loss, "label_smoothing": label_smoothing})


def features(X, dtype=np.float32, n_features=3):
    return as_features(X, n_features, np.dtype(dtype))


def targets(y, net, n=N, dtype=np.float32):
    return as_targets(y, net, np.dtype(dtype), n)
