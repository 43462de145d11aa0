"""Launch modes of a fit's steps, in the emulator."""

import os
import re

import numpy as np
import pytest
from gpu import launch_modes

import fastmlp
import fastmlp.execution.thresholds

pytestmark = pytest.mark.full


@pytest.mark.parametrize("family", ["small_net", "layerwise"])
def test_each_launch_mode_launches_as_named(family, emulated_cuda, monkeypatch):
    """Each mode launches as its name says, and settings are restored afterwards."""
    monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", "1")
    small = fastmlp.execution.thresholds.BLOCK_UP_TO_PARAMS
    sizes = (6, 20, 3) if family == "small_net" else (6, 150, 150, 3)
    net = fastmlp.MLP(sizes, device="cuda", random_state=0)
    X, y, trained = np.ones((30, 6)), np.ones((30, 3)), []

    def fit(epochs):
        net.fit(X, y, epochs=epochs, batch_size=10, verbose=0)
        trained.append(epochs)

    found, ways = {}, launch_modes.launch_modes(fit, 24, family)
    for name, (run, _) in ways.items():
        with emulated_cuda.counting() as n:
            run()
        found[name] = bool(n["launches of loss_and_output_delta"]), bool(n["graph_launches"])
    expected = {"fastmlp": (family == "layerwise", family == "layerwise")}
    if family == "small_net":
        expected |= {"fastmlp, by layers": (True, True), "fastmlp, by layers, no graphs": (True, False)}
    else:
        expected |= {"fastmlp, no graphs": (True, False)}
    assert found == expected
    assert trained == [epochs for _, epochs in ways.values()] == ([24, 3, 3] if family == "small_net" else [24, 24])
    assert (os.environ["FASTMLP_CUDA_GRAPHS"], fastmlp.execution.thresholds.BLOCK_UP_TO_PARAMS) == ("1", small)


def test_graphs_of_reports_whether_graphs_were_used(emulated_cuda, monkeypatch):
    """Graphs may be replayed, never recorded, refused by the driver, or reported as failed by the package."""
    import cupy

    from fastmlp.kernels.cuda.runtime import cuda_graphs

    net, data = fastmlp.MLP((6, 150, 150, 3), device="cuda", random_state=0), (np.ones((30, 6)), np.ones((30, 3)))
    fit = lambda: net.fit(*data, epochs=4, batch_size=10, verbose=0)
    record = cuda_graphs.record
    assert re.fullmatch(r"replayed, [1-9]\d* recorded", launch_modes.graph_note(fit))
    with launch_modes.launched(graphs=False, layerwise=False):
        assert launch_modes.graph_note(fit) == "none recorded"
    monkeypatch.setattr(cuda_graphs, "failures", ["of another fit"], raising=False)
    assert launch_modes.graph_note(fit).startswith("replayed, ")
    told = lambda: cuda_graphs.failures.append("a launch of the graph fails")
    assert launch_modes.graph_note(told) == "launched one by one: a launch of the graph fails"
    monkeypatch.setattr(cupy.cuda.Stream, "begin_capture", lambda stream: [][0])
    assert launch_modes.graph_note(fit) == "launched one by one: IndexError: list index out of range"
    assert cuda_graphs.record is record
    ways = {"fastmlp": (fit, 1), "fastmlp, no graphs": (fit, 1)}
    assert set(launch_modes.graph_notes(ways)) == {"graphs of fastmlp"}
