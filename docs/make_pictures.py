"""Draws docs/pictures.png, the picture in the README: python docs/make_pictures.py (needs the extra `plot`)."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import fastmlp

PATH = Path(__file__).parent / "pictures.png"


def two_moons(n, rng):
    """Two half circles that reach into each other, with noise."""
    y = rng.integers(0, 2, n)
    angle = rng.uniform(0, np.pi, n)
    sign = 1 - 2 * y
    return np.c_[np.cos(angle) * sign + y, np.sin(angle) * sign + 0.5 * y] + rng.normal(0, 0.15, (n, 2)), y


def main():
    rng = np.random.default_rng(0)
    X, y = two_moons(300, rng)
    net = fastmlp.MLP((2, 16, 16, 1), hidden_activation="tanh", loss="binary_cross_entropy", l2=1e-4, random_state=0)
    history = net.fit(
        X, y, epochs=400, batch_size=None, optimizer=fastmlp.Adam(0.005), validation_data=two_moons(300, rng)
    )

    xor, targets = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    pop = fastmlp.Population((2, 3, 1), 2000, hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
    result = pop.fit(xor, targets, epochs=2000, optimizer=fastmlp.SGD(0.5), converged="40-20-40")

    _, axes = plt.subplots(1, 3, figsize=(14.4, 3.9), layout="constrained", dpi=90)
    net.plot_boundary(X, y, ax=axes[0])
    history.plot(ax=axes[1])
    axes[2].hist(result.epoch_statistics.times, bins=40)
    axes[2].set(title=f"{result.n_converged:,} of {result.n_nets:,} nets converged", xlabel="epochs to converge")
    axes[0].figure.savefig(PATH)
    Image.open(PATH).convert("RGB").quantize(192).save(PATH, optimize=True)
    print(f"{PATH}: {PATH.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
