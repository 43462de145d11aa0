"""Ends of training: convergence, early stopping, restarts, divergence and interruption of each net of a population.

Fits end as on the CPU, whose ends are compared with the reference.
"""

import signal

import numpy as np
import pytest
from cuda_cases import Place, assert_follows, shorten_calls
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp import SGD, Adam, Converged, EarlyStopping, Population

RNG = np.random.default_rng(3)
X, X_NEW = RNG.normal(size=(40, 2)), RNG.normal(size=(30, 2))
Y, Y_NEW = ((x[:, 0] * x[:, 1] > 0).astype(int) for x in (X, X_NEW))
XOR = {"X": XOR_X, "y": XOR_Y, "optimizer": Adam(0.3), "epochs": 30}
HELD_OUT = {"X": X, "y": Y, "optimizer": Adam(0.3), "epochs": 25, "validation_data": (X_NEW, Y_NEW)}


def stopping(monitor):
    return HELD_OUT | {"early_stopping": EarlyStopping(patience=3, monitor=monitor, min_delta=0.01)}


FITS = {
    "loss": XOR | {"converged": 0.35},
    "accuracy": XOR | {"converged": "accuracy", "batch_size": 3},
    "40-20-40": XOR | {"converged": "40-20-40", "batch_size": 3},
    "share": XOR | {"converged": Converged(accuracy=0.75)},
    "restarts": XOR | {"converged": Converged(0.4, restart_after=12)},
    "stops by loss": stopping("loss"),
    "stops by accuracy": stopping("accuracy") | {"batch_size": 16},
    "stops by validation_loss": stopping("validation_loss") | {"batch_size": 16},
    "stops by validation_accuracy": stopping("validation_accuracy"),
}


def make(n, device="cuda", **settings):
    arguments = {"hidden_activation": "tanh", "dtype": "float64", "random_state": 4, "device": device}
    return Population((2, 3, 1), n, **arguments | settings)


@pytest.mark.parametrize("name", FITS)
def test_each_net_ends_as_on_the_cpu(place, name):
    fit = FITS[name] | {"shuffle": False, "verbose": 0}
    nets, other = (make(place.n, device, loss="binary_cross_entropy", init_scale=2.0) for device in ("cuda", "cpu"))
    result, expected = nets.fit(**fit), other.fit(**fit)
    assert len(set(result.epochs)) > 1, "nets end at different times"
    assert name != "restarts" or 0 < result.restarts.max() <= 2
    for key, values in expected.arrays().items():
        np.testing.assert_allclose(result.arrays()[key], values, rtol=1e-8, err_msg=key)
    np.testing.assert_allclose(nets.params, other.params, rtol=1e-8, atol=1e-8)
    if place.name == "thread":  # the few that are left after a restart are trained in blocks
        place.shapes[1:] = [pair for pair in place.shapes[1:] if pair[1].in_thread]


@pytest.mark.parametrize("batch_size", [None, 3])
def test_one_diverging_net_leaves_the_others_unchanged(place, batch_size):
    rates = np.full(place.n, 1e-2)
    rates[1] = 1e6
    nets, fit = make(place.n, hidden_activation="leaky_relu"), {"epochs": 80, "batch_size": batch_size}
    with pytest.warns(fastmlp.DivergenceWarning, match=f"1 of {place.n} nets"):
        result = assert_follows(nets, XOR_X, XOR_Y[:, None], [0], optimizer=SGD(rates), shuffle=False, **fit)
    assert np.flatnonzero(result.stopped_by == "divergence").tolist() == [1]
    assert np.isfinite(nets.params).all()
    assert np.isnan(result.loss[1])
    assert 0 < result.epochs[1] < 80


@pytest.mark.parametrize("batch_size", [None, 3])
def test_overflow_in_the_step_after_a_finite_loss_is_divergence(place, batch_size):
    """The step after the only recorded loss overflows: the net gets its initial parameters back."""
    nets = make(place.n, hidden_activation="identity", dtype="float32")
    start, fit = nets.params.copy(), {"epochs": 1, "batch_size": batch_size, "early_stopping": 5}
    with pytest.warns(fastmlp.DivergenceWarning):
        result = nets.fit(
            1e15 * (XOR_X + 1), XOR_Y, optimizer=SGD(1e38 if batch_size is None else 1e10), verbose=0, **fit
        )
    assert set(result.stopped_by) == {"divergence"}
    np.testing.assert_array_equal(nets.params, start)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loss_equal_to_the_criterion_counts_as_converged(lanes, dtype):
    """The criterion is reached in an epoch without a record; the next lower number takes one epoch more."""
    learn = lambda **rules: make(lanes.n, dtype=dtype).fit(
        XOR_X[:3], XOR_Y[:3], batch_size=2, optimizer=SGD(0.1), shuffle=False, verbose=0, **rules
    )
    reached = learn(epochs=37).loss[0]
    for criterion, epochs in ((reached, 37), (np.nextafter(reached, 0.0), 38)):
        assert learn(epochs=200, converged=float(criterion)).epochs[0] == epochs


@pytest.mark.parametrize("dtype, size, loss", [("float32", 1e15, "squared_error"), ("float64", 1e160, "huber")])
def test_clipping_works_if_the_sum_of_squares_overflows(place, dtype, size, loss):
    nets = make(place.n, hidden_activation="identity", loss=loss, dtype=dtype)
    start = nets.params.copy()
    nets.fit(size * (XOR_X + 1.0), XOR_Y, epochs=1, optimizer=SGD(0.1, clip_norm=2.0), verbose=0)
    np.testing.assert_allclose(np.linalg.norm((nets.params - start).astype(float), axis=1), 0.2, rtol=1e-5)


@pytest.mark.parametrize("loss, huge", [("squared_error", 1e25), ("poisson", 1e4)])
def test_samples_of_weight_zero_may_overflow(place, loss, huge, request):
    """Of the training data and of the held-out samples: their loss is infinite or, with poisson, their outputs are."""
    weight, found = RNG.random((place.n, 40)) + 0.5, []
    weight[:, 3] = 0.0
    for row in (huge, 0.5):
        inputs = X.copy()
        inputs[3] = row
        nets = make(place.n, loss=loss, hidden_activation="relu", dtype="float32")
        nets.params[:] = np.abs(nets.params) / 4  # outputs grow with the inputs
        fit = {
            "epochs": 3,
            "batch_size": 16,
            "optimizer": SGD(0.01),
            "validation_data": (inputs[:9], Y[:9], np.arange(9) != 3),
        }
        result = nets.fit(inputs, Y, sample_weight=weight, early_stopping=EarlyStopping(9), verbose=0, **fit)
        found.append((result.loss, result.best_value, nets.params))
    same_bits = request.config.getoption("--device") == "emulator"  # NVRTC may join other multiplications and additions
    for overflowing, ordinary in zip(*found, strict=True):
        assert np.isfinite(ordinary).all()
        np.testing.assert_allclose(overflowing, ordinary, rtol=0 if same_bits else 2e-4)


# ---- windows: as many nets at a time as fit into memory


@pytest.fixture
def windows(monkeypatch):
    """The list of the nets of each window that is opened."""
    from fastmlp.kernels.cuda.population.window import Window

    found, begin = [], Window.__init__
    monkeypatch.setattr(
        Window,
        "__init__",
        lambda self, work, members, *given: (found.append(members), begin(self, work, members, *given))[1],
    )
    return found


def small_windows(emulator, monkeypatch, n_bytes):
    share = n_bytes / emulator.settings.limit
    monkeypatch.setattr("fastmlp.kernels.cuda.population.train.SHARE_OF_MEMORY", share)


def test_windows_smaller_than_the_population_change_no_result(emulated_cuda, lanes, windows, monkeypatch):
    fit, n = FITS["accuracy"] | {"verbose": 0}, 400 if lanes.name == "thread" else 20
    nets, others = (make(n, loss="binary_cross_entropy", dropout=0.2 * (lanes.name == "batched")) for _ in range(2))
    expected = nets.fit(**fit)
    assert [len(window) for window in windows] == [n]
    windows.clear()
    small_windows(emulated_cuda, monkeypatch, 160 * 800 if n == 400 else 8_000)
    result = others.fit(**fit)
    assert len(windows) > 2
    np.testing.assert_array_equal(np.concatenate(windows), np.arange(n))
    np.testing.assert_allclose(nets.params, others.params, rtol=1e-9, atol=1e-9)
    for name in ("epochs", "status", "converged"):
        np.testing.assert_array_equal(getattr(result, name), getattr(expected, name))
    lanes.shapes[:] = [pair for pair in lanes.shapes if pair[1].in_thread] or lanes.shapes


@pytest.mark.parametrize(
    "sizes, n, limit, settings",
    [
        ((2, 3, 1), 200, 150_000, {"dtype": "float32"}),
        ((2, 40, 40, 1), 40, 1_500_000, {"dtype": "float32"}),
        ((2, 40, 30, 1), 40, 700_000, {"dropout": 0.1}),
        ((2, 40, 30, 1), 40, 350_000, {"dropout": 0.1, "dtype": "float32", "precision": "bfloat16"}),
    ],
    ids=["thread", "workspace", "batched", "bfloat16"],
)
def test_windows_fit_into_any_amount_of_memory(emulated_cuda, monkeypatch, windows, request, sizes, n, limit, settings):
    """The bytes of a net that windows are sized by are those that it takes."""
    from fastmlp.execution import gpu_costs
    from fastmlp.execution.gpu_costs import BY_LAYERS, IN_BLOCKS
    from fastmlp.kernels.cuda.population import train

    monkeypatch.setattr(train, "shared_limit", lambda: 4000)
    emulated_cuda.settings.limit = limit
    monkeypatch.setattr(gpu_costs, "ESTIMATED_COSTS", BY_LAYERS if "dropout" in settings else IN_BLOCKS)
    nets = Population(sizes, n, device="cuda", **settings)
    fit = {"epochs": 3, "batch_size": 16, "validation_data": (X_NEW, Y_NEW), "early_stopping": 5, "verbose": 0}
    result = nets.fit(X, Y, optimizer=Adam(0.01), **fit)
    assert len(windows) > 1
    assert (result.epochs == 3).all()
    assert np.isfinite(nets.predict(X)).all()
    assert np.isfinite(nets.evaluate(X, Y)["loss"]).all()


def test_too_little_memory_for_one_net_raises(emulated_cuda, monkeypatch):
    nets = Population((2, 100, 90, 1), 3, device="cuda")
    emulated_cuda.settings.limit = 10_000
    with pytest.raises(MemoryError, match=r"no room for .* bytes are wanted, [\d,]+ of 10,000 are free"):
        nets.fit(XOR_X, XOR_Y, epochs=1, verbose=0)
    nets = Population((200, 2, 1), 2, device="cuda", dtype="float64")
    own_X = RNG.normal(size=(2, 200, 200))
    emulated_cuda.settings.limit = int(1.45 * own_X.nbytes)  # the inputs fit, and no copy of those of a net
    Place("batched", monkeypatch)
    with pytest.raises(MemoryError, match=r"no room for the outputs of nets: .* Evaluate fewer samples at a time\.$"):
        nets.predict(own_X)


# ---- interruption


@pytest.mark.parametrize("windowed", [False, True])
def test_interrupted_nets_keep_whole_epochs(emulated_cuda, ctrl_c, lanes, windows, monkeypatch, windowed):
    """The nets of a window that is done have finished; those of the next one train, and others have not begun."""
    from fastmlp.kernels.cuda.population.window import Window

    n = 400 if lanes.name == "thread" else 20
    shorten_calls(monkeypatch)
    if windowed:
        small_windows(emulated_cuda, monkeypatch, 160 * 800 if n == 400 else 8_000)
    nets, calls, kinds = make(n), [], [Window, *Window.__subclasses__()]
    for kind in [kind for kind in kinds if "train" in vars(kind)]:
        train = kind.train

        def trained(self, *given, train=train):
            if len(windows) == 1 + windowed:
                calls.append(1)
                if len(calls) == 3:
                    signal.raise_signal(signal.SIGINT)
            train(self, *given)

        monkeypatch.setattr(kind, "train", trained)
    start = nets.params.copy()
    result = nets.fit(XOR_X, XOR_Y, epochs=5, optimizer=Adam(0.1), verbose=0)
    assert result.interrupted
    wanted = np.zeros(n)
    wanted[np.concatenate(windows)] = 5
    wanted[windows[-1]] = 3
    np.testing.assert_array_equal(result.epochs, wanted)
    np.testing.assert_array_equal(nets.params[wanted == 0], start[wanted == 0])
    other = make(n)
    expected = other.fit(XOR_X, XOR_Y, epochs=3, optimizer=Adam(0.1), verbose=0)
    np.testing.assert_allclose(nets.params[windows[1 * windowed]], other.params[windows[1 * windowed]], rtol=1e-9)
    np.testing.assert_allclose(result.loss[wanted == 3], expected.loss[wanted == 3], rtol=1e-9)
    lanes.shapes[:] = [pair for pair in lanes.shapes if pair[1].in_thread] or lanes.shapes
