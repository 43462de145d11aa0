"""Inputs in GPU memory: they are not copied, and predictions are arrays of the same kind."""

import sys
import types

import numpy as np
import pytest
from cuda_cases import Place, follow, reference_of

import fastmlp
from fastmlp import MLP, SGD, Population
from fastmlp.devices import device_of

SIZES = (3, 5, 2)


def samples(rng, n=20):
    return rng.normal(size=(n, 3)).astype(np.float32), rng.normal(size=(n, 2)).astype(np.float32)


def make(device="cuda", **settings):
    return MLP(SIZES, **{"hidden_activation": "tanh", "device": device, "random_state": 0} | settings)


class Tensor:
    """Array of another library, which CuPy can read only by DLPack."""

    def __init__(self, array):
        self.array, self.shape, self.asked = array, array.shape, 0

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, **keywords):
        self.asked += 1
        return self.array.__dlpack__(**keywords)

    def __len__(self):
        return len(self.array)


@pytest.fixture
def given_to_kernels(cuda, monkeypatch):
    """Return lists of the addresses of inputs, targets and weights that kernels get."""
    from fastmlp.kernels.cuda.population import train
    from fastmlp.kernels.cuda.single_net import small_net

    found = {"X": [], "Y": [], "weight": []}
    for module in (small_net, train):
        launch = module.launch

        def launched(*arguments, launch=launch, **job):
            for name, addresses in found.items():
                addresses.append(job[name].data.ptr)
            launch(*arguments, **job)

        monkeypatch.setattr(module, "launch", launched)
    return found


@pytest.mark.parametrize("library", ["cupy", "other"])
@pytest.mark.parametrize("many", [False, True], ids=["MLP", "Population"])
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_device_inputs_are_not_copied(cuda, given_to_kernels, library, many, device, rng):
    """Kernels read the user's memory; "auto" takes the device of the inputs, however small the work."""
    X, y = samples(rng)
    there = cuda.asarray(X)
    given = there if library == "cupy" else Tensor(there)
    settings = {"hidden_activation": "tanh", "device": device, "random_state": 0}
    net = Population(SIZES, 3, **settings) if many else MLP(SIZES, **settings)
    start = net.params.copy()
    net.fit(given, cuda.asarray(y), epochs=4, optimizer=SGD(0.1), verbose=0)
    assert net.device.name in ("cuda", "cuda:0")
    assert ("holds the inputs" in net.device.reason) == (device == "auto")
    outputs, figures = net.predict(given), net.evaluate(given, cuda.asarray(y))
    assert set(given_to_kernels["X"]) == {there.data.ptr}
    for k in range(3) if many else [0]:
        reference = reference_of(net.network, start[k] if many else start)
        follow(reference, X, y, SGD(0.1), epochs=4)
        np.testing.assert_allclose(net.params[k] if many else net.params, reference.params, rtol=1e-5, atol=1e-6)
        one = outputs[k] if many else outputs
        assert isinstance(one, cuda.ndarray)
        np.testing.assert_allclose(one.get(), reference.predict(X), rtol=1e-5, atol=1e-6)
        loss = figures["loss"][k] if many else figures["loss"]
        assert loss == pytest.approx(reference.loss_and_gradient(X, y)[0], rel=1e-5)


@pytest.mark.parametrize("weights", [None, [1.0, 0.0, 2.0]])
def test_ensemble_prediction_stays_on_the_device(cuda, weights, rng):
    """For inputs on the device, the average is there too; the chosen weights do not depend on the device."""
    X, y = samples(rng)
    there, pop = cuda.asarray(X), Population(SIZES, 3, hidden_activation="tanh", device="cuda", random_state=0)
    found = pop.ensemble_predict(there, weights=weights)
    assert isinstance(found, cuda.ndarray)
    expected = np.average([reference_of(pop.network, params).predict(X) for params in pop.params], 0, weights)
    np.testing.assert_allclose(found.get(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(pop.ensemble_predict(X, weights=weights), found.get())
    np.testing.assert_array_equal(
        pop.greedy_weights(there, cuda.asarray(y), rounds=5), pop.greedy_weights(X, y, rounds=5)
    )


@pytest.mark.parametrize("kind, place", [(1, None), (2, "cuda:1"), (3, None), (13, "cuda:1")])
def test_device_of_follows_the_dlpack_device_type(kind, place):
    """The device follows from DLPack's device type: managed memory belongs to a GPU, pinned memory to the host."""

    class Array:
        def __dlpack_device__(self):
            return kind, 1

    assert device_of(Array()) == place


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_torch_and_jax_arrays_on_a_gpu_are_not_copied(cuda, request, given_to_kernels, library, rng):
    if request.config.getoption("--device") != "cuda":
        pytest.skip("PyTorch's and JAX's own arrays need a card")
    module = pytest.importorskip(library)
    X, y = samples(rng)
    if library == "torch":
        there = module.as_tensor(X, device="cuda")
        address = there.data_ptr()
    else:
        there = module.numpy.asarray(X)
        address = there.unsafe_buffer_pointer()
        if there.devices().pop().platform == "cpu":
            pytest.skip("this JAX finds no card")
    net = make()
    net.fit(there, y, epochs=2, verbose=0)
    outputs = net.predict(there)
    assert set(given_to_kernels["X"]) == {address}
    assert type(outputs) is type(there)
    found = outputs.cpu().numpy() if library == "torch" else np.asarray(outputs)
    np.testing.assert_allclose(found, reference_of(net.network, net.params).predict(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("library", ["cupy", "other"])
@pytest.mark.parametrize("many", [False, True], ids=["MLP", "Population"])
def test_device_targets_are_not_copied_with_device_inputs(cuda, given_to_kernels, library, many, rng):
    X, y = samples(rng)
    X_there, y_there = cuda.asarray(X), cuda.asarray(y)
    give = (lambda array: array) if library == "cupy" else Tensor
    net = Population(SIZES, 3, device="cuda", random_state=0) if many else make()
    net.fit(give(X_there), give(y_there), epochs=2, verbose=0)
    assert set(given_to_kernels["Y"]) == {y_there.data.ptr}
    net.fit(X, give(y_there), epochs=2, verbose=0)  # the inputs come from the host, so the targets are checked there
    assert set(given_to_kernels["Y"]) != {y_there.data.ptr}


@pytest.mark.parametrize("change", [lambda x, xp: x.astype(xp.float64), lambda x, xp: xp.asfortranarray(x)])
def test_other_dtypes_and_orders_are_converted_on_the_device(cuda, emulated_cuda, change, rng):
    X = samples(rng)[0]
    net, there = make(), change(cuda.asarray(X), cuda)
    fastmlp.devices()
    with emulated_cuda.counting() as n:
        outputs = net.predict(there)
    np.testing.assert_allclose(outputs.get(), reference_of(net.network, net.params).predict(X), rtol=1e-5, atol=1e-6)
    assert n["device_to_host"] == 1, "one number: whether all of it is finite"


def test_invalid_device_inputs_raise(cuda, rng):
    X, y = samples(rng)
    for bad, message in ((X[:, :2], "has 2 features"), (X[0], "must have shape"), (X[:0], "at least one sample")):
        with pytest.raises(ValueError, match=message):
            make().predict(cuda.asarray(bad))
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"X must be finite in float32.*the first at \(3, 1\)"):
        make().fit(cuda.asarray(X), y, verbose=0)


class Tracked(Tensor):
    """Tensor that requires a gradient."""

    def __dlpack__(self, **_):
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")  # PyTorch's words


@pytest.mark.parametrize("many", [False, True], ids=["MLP", "Population"])
@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda there: there * 1j, r"must hold numbers, but its dtype is complex.*Pass real and imaginary parts"),
        (Tracked, r"must be an array of numbers, but it cannot be made one: Can't export.* use tensor\.detach"),
    ],
    ids=["complex", "tracked"],
)
def test_complex_and_tracked_inputs_raise_as_on_the_host(cuda, spoil, message, many, rng):
    X, y = map(cuda.asarray, samples(rng))
    net = Population(SIZES, 3, device="cuda", random_state=0) if many else make()
    for device_net in (net, MLP(SIZES, device="cpu", random_state=0)):
        with pytest.raises(ValueError, match=f"X {message}"):
            device_net.predict(spoil(X))
    with pytest.raises(ValueError, match=f"y {message}"):
        net.fit(X, spoil(y), verbose=0)


def test_validation_of_device_inputs_equals_that_of_host_inputs(cuda, rng):
    X, y = samples(rng, 40)
    net = make(dtype="float64")
    same = make(dtype="float64")
    history = net.fit(cuda.asarray(X), y, epochs=3, validation_fraction=0.25, verbose=0)
    expected = same.fit(X, y, epochs=3, validation_fraction=0.25, verbose=0)
    np.testing.assert_array_equal(history.validation_loss, expected.validation_loss)
    history = net.fit(X, y, epochs=3, validation_data=(cuda.asarray(X), cuda.asarray(y)), verbose=0)
    assert len(history.validation_loss) == 3


@pytest.mark.parametrize("many", [False, True], ids=["MLP", "Population"])
def test_cpu_nets_accept_device_inputs(cuda, many, rng):
    """With device="cpu", inputs on a GPU are copied to the host, and everything runs on the CPU."""
    X, y = samples(rng)
    make_one = lambda: (
        Population(SIZES, 3, device="cpu", random_state=0) if many else MLP(SIZES, device="cpu", random_state=0)
    )
    net, same = make_one(), make_one()
    weight = np.arange(1.0, 21.0)
    net.fit(cuda.asarray(X), cuda.asarray(y), sample_weight=cuda.asarray(weight), epochs=3, verbose=0)
    same.fit(X, y, sample_weight=weight, epochs=3, verbose=0)
    assert net.device.name == "cpu"
    np.testing.assert_array_equal(net.params, same.params)
    np.testing.assert_array_equal(np.asarray(net.predict(cuda.asarray(X))), same.predict(X))
    assert str(net.evaluate(cuda.asarray(X), y)) == str(same.evaluate(X, y))
    if not many:
        np.testing.assert_array_equal(net.loss_and_gradient(cuda.asarray(X), y)[1], same.loss_and_gradient(X, y)[1])


def test_device_inputs_per_net_match_the_reference(cuda, rng):
    X = rng.normal(size=(4, 9, 3)).astype(np.float32)
    pop = Population(SIZES, 4, device="cuda", hidden_activation="tanh", random_state=0)
    y = rng.normal(size=(4, 9, 2))
    start = pop.params.copy()
    pop.fit(cuda.asarray(X), y, epochs=3, optimizer=SGD(0.1), verbose=0)
    outputs = pop.predict(cuda.asarray(X))
    for k in range(4):
        reference = reference_of(pop.network, start[k])
        follow(reference, X[k], y[k], SGD(0.1), epochs=3)
        np.testing.assert_allclose(pop.params[k], reference.params, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(outputs[k].get(), reference.predict(X[k]), rtol=1e-5, atol=1e-6)


def test_too_little_memory_for_conversions_or_outputs_raises(emulated_cuda, cuda, rng):
    """If memory is too small for a converted copy of the inputs or for the outputs, the MemoryError says so."""
    net = MLP((3, 5, 40), device="cuda", random_state=0)
    other, there = cuda.asarray(rng.normal(size=(500, 3))), cuda.asarray(samples(rng, 500)[0])
    net.predict(there[:5])
    used = cuda.get_default_memory_pool().used_bytes()
    for given, room, wanted in ((other, 2000, "6,000"), (there, 50_000, "80,000")):
        emulated_cuda.settings.limit = used + room
        with pytest.raises(MemoryError, match=rf"no room for an array: {wanted} bytes are wanted.* take fewer samples"):
            net.predict(given)


def test_host_tensors_of_torch_train_on_the_cpu(cuda, rng):
    torch = pytest.importorskip("torch")
    X, y = samples(rng)
    tensor = torch.from_numpy(X)
    assert device_of(tensor) is None
    net = make("auto")
    net.fit(tensor, torch.from_numpy(y), epochs=2, verbose=0)
    assert net.device.name == "cpu"
    assert isinstance(net.predict(tensor), np.ndarray)
    net = make("cuda")
    np.testing.assert_array_equal(net.predict(tensor), net.predict(X))


# ---- predictions in kind


@pytest.fixture(params=["torch", "jax"])
def device_tensor(cuda, request, monkeypatch):
    """Return a fake tensor class of PyTorch or JAX, with only the attributes that are needed."""

    class FakeTensor(Tensor):
        pass

    home, maker = {"torch": ("torch", "torch"), "jax": ("jaxlib._jax", "jax.dlpack")}[request.param]
    FakeTensor.__module__ = home
    module = types.ModuleType(maker)
    module.from_dlpack = FakeTensor
    monkeypatch.setitem(sys.modules, request.param, types.ModuleType(request.param))
    monkeypatch.setitem(sys.modules, maker, module)
    return FakeTensor


@pytest.mark.parametrize("many", [False, True], ids=["MLP", "Population"])
@pytest.mark.parametrize("k", [1, 3])
def test_predictions_have_the_array_type_of_the_inputs(cuda, device_tensor, k, many, rng):
    X, settings = samples(rng)[0], {"device": "cuda", "random_state": 0, "loss": "binary_cross_entropy"}
    net = Population((3, 5, k), 4, **settings) if many else MLP((3, 5, k), **settings)
    expected = net.predict(X)
    assert isinstance(expected, np.ndarray)
    given = device_tensor(cuda.asarray(X))
    outputs, classes = net.predict(given), net.predict_classes(given)
    assert type(outputs) is type(given)
    np.testing.assert_array_equal(outputs.array.get(), expected)
    wanted = expected.argmax(axis=-1) if k > 1 else (expected[..., 0] > 0.5).astype(int)
    assert type(classes) is type(given)
    np.testing.assert_array_equal(classes.array.get(), wanted)


# ---- several devices


@pytest.fixture
def two_devices(emulated_cuda):
    emulated_cuda.settings.n_devices = 2
    return emulated_cuda


@pytest.mark.parametrize("name", ["block", "layers"])
@pytest.mark.parametrize("where", ["host", 1])
def test_net_trains_on_the_second_device(two_devices, cuda, where, name, monkeypatch, rng):
    """A net trains on the second device, and the current device stays the same.

    The emulator refuses arrays of the wrong device.
    """
    place = Place(name, monkeypatch)
    X, y = samples(rng)
    net = make("cuda:1" if where == "host" else "auto")
    reference = reference_of(net.network, net.params)
    with cuda.cuda.Device(1):
        there = cuda.asarray(X) if where == 1 else X
    net.fit(there, y, epochs=3, optimizer=SGD(0.1), verbose=0)
    follow(reference, X, y, SGD(0.1), epochs=3)
    assert net.device.name == "cuda:1"
    assert cuda.cuda.Device().id == 0
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-5, atol=1e-6)
    outputs = net.predict(there)
    assert net.evaluate(there, y)["loss"] == pytest.approx(reference.loss_and_gradient(X, y)[0], rel=1e-5)
    if where == 1:
        assert outputs.device.id == 1
        outputs = outputs.get()
    np.testing.assert_allclose(outputs, reference.predict(X), rtol=1e-5, atol=1e-6)
    place.check()


def test_population_trains_on_the_second_device(two_devices, cuda, rng):
    X, y = samples(rng)
    pop = Population(SIZES, 5, device="cuda:1", random_state=0, hidden_activation="tanh")
    reference = reference_of(pop.network, pop.params[4])
    result = pop.fit(X, y, epochs=3, optimizer=SGD(0.1), verbose=0)
    follow(reference, X, y, SGD(0.1), epochs=3)
    np.testing.assert_allclose(pop.params[4], reference.params, rtol=1e-5, atol=1e-6)
    assert cuda.cuda.Device().id == 0
    with cuda.cuda.Device(1):
        there = cuda.asarray(X)
    np.testing.assert_array_equal(pop.predict(there).get(), pop.predict(X))
    assert result.epochs.tolist() == [3] * 5


def test_inputs_are_copied_to_the_device_of_the_net(two_devices, cuda, rng):
    """Inputs on another device are copied to the device of the net."""
    X, _ = samples(rng)
    with cuda.cuda.Device(1):
        there = cuda.asarray(X)
    net = make("cuda:0")
    outputs = net.predict(there)
    np.testing.assert_allclose(outputs.get(), reference_of(net.network, net.params).predict(X), rtol=1e-5, atol=1e-6)
