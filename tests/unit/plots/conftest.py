"""Fixture that draws plots without a screen, and closes every figure after its test."""

import pytest


@pytest.fixture(autouse=True)
def headless():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")
