"""Small synthetic data sets for tests of training and diagnosis: functions that return (X, y) for a seed."""

import numpy as np

XOR_X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
XOR_Y = np.array([0, 1, 1, 0])


def blobs(seed, n=150, n_features=4, n_classes=3, spread=1.0):
    """Classes as Gaussian clouds around random centres, similar to iris."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_classes, n_features)) * 2.0
    y = rng.permutation(np.arange(n) % n_classes)
    return centres[y] + spread * rng.normal(size=(n, n_features)), y


def moons(seed, n=200, noise=0.15):
    """Two interleaved half circles, one per class."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    angle = rng.random(n) * np.pi
    X = np.stack(
        [np.where(y, 1 - np.cos(angle), np.cos(angle)), np.where(y, 0.5 - np.sin(angle), np.sin(angle))], axis=1
    )
    return X + noise * rng.normal(size=X.shape), y


def friedman(seed, n=300, noise=0.1):
    """Regression: the first function of Friedman 1991 with 5 uniform inputs, standardised."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, 5))
    y = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3] + 5 * X[:, 4]
    y = (y - y.mean()) / y.std()
    return (X - 0.5) * np.sqrt(12), y + noise * rng.normal(size=n)


def overlapping(seed, n=400, n_features=10):
    """Two classes that no classifier separates without errors, such as medical records; logistic in three inputs."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_features))
    score = 1.5 * X[:, 0] - X[:, 1] + 0.8 * X[:, 2]
    return X, (rng.random(n) < 1 / (1 + np.exp(-score))).astype(int)


def rare(seed, n=600):
    """Two classes; one sample in twelve is positive."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    score = X[:, 0] + 0.7 * X[:, 1] + 0.5 * rng.normal(size=n)
    return X, (score > np.quantile(score, 11 / 12)).astype(int)


def rings(seed, n=200):
    """Two concentric rings, one per class."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    radius, angle = 0.6 + 0.9 * y + 0.12 * rng.normal(size=n), rng.random(n) * 2 * np.pi
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), y


def parity(n_bits=6):
    """All samples of n_bits inputs that are 1 or -1; the target is whether the number of ones is odd."""
    bits = (np.arange(2**n_bits)[:, None] >> np.arange(n_bits)) & 1
    return bits * 2.0 - 1.0, bits.sum(axis=1) % 2
