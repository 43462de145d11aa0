"""Use an installed fastmlp as a newcomer would: train, save, load, predict. Run it in a folder without the repository.

python try_installed.py                      any installation
python try_installed.py --machine-code       a wheel with machine code: two families train without a compiler, if
                                             the wheel has code for this processor's level
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import fastmlp
from fastmlp.kernels.jit import cpu_features, object_cache

XOR = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
SETTINGS = {"hidden_activation": "tanh", "loss": "binary_cross_entropy", "random_state": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--machine-code", action="store_true", help="check that nothing is compiled for two families")
    assert Path(fastmlp.__file__).is_relative_to(sys.prefix), f"not installed, but imported from {fastmlp.__file__}"
    if parser.parse_args().machine_code:
        train_without_compiler()
    else:
        train_save_load()
    print(f"fastmlp {fastmlp.__version__}, Python {sys.version.split()[0]}, NumPy {np.__version__}: works")


def train_save_load() -> None:
    net = fastmlp.MLP((2, 4, 1), **SETTINGS)
    net.fit(*XOR, epochs=1000, optimizer="rprop", verbose=0)
    assert net.evaluate(*XOR)["accuracy"] == 1.0
    net.save("xor.safetensors")
    assert (fastmlp.load("xor.safetensors").predict(XOR[0]) == net.predict(XOR[0])).all()


def train_without_compiler() -> None:
    X, y = np.random.default_rng(0).normal(size=(400, 64)), np.arange(400) % 10
    for hidden in ((64, 32), (512, 512)):
        net = fastmlp.MLP((64, *hidden, 10), loss="softmax_cross_entropy", random_state=0)
        net.fit(X, y, epochs=1, batch_size=200, verbose=0)
        net.predict(X)
    compiled, level = "numba" in sys.modules, cpu_features.level()
    print(f"{level}: first training {'compiled' if compiled else 'without a compiler'}")
    has_code = level is not None and any(object_cache.PREBUILT.glob(f"*/{level}/*.o"))
    assert compiled != has_code, "the wheel's machine code was not used"
    nets = fastmlp.Population((2, 2, 1), 100, **SETTINGS)
    rate = nets.fit(*XOR, epochs=500, optimizer="rprop", converged="40-20-40", verbose=0).success_rate
    assert 0.2 < rate < 0.9, rate


if __name__ == "__main__":
    main()
