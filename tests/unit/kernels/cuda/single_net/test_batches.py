"""Shuffling on the device: orders bit for bit, and samples streamed from the host."""

import signal

import numpy as np
import pytest
from cuda_cases import Place, fit_seed, follow_sgd, reference_of
from reference_random import epoch_order

import fastmlp.fit.hooks.tuned_calls
from fastmlp import MLP, SGD, Population
from fastmlp.kernels.structs import METRIC_NONE, Samples, TrainConfig

pytestmark = pytest.mark.thinned(16)

SIZES = (5, 7, 2)


def data_of(n, on_device=None, weighted=True):
    X, Y, weight = np.arange(n * 3.0), np.arange(n * 2.0) + 0.5, np.linspace(0.5, 1.5, n)
    X, Y, weight = ((on_device or np).asarray(array, np.float32) for array in (X, Y, weight))
    return Samples(n, X, Y, weighted, weight, True, METRIC_NONE)


def workspace_of(size):
    """The workspace of a net with three inputs and two outputs."""
    from fastmlp.execution.net_description import describe_net
    from fastmlp.kernels.cuda.single_net.layerwise import LayerwiseWorkspace

    net = describe_net(MLP((3, 2), device="cpu").network)
    return LayerwiseWorkspace(net, size, np.dtype(np.float32), "exact")


def batches_of(size):
    return workspace_of(size).batches


@pytest.fixture
def module(cuda):
    """The kernels of that net."""
    work = workspace_of(4)
    return work.module(work.header(data_of(8), 0, False, False))


def config(size, shuffle, seed=2**62 + 3):
    return TrainConfig(size, shuffle, seed, 0, np.zeros(0), np.ones(1), False, np.zeros(0))


TICK = 'extern "C" __global__ void tick(void* clock) { ++*(long long*)clock; }'


class BatchSequence:
    """Successive batches, with a step counter that advances as in training."""

    def __init__(self, module, data, size, shuffle):
        from fastmlp.kernels.cuda.build.compiled_module import compiled

        self.module, self.data, self.config = module, data, config(size, shuffle)
        self.n_batches, self.tick = -(-data.n_samples // size), compiled(TICK)["tick"]
        self.work = workspace_of(size)
        self.work._set_inputs(data, self.config)
        self.batches, self.clock = self.work.batches, self.work.passes.clock
        self.start(0)

    def start(self, epoch):
        self.step = epoch * self.n_batches
        self.clock.set(step=self.step, n_batches=self.n_batches)

    def next(self, use=lambda x, y, w: None):
        epoch, batch = divmod(self.step, self.n_batches)
        rows = min(self.config.batch_size, self.data.n_samples - batch * self.config.batch_size)
        self.batches.begin(self.module, self.data, self.config, epoch)
        x, y, _, weight, *_ = self.batches.take(self.module, self.data, self.config, epoch, batch, rows)
        batch_arrays = [array.reshape(-1) for array in (x, y, weight)]
        use(*batch_arrays)
        self.tick((1,), 1, self.clock.array)
        self.step += 1
        return batch_arrays


@pytest.mark.parametrize("n, size", [(10, 4), (600, 170), (7, 1)])
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_follow_the_epoch_order_bit_for_bit(module, cuda, n, size, shuffle):
    """Inputs, targets and weights of every batch follow the order; epochs may be skipped."""
    sequence = BatchSequence(module, data_of(n, cuda), size, shuffle)
    for epoch in (0, 1, 2, 5):
        order = epoch_order(n, 2**62 + 3, epoch) if shuffle else np.arange(n)
        sequence.start(epoch)
        for batch in range(sequence.n_batches):
            chosen = order[batch * size : (batch + 1) * size]
            x, y, w = sequence.next()
            rows = len(chosen)
            targets = np.arange(2 * n).reshape(n, 2)[chosen] + np.float32(0.5)
            np.testing.assert_array_equal(x.get(), np.arange(3 * n).reshape(n, 3)[chosen].ravel())
            np.testing.assert_array_equal(y.get()[: 2 * rows], targets.ravel())
            np.testing.assert_array_equal(w.get()[:rows], np.linspace(0.5, 1.5, n).astype(np.float32)[chosen])


@pytest.mark.parametrize("epoch", [3, 4])
def test_interrupted_order_is_drawn_again(module, cuda, epoch):
    """An interruption while the order of epoch 4 is drawn leaves no order behind: neither of 4, nor that of 3."""
    n, batches, data = 50, batches_of(4), data_of(50, cuda)
    batches.begin(module, data, config(4, True), 3)

    class Interrupted:
        def __getitem__(self, name):
            if name == "order_samples":
                signal.raise_signal(signal.SIGINT)
            return module[name]

    with pytest.raises(KeyboardInterrupt):
        batches.begin(Interrupted(), data, config(4, True), 4)
    batches._order.fill(-1)
    batches.begin(module, data, config(4, True), epoch)
    np.testing.assert_array_equal(batches._order.get(), epoch_order(n, 2**62 + 3, epoch))


@pytest.mark.parametrize("threads", [0, 5, 6])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 257, 20_000])
def test_orders_are_equal_for_any_order_of_threads(module, cuda, request, n, threads):
    """Threads insert their elements in any order, and the epoch order is the same."""
    data = Samples(n, cuda.zeros(1, np.float32), None, False, None, False, METRIC_NONE)
    if threads:
        request.getfixturevalue("emulated_cuda").settings.order = threads
    for epoch in (0, 7):
        batches = batches_of(4)
        batches.begin(module, data, config(4, True), epoch)
        np.testing.assert_array_equal(batches._order.get(), epoch_order(n, 2**62 + 3, epoch))


def test_batch_arrays_have_fixed_addresses(module, cuda):
    """A recorded graph needs the same arrays in each step."""
    for shuffle in (True, False):
        sequence = BatchSequence(module, data_of(12, cuda), 4, shuffle)
        assert len({tuple(array.data.ptr for array in sequence.next()) for _ in range(6)}) == 1


def test_full_batch_in_order_is_not_copied(module, cuda):
    data = data_of(10, cuda)
    x, y, w = BatchSequence(module, data, 10, False).next()
    assert [a.data.ptr for a in (x, y, w)] == [a.data.ptr for a in (data.X, data.Y, data.weight)]


def test_batches_of_an_evaluation_are_views(module, cuda):
    data, batches = data_of(10, cuda), batches_of(4)
    for batch, rows in ((0, 4), (1, 4), (2, 2)):
        x, y, _, w, *_ = batches.in_order(module, data, batch * 4, rows)
        assert x.data.ptr == data.X.data.ptr + batch * 4 * 3 * 4
        assert y.data.ptr == data.Y.data.ptr + batch * 4 * 2 * 4
        assert w.data.ptr == data.weight.data.ptr + batch * 4 * 4


def test_missing_targets_and_weights_are_none(module, cuda):
    data = data_of(10, cuda)._replace(has_weights=False, has_targets=False)
    assert batches_of(4).in_order(module, data, 4, 4)[1:5] == (None, 0, None, 0)


# ---- samples that stay on the host


@pytest.fixture
def streaming(cuda, monkeypatch):
    """Pretend that no samples fit into device memory."""
    from fastmlp.kernels.cuda.runtime import device_memory

    monkeypatch.setattr(device_memory, "fits", lambda data: device_memory.is_on_device(data.X))


@pytest.mark.parametrize("late", ["", "all", "null"])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("n_batches", [1, 2, 3, 4, 5])
def test_streamed_batches_match_the_reference(cuda, be_late, streaming, monkeypatch, late, shuffle, n_batches, rng):
    """Streams that run as late as allowed reveal buffers, on host or device, that are overwritten too early."""
    place = Place("layers", monkeypatch)
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_CALL", 1e12)
    be_late(late)
    X, y = rng.normal(size=(10 * n_batches - 3, 5)), rng.normal(size=(10 * n_batches - 3, 2))
    net = MLP(SIZES, hidden_activation="tanh", dtype="float64", device="cuda", random_state=3)
    reference = reference_of(net.network, net.params)
    history = net.fit(X, y, epochs=4, batch_size=10, shuffle=shuffle, optimizer=SGD(0.1), verbose=0)
    losses = follow_sgd(
        reference, X, y, 0.1, epochs=4, batch_size=10, seed=fit_seed(3), shuffle=shuffle and n_batches > 1
    )
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-10)
    monkeypatch.setattr("fastmlp.execution.thresholds.DEVICE_EVALUATION_ROWS", 10)
    np.testing.assert_allclose(net.predict(X), reference.predict(X), rtol=1e-10, atol=1e-12)
    assert net.evaluate(X, y)["loss"] == pytest.approx(reference.loss_and_gradient(X, y)[0])
    place.check()


KEEP = """
extern "C" __global__ void keep(const float* x, long long n, float* kept) {
  for (long long i = threadIdx.x; i < n; i += blockDim.x) kept[i] = x[i];
}
"""


@pytest.mark.parametrize("late", ["", "all", "null"])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("n_batches", [1, 2, 3, 4, 5])
def test_batch_buffers_are_not_overwritten_before_use(be_late, module, cuda, streaming, late, shuffle, n_batches):
    """Kernels that read a batch long after the host has moved on find it unchanged."""
    from fastmlp.kernels.cuda.build.compiled_module import compiled

    n, keep, widths = 4 * n_batches - 1, compiled(KEEP)["keep"], (3, 2, 1)
    copies = [cuda.zeros((4 * n_batches, 4 * width), np.float32) for width in widths]
    data = data_of(n)
    sequence = BatchSequence(module, data, 4, shuffle)
    be_late(late)
    for t in range(4 * n_batches):
        rows = min(4, n - 4 * (t % n_batches))

        def use(*batch, rows=rows, t=t):
            for part, width, to in zip(batch, widths, copies, strict=True):
                keep((1,), 32, part, width * rows, to[t])

        sequence.next(use)
    for epoch in range(4):
        order = epoch_order(n, 2**62 + 3, epoch) if shuffle else np.arange(n)
        for batch in range(n_batches):
            chosen = order[4 * batch : 4 * batch + 4]
            for part, width, found in zip((data.X, data.Y, data.weight), widths, copies, strict=True):
                np.testing.assert_array_equal(
                    found.get()[epoch * n_batches + batch, : width * len(chosen)],
                    part.reshape(n, width)[chosen].ravel(),
                )


@pytest.mark.parametrize("late", ["", "all"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_streaming_over_many_calls_matches_the_reference(be_late, streaming, monkeypatch, late, shuffle, rng):
    """A batch sent by one call is used by the next one, with the same bits if the copy arrives late."""
    place = Place("layers", monkeypatch)
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_CALL", 1)
    X, y = rng.normal(size=(35, 5)), rng.normal(size=(35, 2))
    found = []
    for wait in ("", late):
        be_late(wait)
        net = MLP(SIZES, hidden_activation="tanh", dtype="float64", device="cuda", random_state=3)
        reference = reference_of(net.network, net.params)
        net.fit(X, y, epochs=3, batch_size=10, shuffle=shuffle, optimizer=SGD(0.1), verbose=0)
        follow_sgd(reference, X, y, 0.1, epochs=3, batch_size=10, seed=fit_seed(3), shuffle=shuffle)
        np.testing.assert_allclose(net.params, reference.params, rtol=1e-10, atol=1e-12)
        found.append(net.params.tobytes())
    assert len(set(found)) == 1
    place.check()


@pytest.mark.full
def test_streaming_holds_two_batches_on_the_device(streaming, monkeypatch, rng):
    """Device memory holds two batches of samples, never all samples."""
    Place("layers", monkeypatch)
    from fastmlp.kernels.cuda.runtime.block_copies import BlockCopies

    made, begin = [], BlockCopies.__init__
    monkeypatch.setattr(
        BlockCopies, "__init__", lambda self, *given: (begin(self, *given), made.append(self._there))[0]
    )
    X, y = rng.normal(size=(400, 5)), rng.normal(size=(400, 2))
    MLP(SIZES, device="cuda", random_state=3).fit(X, y, epochs=1, batch_size=10, verbose=0)
    (blocks,) = made
    assert [[array.size for array in block] for block in blocks] == [[50, 20, 0]] * 2


@pytest.mark.parametrize("kind", ["layers", "evaluation"])
def test_next_batch_is_sent_while_the_current_one_is_used(cuda, streaming, monkeypatch, kind, rng):
    """The copy is on another stream than the kernels, so that both overlap."""
    from fastmlp.kernels.cuda.layers.passes import Passes
    from fastmlp.kernels.cuda.runtime.block_copies import BlockCopies

    name = "gradient" if kind == "layers" else "evaluate"
    place, events, send, use = Place("layers", monkeypatch), [], BlockCopies.send, getattr(Passes, name)

    def sent(self, k, arrays):
        assert self._stream.ptr != cuda.cuda.get_current_stream().ptr
        events.append(("sent", int(arrays[0][0])))
        send(self, k, arrays)

    def used(*given):
        events.append(("used", int(given[2].x.ravel()[0])))
        return use(*given)

    X, y = rng.normal(size=(40, 5)), rng.normal(size=(40, 2))
    X[:, 0] = np.repeat(np.arange(4), 10)  # which batch it is
    net = MLP(SIZES, device="cuda", random_state=3)
    if kind == "evaluation":
        net.fit(X, y, epochs=1, batch_size=10, verbose=0)
    monkeypatch.setattr("fastmlp.execution.thresholds.DEVICE_EVALUATION_ROWS", 10)
    monkeypatch.setattr(BlockCopies, "send", sent)
    monkeypatch.setattr(Passes, name, used)
    if kind == "evaluation":
        net.predict(X)
    else:
        net.fit(X, y, epochs=1, batch_size=10, shuffle=False, verbose=0)
    order = [("sent", 0)]
    for batch in range(4):
        order += [("sent", batch + 1)] * (batch < 3) + [("used", batch)]
    assert events == order
    place.check()


@pytest.mark.full
@pytest.mark.parametrize("weighted", [False, True])
def test_targets_and_weights_larger_than_inputs_are_streamed(emulated_cuda, monkeypatch, weighted, rng):
    """Targets and weights are streamed as inputs are."""
    X, y = rng.normal(size=(2000, 5)), rng.normal(size=(2000, 30))
    weight = rng.uniform(0.5, 1.5, 2000) if weighted else None
    net = MLP((5, 7, 30), hidden_activation="tanh", device="cuda", random_state=3)
    reference = reference_of(net.network, net.params)
    emulated_cuda.settings.limit = 200_000  # inputs have 40,000 bytes, targets 240,000
    monkeypatch.setattr("fastmlp.execution.thresholds.DEVICE_EVALUATION_ROWS", 100)
    history = net.fit(
        X, y, epochs=1, batch_size=100, shuffle=False, optimizer=SGD(0.1), sample_weight=weight, verbose=0
    )
    scaled = None if weight is None else weight / weight.mean()
    losses = follow_sgd(reference, X, y, 0.1, epochs=1, batch_size=100, weight=scaled)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-5)
    np.testing.assert_allclose(net.predict(X), reference.predict(X), rtol=1e-4, atol=1e-5)
    loss = net.evaluate(X, y, sample_weight=weight)["loss"]
    assert loss == pytest.approx(reference.loss_and_gradient(X, y, scaled)[0], rel=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("many", [False, True], ids=["MLP", "Population"])
def test_small_nets_accept_data_beyond_device_memory(emulated_cuda, many, monkeypatch, rng):
    """If data do not fit into memory, small nets train on streamed batches, one net after another."""
    X, y = rng.normal(size=(3000, 5)), rng.normal(size=(3000, 2))
    emulated_cuda.settings.limit = 70_000
    monkeypatch.setattr("fastmlp.execution.thresholds.DEVICE_EVALUATION_ROWS", 100)
    settings = {"hidden_activation": "tanh", "device": "cuda", "random_state": 3}
    net = Population(SIZES, 3, **settings) if many else MLP(SIZES, **settings)
    start = np.atleast_2d(net.params).copy()
    net.fit(X, y, epochs=1, batch_size=100, shuffle=False, optimizer=SGD(0.1), verbose=0)
    trained, outputs = np.atleast_2d(net.params), net.predict(X).reshape(-1, 3000, 2)
    for params, found, output in zip(start, trained, outputs, strict=True):
        reference = reference_of(net.network, params)
        follow_sgd(reference, X, y, 0.1, epochs=1, batch_size=100)
        np.testing.assert_allclose(found, reference.params, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(output, reference.predict(X), rtol=1e-4, atol=1e-5)


def test_too_little_memory_for_a_batch_raises(emulated_cuda, streaming, monkeypatch, rng):
    """The error is raised when the first batch is sent."""
    Place("layers", monkeypatch)
    X, y = rng.normal(size=(1000, 5)), rng.normal(size=(1000, 2))
    net = MLP(SIZES, hidden_activation="tanh", device="cuda", random_state=3)
    emulated_cuda.settings.limit = 110_000
    with pytest.raises(MemoryError, match=r"two blocks of rows: about 56,000 bytes are wanted.*Lower batch_size"):
        net.fit(X, y, epochs=1, batch_size=None, verbose=0)
