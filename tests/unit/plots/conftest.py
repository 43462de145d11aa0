"""Pictures are drawn without a screen, and every figure is closed after its test."""

import pytest


@pytest.fixture(autouse=True)
def headless():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")
