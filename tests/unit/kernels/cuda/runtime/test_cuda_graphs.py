"""CUDA graphs: steps are recorded and replayed, or launched one by one if a graph is refused."""

from contextlib import nullcontext
from unittest.mock import ANY

import numpy as np
import pytest

COUNT = 'extern "C" __global__ void count(float* x) { x[0] += 1; }'


@pytest.fixture
def counter(cuda):
    """(x, launch): each launch adds 1 to x."""
    kernel, x = cuda.RawModule(code=COUNT).get_function("count"), cuda.zeros(1, np.float32)
    return x, lambda: kernel((1,), (1,), (x,))


@pytest.fixture
def replays(cuda):
    from fastmlp.kernels.cuda.runtime.cuda_graphs import GraphCache

    return GraphCache()


@pytest.fixture
def steps(cuda, request, counter, replays):
    """steps(n, key): (kernels launched or recorded, graphs launched) in n steps, which all run. How
    many graphs a GPU has launched it does not say, so that any number equals that.
    """
    x, launch = counter
    emulates = request.config.getoption("--device") != "cuda"

    def run(n, key="a"):
        before, launched = x.tolist()[0], []
        with request.getfixturevalue("emulated_cuda").counting() if emulates else nullcontext() as found:
            replays.run(key, n, lambda: launched.append(launch()))
        assert x.tolist()[0] == before + n
        if not emulates:
            return len(launched), ANY
        assert found["launches of count"] == len(launched)
        return len(launched), found["graph_launches"]

    return run


def test_first_steps_are_launched_then_recorded_and_replayed(steps):
    assert steps(3) == (3, 0)
    assert steps(1) == (1, 1)  # recorded
    assert steps(5) == (0, 5)
    assert steps(16) == (16, 1)  # recorded
    assert steps(50) == (0, 3 + 2)


def test_number_of_cached_graphs_is_limited(steps, replays):
    for key in range(30):
        steps(5, key)
    assert len(replays._graphs) <= 8


@pytest.mark.parametrize("failing", ["begin_capture", "end_capture", "launch"])
def test_refused_graphs_fall_back_to_single_launches(emulated_cuda, cuda, counter, replays, failing, monkeypatch):
    """No warning is given, and no further graph is attempted."""
    asked, kind = [], cuda.cuda.Graph if failing == "launch" else cuda.cuda.Stream
    real = getattr(kind, failing)

    def refuse(*arguments):
        asked.append(failing)
        if failing == "end_capture":  # which has ended it, but cannot make a graph of it
            real(*arguments)
        raise RuntimeError("not supported")

    monkeypatch.setattr(kind, failing, refuse)
    x, launch = counter
    replays.run("a", 10, launch)
    replays.run("b", 40, launch)
    assert x.tolist() == [50.0]
    assert asked == [failing]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failed_recording_ends_the_capture(cuda, counter, replays, error):
    """The stream is no longer capturing; KeyboardInterrupt propagates after a part of the steps."""
    x, launch = counter

    def step():
        launch()
        if cuda.cuda.get_current_stream().is_capturing():
            raise error

    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            replays.run("a", 10, step)
        assert x.tolist() == [3.0]
    else:
        replays.run("a", 10, step)
        assert x.tolist() == [10.0]
    assert not cuda.cuda.get_current_stream().is_capturing()


def test_graph_runs_on_the_current_stream(emulated_cuda, cuda, counter, replays):
    emulated_cuda.settings.late = "all"
    x, launch = counter
    stream = cuda.cuda.Stream(non_blocking=True)
    with stream:
        replays.run("a", 8, launch)
        seen = stream.record()
    assert not seen.done
    stream.synchronize()
    assert x.tolist() == [8.0]
