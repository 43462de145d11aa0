"""`fastmlp bench`, the quick benchmark: its NumPy competitor is correct, and each case is verified."""

import numpy as np
import pytest
import reference_net

import fastmlp
from fastmlp.commands import numpy_benchmark


@pytest.mark.parametrize("sizes, hidden", (((3, 4, 5, 2), "relu"), ((3, 4, 1), "sigmoid")))
@pytest.mark.parametrize("n_nets", (None, 3))
def test_numpy_competitor_matches_the_reference(sizes, hidden, n_nets, rng):
    import reference_optimizers

    X = rng.normal(size=(6, 3)).astype(np.float32)
    y = np.eye(sizes[-1], dtype=np.float32)[rng.integers(0, sizes[-1], 6)]
    if sizes[-1] == 1:
        y = rng.integers(0, 2, (6, 1)).astype(np.float32)
    own = fastmlp.Population(sizes, n_nets) if n_nets else fastmlp.MLP(sizes)
    start = rng.normal(size=(n_nets or 1, own.params.shape[-1])).astype(np.float32)
    own.params[:] = start if n_nets else start[0]
    net = numpy_benchmark.NumpyNet(own, hidden, 0.5)
    for _ in range(5):
        net.step(X, y)
    output, loss = ("softmax", "softmax_cross_entropy") if sizes[-1] > 1 else ("sigmoid", "binary_cross_entropy")
    found = np.concatenate([a.reshape(len(start), -1) for layer in net.layers for a in layer], axis=1)
    for k, params in enumerate(start.astype(np.float64)):
        expected = reference_net.ReferenceMLP(sizes, (hidden,) * (len(sizes) - 2) + (output,), loss, params.copy())
        reference_optimizers.train(expected, X.astype(float), y.astype(float), "SGD", {"learning_rate": 0.5}, epochs=5)
        np.testing.assert_allclose(found[k], expected.params, rtol=2e-3, atol=2e-4)


def test_a_competitor_with_another_loss_is_not_timed():
    right = numpy_benchmark.Program(lambda n: None, lambda: 1.0)
    wrong = numpy_benchmark.Program(lambda n: None, lambda: 1.01)
    case = numpy_benchmark.Case("xor", "x", "epoch", 1, lambda: (wrong, right))
    with pytest.raises(RuntimeError, match=r"fastmlp has the loss 1\.01 after one run, NumPy 1"):
        numpy_benchmark.measure(case)


def test_each_program_is_measured_in_each_round(monkeypatch):
    monkeypatch.setattr(numpy_benchmark, "LONG_ENOUGH", 1e-3)
    case = next(case for case in numpy_benchmark.cases() if case.group == "xor")
    seconds = numpy_benchmark.measure(case)
    assert seconds.shape == (numpy_benchmark.ROUNDS, 2)
    assert (seconds > 0.0).all()


@pytest.mark.full
def test_unrolled_kernel_is_compiled_before_timing(monkeypatch):
    """The unrolled kernel of a tiny net is compiled only after enough steps, which must be before timing."""
    monkeypatch.setattr(numpy_benchmark, "LONG_ENOUGH", 1e-3)
    made: list = []
    monkeypatch.setattr("fastmlp.kernels.cpu.unrolled.compiled.address", lambda *arguments: made.append(arguments) or 0)
    own, _ = next(case for case in numpy_benchmark.cases() if case.group == "xor").make_programs()
    seconds = []
    monkeypatch.setattr(numpy_benchmark.Program, "seconds", lambda self, n: seconds.append(len(made)) or 1.0)
    numpy_benchmark.measure(numpy_benchmark.Case("xor", "x", "epoch", 1, lambda: (own, own)))
    assert seconds[0] > 0
