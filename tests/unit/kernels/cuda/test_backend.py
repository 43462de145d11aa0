"""Functions of the device contract on CUDA. Whole fits are tested in test_fits.py."""

import numpy as np
import pytest
from cuda_cases import reference_of

from fastmlp import MLP
from fastmlp.devices import resolve
from fastmlp.execution.plan import Plan
from fastmlp.kernels.structs import METRIC_NONE, METRIC_THRESHOLD, NO_UPDATE, STEPS_DONE, Choice, Samples, TrainConfig

FAMILIES = ("small_net", "layerwise")
SIZES = (3, 5, 2)


@pytest.fixture
def backend(cuda):
    from fastmlp.kernels.cuda import backend

    return backend


def make(rng, n=13, metric=METRIC_NONE, weighted=False):
    net = MLP(SIZES, hidden_activation="tanh", dtype="float64", device="cuda", random_state=0)
    X, Y = rng.normal(size=(n, 3)), rng.normal(size=(n, 2))
    weight = np.linspace(0.5, 1.5, n) if weighted else np.empty(0)
    return net, X, Y, Samples(n, X.ravel(), Y.ravel(), weighted, weight, True, metric)


def test_cuda_backend_has_its_families(backend):
    assert set(FAMILIES) == set(backend.FAMILIES)


def test_on_selects_the_current_device(backend, emulated_cuda, cuda):
    emulated_cuda.settings.n_devices = 3
    with backend.on(2):
        assert cuda.cuda.Device().id == 2
        with backend.on(1):
            assert cuda.zeros(3).device.id == 1
        assert cuda.cuda.Device().id == 2
    assert cuda.cuda.Device().id == 0


def test_synchronize_waits_for_the_current_stream_only(backend, emulated_cuda, cuda):
    """Other streams are not synchronised."""
    emulated_cuda.settings.late = "all"
    one, other = cuda.cuda.Stream(non_blocking=True), cuda.cuda.Stream(non_blocking=True)
    array = np.ones(3)
    for stream in (one, other):
        with stream:
            cuda.empty(3).set(array, stream=stream)
    with one:
        backend.synchronize()
    assert one.done
    assert not other.done


def test_thread_team_runs_once(backend):
    found = []
    with backend.ThreadTeam(8) as team:
        assert team.n_threads == 1
        team.run(found.append, 3)
    assert found == [3]


def test_place_moves_samples_to_the_device(backend, cuda, rng):
    data = backend.place(make(rng, weighted=True)[-1])
    for array in (data.X, data.Y, data.weight):
        assert isinstance(array, cuda.ndarray)
    assert backend.place(data).X is data.X


@pytest.mark.thinned(4)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_step_without_update_gives_the_reference_gradient(backend, family, weighted, rng):
    """A step without an update leaves parameters unchanged, and gives gradient and loss."""
    net, X, Y, data = make(rng, weighted=weighted)
    plan = Plan.for_training(net.network, resolve("cuda"), net.dtype, 13, 13, False)
    work = backend.make_workspace(Choice(family, 1, 13), plan.net, 13, False, net.dtype, "exact")
    train_state = plan.make_state(net._padded, np.zeros(0), 1)
    config = TrainConfig(13, False, 0, NO_UPDATE, np.zeros(11), np.zeros(0), False, np.zeros(0))
    team, samples = backend.ThreadTeam(1), backend.place(data)
    backend.train(Choice(family, 1, work.rows), team, plan.net, samples, config, train_state, work, 0, 1)
    reference = reference_of(net.network, net.params)
    loss, gradient = reference.loss_and_gradient(X, Y, data.weight if weighted else None)
    n = len(gradient)
    np.testing.assert_allclose(backend.to_host(train_state.grads)[:n], gradient, rtol=1e-11, atol=1e-14)
    assert train_state.epoch_loss[0] == pytest.approx(loss, rel=1e-12)
    np.testing.assert_array_equal(backend.to_host(train_state.params)[:n], net.params)
    assert train_state.scalars[0, STEPS_DONE] == 1


@pytest.mark.thinned(4)
@pytest.mark.parametrize("output_there", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_evaluate_returns_sums_and_outputs(backend, cuda, family, output_there, rng):
    """Sums of losses and of correct samples, with outputs on host or device, in blocks of fewer rows than samples."""
    net, X, Y, data = make(rng, n=29, metric=METRIC_THRESHOLD)
    plan = Plan.for_training(net.network, resolve("cuda"), net.dtype, 29, 29, False)
    work = backend.make_workspace(Choice(family, 1, 8), plan.net, 29, False, net.dtype, "exact")
    output = cuda.empty(58) if output_there else np.empty(58)
    arguments = Choice(family, 1, 8), backend.ThreadTeam(1), plan.net, backend.place(data), net._padded, work
    sums = backend.evaluate(*arguments, output)
    reference = reference_of(net.network, net.params)
    outputs = reference.predict(X)
    assert sums[0] == pytest.approx(29 * reference.loss_and_gradient(X, Y)[0], rel=1e-12)
    middle = plan.net.class_threshold
    assert sums[1] == pytest.approx(((outputs > middle) == (middle < Y)).mean(axis=1).sum())
    np.testing.assert_allclose(backend.to_host(output).reshape(29, 2), outputs, rtol=1e-11, atol=1e-13)
    assert backend.evaluate(*arguments, np.empty(0)) == sums


@pytest.mark.thinned(2)
@pytest.mark.parametrize("family", FAMILIES)
def test_fewer_samples_after_an_evaluation_have_sums_of_their_own(backend, family, rng):
    """Sums over chunks that only the larger batch had are not added."""
    net, X, Y, data = make(rng, n=100)
    few = data._replace(n_samples=20, X=data.X[:60], Y=data.Y[:40])
    plan = Plan.for_training(net.network, resolve("cuda"), net.dtype, 100, 100, False)
    choice, team = Choice(family, 1, 100), backend.ThreadTeam(1)
    work = backend.make_workspace(choice, plan.net, 100, False, net.dtype, "exact")
    evaluate = lambda data: backend.evaluate(
        choice, team, plan.net, backend.place(data), net._padded, work, np.empty(0)
    )
    loss = reference_of(net.network, net.params).loss_and_gradient(X[:20], Y[:20])[0]
    evaluate(data)
    assert evaluate(few)[0] == pytest.approx(20 * loss, rel=1e-12)
    assert family != "layerwise" or work.passes._params is None, "a copy of the parameters is kept"
    evaluate(data)
    train_state = plan.make_state(net._padded, np.zeros(0), 1)
    config = TrainConfig(20, False, 0, NO_UPDATE, np.zeros(11), np.zeros(0), False, np.zeros(0))
    backend.train(Choice(family, 1, work.rows), team, plan.net, backend.place(few), config, train_state, work, 0, 1)
    assert train_state.epoch_loss[0] == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_evaluate_without_targets_returns_outputs(backend, family, rng):
    net, X, _, data = make(rng)
    choice, described = Choice(family, 1, 13), Plan.for_evaluation(net.network, resolve("cuda"), net.dtype, 13).net
    work = backend.make_workspace(choice, described, 13, False, net.dtype, "exact")
    bare = data._replace(Y=np.empty(0), has_targets=False)
    output = np.empty(26)
    assert backend.evaluate(choice, backend.ThreadTeam(1), None, bare, net._padded, work, output) == (0.0, 0.0)
    np.testing.assert_allclose(
        output.reshape(13, 2), reference_of(net.network, net.params).predict(X), rtol=1e-11, atol=1e-13
    )
