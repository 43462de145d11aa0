"""XOR samples and small populations for the CUDA tests."""

import numpy as np

from fastmlp import Population

XOR, XOR_Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64), np.array([0, 1, 1, 0])
SIZES = (2, 3, 2)


def make(n, sizes=SIZES, **settings):
    return Population(
        sizes, n, **{"hidden_activation": "tanh", "device": "cuda", "dtype": "float64", "random_state": 4} | settings
    )
