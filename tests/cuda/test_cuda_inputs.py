"""Inputs in GPU memory: they are not copied, and predictions are arrays of the same kind."""

import sys
import types

import numpy as np
import pytest
from cuda_cases import Place, assert_follows, reference_of

import fastmlp
from fastmlp import MLP, SGD, Population
from fastmlp.devices import device_of

SIZES = (3, 5, 2)
each_kind = pytest.mark.parametrize("n_nets", [1, 3], ids=["MLP", "Population"])


def samples(rng, n=20):
    return rng.normal(size=(n, 3)).astype(np.float32), rng.normal(size=(n, 2)).astype(np.float32)


def make(n_nets=1, device="cuda", sizes=SIZES, **settings):
    arguments = {"hidden_activation": "tanh", "device": device, "random_state": 0} | settings
    return MLP(sizes, **arguments) if n_nets == 1 else Population(sizes, n_nets, **arguments)


class Tensor:
    """Array of another library, which CuPy can read only by DLPack."""

    def __init__(self, array):
        self.array, self.shape = array, array.shape
        self.ndim = array.ndim

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, **keywords):
        return self.array.__dlpack__(**keywords)

    def __len__(self):
        return len(self.array)


@pytest.fixture
def given_to_kernels(cuda, monkeypatch):
    """Return lists of the addresses of inputs and targets that kernels get."""
    from fastmlp.kernels.cuda.layers.batches import Batches
    from fastmlp.kernels.cuda.population import train
    from fastmlp.kernels.cuda.single_net import small_net

    found = {"X": [], "Y": []}
    for module in (small_net, train):

        def launched(*arguments, launch=module.launch, **job):
            for name, addresses in found.items():
                if job[name] is not None:  # as the targets of a prediction
                    addresses.append(job[name].data.ptr)
            launch(*arguments, **job)

        monkeypatch.setattr(module, "launch", launched)

    def in_order(batches, module, data, *rows, take=Batches.in_order):  # of evaluations and predictions
        found["X"].append(data.X.data.ptr)
        found["Y"] += [data.Y.data.ptr] * data.has_targets
        return take(batches, module, data, *rows)

    monkeypatch.setattr(Batches, "in_order", in_order)
    return found


@pytest.mark.parametrize("give", [lambda array: array, Tensor], ids=["cupy", "other"])
@each_kind
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_device_inputs_and_targets_are_not_copied(cuda, given_to_kernels, give, n_nets, device, rng):
    """Kernels read the user's memory; "auto" takes the device of the inputs, however small the work."""
    X, y = samples(rng)
    there, targets, nets = cuda.asarray(X), cuda.asarray(y), make(n_nets, device)
    nets.fit(give(there), give(targets), epochs=4, verbose=0)
    assert nets.device.name in ("cuda", "cuda:0")
    assert ("holds the inputs" in nets.device.reason) == (device == "auto")
    assert {name: set(found) for name, found in given_to_kernels.items()} == {
        "X": {there.data.ptr},
        "Y": {targets.data.ptr},
    }
    outputs, figures = nets.predict(give(there)), nets.evaluate(give(there), give(targets))
    assert {name: set(found) for name, found in given_to_kernels.items()} == {
        "X": {there.data.ptr},
        "Y": {targets.data.ptr},
    }
    assert isinstance(outputs, cuda.ndarray)
    for k, params in enumerate(np.atleast_2d(nets.params)):
        reference = reference_of(nets.network, params)
        np.testing.assert_allclose(outputs.get().reshape(-1, 20, 2)[k], reference.predict(X), rtol=1e-5, atol=1e-6)
        assert np.atleast_1d(figures["loss"])[k] == pytest.approx(reference.loss_and_gradient(X, y)[0], rel=1e-5)


def test_ensemble_prediction_stays_on_the_device(cuda, rng):
    """For inputs on the device, the average is there too."""
    X, _ = samples(rng)
    there, nets = cuda.asarray(X), make(3)
    found = nets.ensemble_predict(there)
    assert isinstance(found, cuda.ndarray)
    expected = np.mean([reference_of(nets.network, params).predict(X) for params in nets.params], axis=0)
    np.testing.assert_allclose(found.get(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(nets.ensemble_predict(X), found.get())


@pytest.mark.parametrize("kind, place", [(1, None), (2, "cuda:1"), (3, None), (13, "cuda:1")])
def test_device_of_follows_the_dlpack_device_type(kind, place):
    """The device follows from DLPack's device type: managed memory belongs to a GPU, pinned memory to the host."""
    array = type("Array", (), {"__dlpack_device__": lambda self: (kind, 1)})()
    assert device_of(array) == place


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


@pytest.mark.parametrize("change", [lambda x, xp: x.astype(xp.float64), lambda x, xp: xp.asfortranarray(x)])
def test_other_dtypes_and_orders_are_converted_on_the_device(cuda, emulated_cuda, change, rng):
    X = samples(rng)[0]
    net, there = make(), change(cuda.asarray(X), cuda)
    fastmlp.devices()
    with emulated_cuda.counting() as n:
        outputs = net.predict(there)
    np.testing.assert_allclose(outputs.get(), reference_of(net.network, net.params).predict(X), rtol=1e-5, atol=1e-6)
    assert n["device_to_host"] == 1, "one number: whether all of it is finite"


class Tracked(Tensor):
    """Tensor that requires a gradient."""

    def __dlpack__(self, **_):
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")  # PyTorch's words


INVALID = {
    "features": (lambda X: X[:, :2], "has 2 features"),
    "shape": (lambda X: X[0], "must have shape"),
    "none": (lambda X: X[:0], "at least one sample"),
    "NaN": (lambda X: X / (X * 0), r"must be finite in float32.*the first at \(0, 0\)"),
    "complex": (lambda X: X * 1j, r"must hold numbers, but its dtype is complex.*Pass real and imaginary parts"),
    "tracked": (Tracked, r"must be an array of numbers, but it cannot be made one: Can't export.* use tensor\.detach"),
}


@each_kind
@pytest.mark.parametrize("name", INVALID)
def test_invalid_device_inputs_raise_as_on_the_host(cuda, name, n_nets, rng):
    X, y = map(cuda.asarray, samples(rng))
    spoil, message = INVALID[name]
    for device in ("cuda", "cpu"):
        with pytest.raises(ValueError, match=message):
            make(n_nets, device).fit(spoil(X), y, verbose=0)
    if name in ("complex", "tracked"):
        with pytest.raises(ValueError, match=f"y {message}"):
            make(n_nets).fit(X, spoil(y), verbose=0)


@each_kind
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_device_samples_train_as_those_of_the_host(cuda, device, n_nets, rng):
    """With device="cpu", they are copied to the host."""
    X, y = samples(rng, 40)
    weight, found = np.arange(1.0, 41.0), []
    for give in (np.asarray, cuda.asarray):
        nets = make(n_nets, device)
        held_out = give(X[:9]), give(y[:9])
        fit = {"epochs": 3, "validation_data": held_out, "early_stopping": 5, "verbose": 0}
        result = nets.fit(give(X), give(y), sample_weight=give(weight), **fit)
        outputs = nets.predict(give(X))
        outputs = outputs.get() if isinstance(outputs, cuda.ndarray) else outputs
        found.append([nets.params, result.loss, outputs, nets.evaluate(give(X), give(y))["loss"]])
        assert nets.device.name == device
    for on_host, on_device in zip(*found, strict=True):
        np.testing.assert_array_equal(on_device, on_host)


def test_device_inputs_per_net_match_the_reference(cuda, rng):
    X, y, nets = rng.normal(size=(4, 9, 3)).astype(np.float32), rng.normal(size=(4, 9, 2)), make(4)
    nets.fit(cuda.asarray(X), y, epochs=3, optimizer=SGD(0.1), verbose=0)
    same = make(4)
    assert_follows(same, X, y, epochs=3, optimizer=SGD(0.1))
    np.testing.assert_array_equal(nets.params, same.params)
    np.testing.assert_array_equal(nets.predict(cuda.asarray(X)).get(), same.predict(X))


def test_too_little_memory_for_conversions_or_outputs_raises(emulated_cuda, cuda, rng):
    """If memory is too small for a converted copy of the inputs or for the outputs, the MemoryError says so."""
    net = make(sizes=(3, 5, 40))
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
    tensor, net = torch.from_numpy(X), make(device="auto")
    assert device_of(tensor) is None
    net.fit(tensor, torch.from_numpy(y), epochs=2, verbose=0)
    assert net.device.name == "cpu"
    assert isinstance(net.predict(tensor), np.ndarray)


# ---- predictions in kind


@each_kind
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("library, home, maker", [("torch", "torch", "torch"), ("jax", "jaxlib._jax", "jax.dlpack")])
def test_predictions_have_the_array_type_of_the_inputs(cuda, monkeypatch, library, home, maker, k, n_nets, rng):
    """Of PyTorch and JAX, with only the attributes that are needed."""
    Fake = type("FakeTensor", (Tensor,), {"__module__": home})
    module = types.ModuleType(maker)
    module.from_dlpack = Fake
    monkeypatch.setitem(sys.modules, library, types.ModuleType(library))
    monkeypatch.setitem(sys.modules, maker, module)
    X, nets = samples(rng)[0], make(n_nets, sizes=(3, 5, k), loss="binary_cross_entropy")
    given, expected = Fake(cuda.asarray(X)), nets.predict(X)
    outputs, classes = nets.predict(given), nets.predict_classes(given)
    assert type(outputs) is type(classes) is Fake
    np.testing.assert_array_equal(outputs.array.get(), expected)
    np.testing.assert_array_equal(classes.array.get(), nets.predict_classes(X))


# ---- several devices


@pytest.mark.parametrize("name, n_nets", [("block", 1), ("layers", 1), ("block", 5)])
@pytest.mark.parametrize("where", ["host", 1])
def test_nets_train_on_the_second_device(emulated_cuda, cuda, where, name, n_nets, monkeypatch, rng):
    """And the current device stays the same. The emulator refuses arrays of the wrong device."""
    emulated_cuda.settings.n_devices = 2
    place, (X, y) = Place(name, monkeypatch), samples(rng)
    nets = make(n_nets, "cuda:1" if where == "host" else "auto")
    with cuda.cuda.Device(1):
        there = cuda.asarray(X) if where == 1 else X
    nets.fit(there, y, epochs=3, optimizer=SGD(0.1), verbose=0)
    assert nets.device.name == "cuda:1"
    assert cuda.cuda.Device().id == 0
    same = make(n_nets)
    same.fit(X, y, epochs=3, optimizer=SGD(0.1), verbose=0)
    np.testing.assert_array_equal(nets.params, same.params)
    outputs = nets.predict(there)
    if where == 1:
        assert outputs.device.id == 1
        outputs = outputs.get()
    np.testing.assert_array_equal(outputs, same.predict(X))
    with cuda.cuda.Device(1):
        elsewhere = cuda.asarray(X)
    np.testing.assert_array_equal(same.predict(elsewhere).get(), outputs)  # copied to the device of the net
    place.check()
