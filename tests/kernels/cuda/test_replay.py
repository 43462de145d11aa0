"""Steps that are recorded and replayed, and what happens where that cannot be."""

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
    from fastmlp.kernels.cuda.replay import Replays

    return Replays()


def done(emulated_cuda, counter, replays, n, key="a"):
    """(kernels launched one by one or recorded, graphs launched) of n steps, which are all done."""
    x, launch = counter
    before = x.tolist()[0]
    with emulated_cuda.counting() as found:
        replays.run(key, n, launch)
    assert x.tolist()[0] == before + n
    return found["launches of count"], found["graph_launches"]


def test_the_first_steps_are_launched_one_by_one(emulated_cuda, counter, replays):
    assert done(emulated_cuda, counter, replays, 3) == (3, 0)
    assert done(emulated_cuda, counter, replays, 1) == (1, 1)  # recorded
    assert done(emulated_cuda, counter, replays, 5) == (0, 5)
    assert done(emulated_cuda, counter, replays, 16) == (16, 1)  # recorded
    assert done(emulated_cuda, counter, replays, 50) == (0, 3 + 2)


def test_keys_have_graphs_of_their_own(emulated_cuda, counter, replays):
    for key in ("a", "b"):
        assert done(emulated_cuda, counter, replays, 10, key) == (3 + 1, 7)


def test_graphs_do_not_pile_up(emulated_cuda, counter, replays):
    for key in range(30):
        done(emulated_cuda, counter, replays, 5, key)
    assert len(replays._graphs) <= 8


def test_a_setting_says_no(emulated_cuda, counter, replays, monkeypatch):
    monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", "0")
    assert done(emulated_cuda, counter, replays, 40) == (40, 0)


@pytest.mark.parametrize("failing", ["begin_capture", "end_capture", "launch"])
def test_what_the_driver_refuses_is_launched_one_by_one(emulated_cuda, cuda, counter, replays, failing, monkeypatch):
    """Silently, and it is not asked again."""
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
def test_a_step_that_cannot_be_recorded(cuda, counter, replays, error):
    """The stream is no longer captured; an interruption gets through, after a part of the steps."""
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


def test_a_graph_runs_on_the_current_stream(emulated_cuda, cuda, counter, replays):
    emulated_cuda.settings.late = "all"
    x, launch = counter
    stream = cuda.cuda.Stream(non_blocking=True)
    with stream:
        replays.run("a", 8, launch)
        seen = stream.record()
    assert not seen.done
    stream.synchronize()
    assert x.tolist() == [8.0]
