"""Populations on the GPUs of an executor's workers: the bits of one process, and a GPU of its own for each worker."""

import sys

import numpy as np
import pytest
from cuda_cases import Place
from executor_cases import InPlace, Interrupted

from fastmlp import Checkpoint, Converged, Population
from fastmlp.fit import slices_on_workers
from fastmlp.runtime.auto_device import WORK_FOR_GPU, WorkForGpu

rng = np.random.default_rng(0)
X, HELD_OUT = rng.normal(size=(22, 3)), rng.normal(size=(9, 3))
y, y_held_out = (X[:, 0] > 0).astype(int), (HELD_OUT[:, 0] > 0).astype(int)
STOPPING = {"validation_data": (HELD_OUT, y_held_out), "early_stopping": 3}
# place in cuda_cases.PLACES -> number of nets, arguments of fit; "layers", whose kernels other tests compile, is quick
FITS = {
    "layers": (3, {"optimizer": "adagrad", "batch_size": 8}),
    "thread": (140, {"optimizer": "adam", "converged": Converged(0.62, restart_after=3)}),
    "batched": (5, {"optimizer": "rmsprop", "batch_size": 8, **STOPPING}),
    "block": (33, {"optimizer": "rprop", "batch_size": 8, **STOPPING}),
}


@pytest.fixture
def small_tasks(monkeypatch):
    """Tasks of one net, or of 16 nets in lanes; of a few rows."""
    for name in ("FIRST_SECONDS", "TASK_SECONDS"):
        monkeypatch.setattr(slices_on_workers, name, 1e-9)
    monkeypatch.setattr(slices_on_workers, "SHORTEST", 0.0)


def fit(n_nets, executor=None, **arguments):
    """Return a population after its fit, and the result."""
    pop = Population((3, 4, 1), n_nets, loss="binary_cross_entropy", device="cuda", random_state=3)
    return pop, pop.fit(X, y, epochs=8, verbose=0, executor=executor, **arguments)


def assert_same_fit(found, expected):
    np.testing.assert_array_equal(found[0].params, expected[0].params)
    for name, values in expected[1].arrays().items():
        np.testing.assert_array_equal(found[1].arrays()[name], values, err_msg=name)


@pytest.mark.parametrize("place", FITS)
@pytest.mark.slow
def test_tasks_give_the_bits_of_one_process(cuda, monkeypatch, place, small_tasks):
    """Kernels are chosen for the whole population: a task of 16 nets alone would train each in a block, say."""
    where, (n_nets, arguments), executor = Place(place, monkeypatch), FITS[place], InPlace()
    expected = fit(n_nets, **arguments)
    found = fit(n_nets, executor, **arguments)
    assert executor.n_submitted > 2
    where.check()
    assert_same_fit(found, expected)
    assert str(found[0].device) == "cuda (as requested)"


def test_a_checkpoint_has_the_nets_of_finished_tasks(emulated_cuda, monkeypatch, small_tasks, tmp_path):
    Place("layers", monkeypatch)
    path, rest, arguments = tmp_path / "run.ckpt", InPlace(), {"batch_size": 8, **STOPPING}
    assert fit(3, Interrupted(1), checkpoint=path, **arguments)[1].interrupted
    assert_same_fit(fit(3, rest, checkpoint=Checkpoint(path, resume=True), **arguments), fit(3, **arguments))
    assert rest.n_submitted


def test_a_worker_without_a_gpu_says_so(emulated_cuda, monkeypatch):
    def without_gpu(*_):
        raise RuntimeError("device='cuda' is not available: there is no GPU.")

    pop = Population((3, 4, 1), 3, loss="binary_cross_entropy", device="cuda", random_state=3)
    monkeypatch.setattr(slices_on_workers, "resolve", without_gpu)
    with pytest.raises(RuntimeError, match="is not available: there is no GPU") as caught:
        pop.fit(X, y, epochs=2, verbose=0, executor=InPlace())
    assert "on a worker of the executor" in str(getattr(caught.value, "__notes__", caught.value))


class GpuOfWorkers(InPlace):
    """Executor whose workers have a GPU, while the program that fits has none, unless is_visible is set."""

    is_visible = False
    _max_workers = 1  # as pools have it

    def submit(self, function, /, *arguments):
        self.is_visible = True
        try:
            return super().submit(function, *arguments)
        finally:
            self.is_visible = False


@pytest.fixture
def gpu_of_workers(emulated_cuda, monkeypatch):
    executor, module = GpuOfWorkers(), sys.modules["fastmlp.devices"]  # fastmlp.devices is the function
    find, load = module.find_cuda, module._import_backend

    def visible_gpus():
        return find() if executor.is_visible else ((), "hidden by a test")

    def visible_backend(kind):
        assert kind == "cpu" or executor.is_visible, "the program that fits has no GPU"
        return load(kind)

    monkeypatch.setattr(module, "find_cuda", visible_gpus)
    monkeypatch.setattr(module, "_import_backend", visible_backend)
    monkeypatch.setitem(module.KINDS, "cuda", module.KINDS["cuda"]._replace(find=visible_gpus))
    monkeypatch.setattr(module, "WORK_FOR_GPU", WorkForGpu(1, 1, 1))
    return executor


def fit_auto(n_nets, executor, **arguments):
    """Return a population with device="auto" after its fit, and the result."""
    pop = Population((3, 4, 1), n_nets, loss="binary_cross_entropy", random_state=3)
    return pop, pop.fit(X, y, epochs=8, verbose=0, executor=executor, **arguments)


@pytest.mark.parametrize("place", ("layers", pytest.param("thread", marks=pytest.mark.slow)))
def test_auto_takes_the_gpus_of_workers_where_the_program_has_none(gpu_of_workers, monkeypatch, place, small_tasks):
    where, (n_nets, arguments) = Place(place, monkeypatch), FITS[place]
    pop, result = fit_auto(n_nets, gpu_of_workers, **arguments)
    where.check()
    assert str(pop.device) == "cpu (each worker of the executor finds its device; the program has the nets on its CPU)"
    trained = pop.params.copy()
    assert pop.predict(X).shape == (n_nets, 22, 1)
    assert str(pop.device) == "cpu (no cuda: hidden by a test)"
    gpu_of_workers.is_visible = True
    expected = fit(n_nets, **arguments)
    np.testing.assert_array_equal(trained, expected[0].params)
    assert_same_fit((pop, result), expected)


def test_auto_leaves_little_work_to_the_cpus_of_workers(gpu_of_workers, monkeypatch):
    monkeypatch.setattr(sys.modules["fastmlp.devices"], "WORK_FOR_GPU", WORK_FOR_GPU)
    fitted = fit_auto(3, gpu_of_workers)
    expected = Population((3, 4, 1), 3, loss="binary_cross_entropy", random_state=3, device="cpu")
    assert_same_fit(fitted, (expected, expected.fit(X, y, epochs=8, verbose=0)))


def test_arrays_on_a_gpu_are_sent_from_the_host(cuda):
    options = {"loss": "binary_cross_entropy", "device": "cuda", "random_state": 3}
    pop, expected = (Population((3, 4, 1), 3, **options) for _ in range(2))
    weight = np.linspace(0.5, 2.0, len(X))
    given = [cuda.asarray(array) for array in (X, y, weight)]
    held_out = {"validation_data": tuple(given[:2]), "early_stopping": 5}
    pop.fit(*given[:2], sample_weight=given[2], epochs=3, executor=InPlace(), verbose=0, **held_out)
    held_out["validation_data"] = X, y
    expected.fit(X, y, sample_weight=weight, epochs=3, executor=InPlace(), verbose=0, **held_out)
    np.testing.assert_array_equal(pop.params, expected.params)
