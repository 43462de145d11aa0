"""`fastmlp bench`, the quick benchmark: its NumPy competitor is correct, and its results have the suite's form."""

from itertools import pairwise

import numpy as np
import pytest
import reference_net
from bench_example import example

from fastmlp.benchmarks import html_page as bench_page
from fastmlp.benchmarks import quick_suite as bench_quick
from fastmlp.benchmarks.timing import Rules
from fastmlp.commands.cli import BenchGroup
from fastmlp.optimizers import SGD, Adam


@pytest.mark.parametrize("optimizer", (SGD(0.5), Adam(0.01)))
@pytest.mark.parametrize("sizes, hidden", (((3, 4, 5, 2), "relu"), ((3, 4, 1), "sigmoid")))
@pytest.mark.parametrize("n_nets", (None, 3))
def test_numpy_competitor_matches_the_reference(sizes, hidden, optimizer, n_nets, rng):
    import reference_optimizers

    X = rng.normal(size=(6, 3)).astype(np.float32)
    y = np.eye(sizes[-1], dtype=np.float32)[rng.integers(0, sizes[-1], 6)]
    if sizes[-1] == 1:
        y = rng.integers(0, 2, (6, 1)).astype(np.float32)
    n_params = sum((i + 1) * o for i, o in pairwise(sizes))
    start = rng.normal(size=(n_nets or 1, n_params)).astype(np.float32)
    layers = bench_quick.numpy_layers(sizes, start if n_nets else start[0])
    net = bench_quick.NumpyNet(layers, hidden, optimizer.learning_rate, isinstance(optimizer, Adam))
    for _ in range(5):
        net.step(X, y)
    output, loss = ("softmax", "softmax_cross_entropy") if sizes[-1] > 1 else ("sigmoid", "binary_cross_entropy")
    found = np.concatenate([a.reshape(len(start), -1) for layer in net.layers for a in layer], axis=1)
    for k, params in enumerate(start.astype(np.float64)):
        expected = reference_net.ReferenceMLP(sizes, (hidden,) * (len(sizes) - 2) + (output,), loss, params.copy())
        settings = {"learning_rate": optimizer.learning_rate}
        reference_optimizers.train(
            expected, X.astype(float), y.astype(float), type(optimizer).__name__, settings, epochs=5
        )
        np.testing.assert_allclose(found[k], expected.params, rtol=2e-3, atol=2e-4)


@pytest.mark.full
def test_quick_results_have_the_form_of_the_suite(monkeypatch):
    monkeypatch.setattr(bench_quick, "QUICK", Rules(rounds=1, seconds=0.1, quick=True))
    monkeypatch.setattr(bench_quick, "others_busy", lambda: 0.0)
    told: list = []
    results = bench_quick.run(told.append, ["xor"])
    assert told == ["XOR 2-2-2-1, cross-entropy, SGD"]
    assert results.keys() == example().keys()
    (found,) = results["results"]
    assert found.keys() == example()["results"][0].keys()
    rows = {row["name"]: row for row in found["rows"]}
    assert {name: row["status"] for name, row in rows.items()} == {"numpy": "timed", "fastmlp": "timed"}
    assert rows["fastmlp"].keys() == example()["results"][0]["rows"][0].keys()
    assert 0 <= rows["fastmlp"]["verified"]["loss"] < 1e-3
    assert "XOR" in bench_page.page(results)


@pytest.mark.full
def test_competitor_with_a_wrong_loss_is_not_timed(monkeypatch):
    monkeypatch.setattr(bench_quick, "others_busy", lambda: 0.0)
    right = bench_quick.Program("numpy", "peer", lambda n: None, lambda: 1.0)
    wrong = bench_quick.Program("fastmlp", "ours", lambda n: None, lambda: 1.01)
    case = bench_quick.Case("xor", "x", "epoch", 1, 1, lambda: [wrong, right])
    rows = {row["name"]: row for row in bench_quick.measure(case, "quick_0")["rows"]}
    assert rows["fastmlp"]["status"] == "wrong"
    assert rows["fastmlp"]["seconds"] == []
    assert rows["numpy"]["seconds"]


@pytest.mark.full
def test_unrolled_kernel_is_compiled_before_timing(monkeypatch):
    """The unrolled kernel of a tiny net is compiled only after enough steps, which must be before timing."""
    monkeypatch.setattr(bench_quick, "others_busy", lambda: 0.0)
    made: list = []
    monkeypatch.setattr(
        "fastmlp.kernels.cpu.unrolled.compiled_single_net.address", lambda *arguments: made.append(arguments) or 0
    )
    monkeypatch.setattr("fastmlp.kernels.cpu.unrolled.compiled_single_net._is_on_disk", lambda *_: False)
    monkeypatch.setattr("fastmlp.execution.unrolled_code._steps_done", {})
    monkeypatch.setattr(
        bench_quick, "calibrate", lambda *_: pytest.fail("not made before it") if not made else (1, 1, 1)
    )
    own, _ = next(case for case in bench_quick.cases() if case.group == "xor").make_programs()
    bench_quick.measure(bench_quick.Case("xor", "x", "epoch", 1, 1, lambda: [own]), "quick_0")
    assert made


def test_groups_equal_the_commands_choices():
    assert {group.value for group in BenchGroup} - {"all"} == {case.group for case in bench_quick.cases()}
