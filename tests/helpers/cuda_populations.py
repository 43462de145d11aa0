"""Small populations for the CUDA tests."""

from fastmlp import Population

SIZES = (2, 3, 2)


def make(n, sizes=SIZES, **settings):
    return Population(
        sizes, n, **{"hidden_activation": "tanh", "device": "cuda", "dtype": "float64", "random_state": 4} | settings
    )
