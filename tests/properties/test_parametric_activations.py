"""Nets with parametric activations on both devices: gradients, outputs and training equal the float64 reference."""

import copy
import json
import pickle

import cuda_cases
import numpy as np
import pytest
import reference_optimizers
from cuda_cases import FURTHER_OPTIMIZERS, assert_trains_as_the_reference, follow, follow_sgd, reference_of
from safetensors import safe_open
from tolerances import TOLERANCES

import fastmlp
from fastmlp import MLP, SGD, Adam, PeriodicEmbedding, Population, check_gradients
from fastmlp.console.html_display import layers_of
from fastmlp.diagnosis.longest_steps import longest_steps
from fastmlp.diagnosis.model_under_test import model_of_fastmlp
from fastmlp.recorders import activity

DTYPES = ("float32", "float64")
SIZES = (5, 7, 19, 2)
HIDDEN = ("identity", "relu", "tanh", "selu", "silu", "cos")  # derivatives of outputs, and of pre-activations


def make(sizes=SIZES, **settings):
    """Return a net whose alphas are neither 0 nor 1."""
    plain = {"hidden_activation": "silu", "device": "cpu", "random_state": 1, "parametric_activation": True}
    net = MLP(sizes, **plain | settings)
    for alphas in net.alphas:
        alphas[:] = np.linspace(-0.2, 1.2, len(alphas))
    return net


def samples(rng, n, n_features=5):
    X = rng.normal(size=(n, n_features))
    return 0.5 * X, np.sin(3 * X[:, :2]) + 0.1 * rng.normal(size=(n, 2))


# ---- gradients


@pytest.mark.thinned(10)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", HIDDEN)
def test_outputs_and_gradient_match_the_reference(name, dtype, device, rng):
    net, (X, y) = make(hidden_activation=name, dtype=dtype, device=device, l2=0.1), samples(rng, 37)
    reference = reference_of(net.network, net.params)
    loss, gradient = net.loss_and_gradient(X, y)
    expected_loss, expected = reference.loss_and_gradient(X, y)
    tolerance = TOLERANCES["gradient", dtype]
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    np.testing.assert_allclose(gradient, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(net.predict(X), reference.predict(X), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(net.predict(X[:1]), reference.predict(X[:1]), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("embedding", (None, PeriodicEmbedding(3, 2)), ids=("plain", "embedded"))
def test_gradient_equals_central_differences(embedding, rng):
    net, (X, y) = make(dtype="float64", l2=0.05, input_embedding=embedding), samples(rng, 11)
    assert len(net.alphas) == 2
    check = check_gradients(net.objective(X, y), net.params, tolerance=1e-5)
    assert check, str(check)


@pytest.mark.thinned(2)
def test_alphas_of_one_give_the_plain_net(device, rng):
    X, y = samples(rng, 20)
    settings = {"hidden_activation": "tanh", "random_state": 3, "dtype": "float64", "device": device}
    net, plain = MLP(SIZES, parametric_activation=True, **settings), MLP(SIZES, **settings)
    n = len(plain.params)
    np.testing.assert_array_equal(net.params, [*plain.params, *np.ones(7 + 19)])
    np.testing.assert_allclose(net.predict(X), plain.predict(X), rtol=1e-12)
    np.testing.assert_allclose(net.loss_and_gradient(X, y)[1][:n], plain.loss_and_gradient(X, y)[1], rtol=1e-9)


# ---- training


@pytest.mark.thinned(14)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FURTHER_OPTIMIZERS)
def test_training_matches_the_reference(name, dtype, device, rng):
    net, (X, y) = make(dtype=dtype, device=device, l2=0.01, hidden_activation="tanh"), samples(rng, 70)
    assert_trains_as_the_reference(net, X, y, name)


def test_every_optimiser_is_tried():
    assert {optimizer.rule.name for optimizer in FURTHER_OPTIMIZERS.values()} >= set(reference_optimizers.EXAMPLES)


@pytest.mark.thinned(3)
@pytest.mark.parametrize("rates", ((0.4, 0.0), (0.3, 0.2)))
def test_training_with_dropout_matches_the_reference(rates, device, rng):
    net, (X, y) = make(dtype="float64", device=device, dropout=rates, hidden_activation="tanh"), samples(rng, 30)
    reference, seed = reference_of(net.network, net.params), cuda_cases.fit_seed(net.seed)
    net.fit(X, y, epochs=3, batch_size=8, optimizer=SGD(0.1), verbose=0)
    follow_sgd(reference, X, y, 0.1, epochs=3, batch_size=8, seed=seed, shuffle=True, rates=rates)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-9, atol=1e-9)


@pytest.mark.thinned(3)
@pytest.mark.parametrize("batch_size", (1, 7, 200, None))
def test_batches_of_any_size_match_the_reference(batch_size, device, rng, monkeypatch):
    """Batches of one sample, and batches of several micro-batches."""
    monkeypatch.setattr("fastmlp.execution.thresholds.MICRO_BATCH_ROWS", 64)
    net, (X, y) = make(dtype="float64", device=device), samples(rng, 21 if batch_size == 1 else 230)
    reference = reference_of(net.network, net.params)
    net.fit(X, y, epochs=2, batch_size=batch_size, optimizer=Adam(0.01), shuffle=False, verbose=0)
    follow(reference, X, y, Adam(0.01), epochs=2, batch_size=batch_size)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("optimizer", (Adam(0.01), Adam(0.01, clip_norm=0.5)), ids=("adam", "clipped"))
def test_one_and_two_threads_give_the_same_bits(optimizer, threads, rng):
    """Wide layers with dropout, whose rows and weights are several chunks, which threads take from each other."""
    X, y = rng.normal(size=(300, 40)), rng.normal(size=300)
    found = []
    for n_threads in (1, 2):
        threads(n_threads)
        net = make((40, 131, 67, 1), dropout=0.2)
        net.fit(X, y, epochs=3, batch_size=128, optimizer=optimizer, verbose=0)
        found.append(net.params.copy())
        outputs = net.predict(X[:1])
    np.testing.assert_array_equal(*found)
    np.testing.assert_array_equal(outputs, net.predict(X)[:1])
    assert not np.array_equal(net.alphas[0], make((40, 131, 67, 1)).alphas[0])


# ---- populations


@pytest.mark.thinned(2)
def test_nets_of_a_population_equal_single_nets(device, rng):
    X, y = samples(rng, 40)
    settings = {"parametric_activation": True, "dropout": 0.2, "device": device}
    pop = Population(SIZES, 3, random_state=0, **settings)
    starts = [pop.net(k) for k in range(3)]
    pop.fit(X, y, epochs=3, batch_size=16, verbose=0)
    for k, net in enumerate(starts):
        np.testing.assert_array_equal(net.params, MLP(SIZES, random_state=int(pop.seeds[k]), **settings).params)
        net.fit(X, y, epochs=3, batch_size=16, verbose=0)
        np.testing.assert_allclose(pop.params[k], net.params, rtol=1e-5, atol=1e-6)
        assert (net.alphas[0] != 1.0).any()
    np.testing.assert_allclose(pop.predict(X)[1], pop.net(1).predict(X), rtol=1e-5, atol=1e-6)


def test_restarted_nets_begin_with_alphas_of_one(rng):
    X, y = samples(rng, 40)
    pop = Population(SIZES, 2, parametric_activation=True, device="cpu", random_state=0)
    pop.fit(X, y, epochs=4, restart_after=2, converged=1e-9, optimizer=SGD(1e-30), verbose=0)
    np.testing.assert_array_equal(pop.params[:, -26:], 1.0)


@pytest.mark.parametrize("value", ("yes", 1, None))
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match="parametric_activation is True or False, not"):
        MLP(SIZES, parametric_activation=value)


# ---- files, diagnosis, printed forms


@pytest.mark.parametrize("embedding", (None, PeriodicEmbedding(3, 2)), ids=("plain", "embedded"))
@pytest.mark.parametrize("make_nets", (MLP, lambda *args, **settings: Population(*args, 2, **settings)))
def test_saved_pickled_and_copied_nets_are_equal(make_nets, embedding, tmp_path, rng):
    X, _ = samples(rng, 9)
    nets = make_nets(SIZES, parametric_activation=True, input_embedding=embedding, device="cpu", random_state=0)
    nets.params[..., -26:] = rng.normal(size=26)
    nets.save(tmp_path / "nets.safetensors")
    for same in (fastmlp.load(tmp_path / "nets.safetensors"), pickle.loads(pickle.dumps(nets)), copy.deepcopy(nets)):
        assert same.network == nets.network
        np.testing.assert_array_equal(same.params, nets.params)
        np.testing.assert_array_equal(same.predict(X), nets.predict(X))


def test_files_have_a_format_that_earlier_versions_refuse(tmp_path):
    formats = []
    for is_parametric in (False, True):
        MLP(SIZES, parametric_activation=is_parametric).save(tmp_path / "net.safetensors")
        with safe_open(tmp_path / "net.safetensors", "numpy") as file:
            description = json.loads(file.metadata()["fastmlp"])
        formats.append(description["format"])
        assert ("parametric_activation" in description["settings"]) == is_parametric
    assert formats == [1, 3]


def test_a_resumed_fit_has_the_bits_of_one_fit(tmp_path, rng):
    X, y = samples(rng, 60)
    net, whole = make(), make()
    net.fit(X, y, epochs=3, batch_size=16, checkpoint=tmp_path / "fit", verbose=0)
    net = make()
    net.fit(X, y, epochs=6, batch_size=16, checkpoint=tmp_path / "fit", resume=True, verbose=0)
    whole.fit(X, y, epochs=6, batch_size=16, verbose=0)
    np.testing.assert_array_equal(net.params, whole.params)


@pytest.mark.parametrize("embedding", (None, PeriodicEmbedding(3, 2)), ids=("plain", "embedded"))
def test_diagnosis_computes_with_alphas(embedding, rng):
    net, (X, y) = make(dtype="float64", input_embedding=embedding, l2=0.03), samples(rng, 30)
    model = model_of_fastmlp(net.network, net.params[None], 0.03)
    np.testing.assert_allclose(model.forward(X)[1][-1][0], net.predict(X), rtol=1e-9)
    np.testing.assert_allclose(model.gradient(X, y)[0], net.loss_and_gradient(X, y)[1], rtol=1e-7, atol=1e-10)


def test_recorded_activity_is_that_of_the_outputs(rng):
    net, (X, _) = make(hidden_activation="tanh", dtype="float64"), samples(rng, 30)
    spread, flat = activity(net, X)
    outputs = reference_of(net.network, net.params).forward(X)[1][1:]
    np.testing.assert_allclose(spread, [a.std(axis=0).mean() for a in outputs])
    assert flat.shape == (2,)


def test_the_table_of_layers_counts_alphas():
    rows = layers_of(make().network)[1]
    assert rows[0] == ["hidden 1", 5, 7, "parametric silu", 49]
    assert sum(row[-1] for row in rows[:-1]) == rows[-1][-1] == make().params.size
    assert "parametric_activation=True" in repr(make())


def test_units_without_slope_are_dead_only_if_alpha_is_one(rng):
    X, y = samples(rng, 100)
    net = make(hidden_activation="relu")
    net.biases[0][:] = -10.0
    verdicts = []
    for alpha in (1.0, 0.5):
        net.alphas[0][:] = alpha
        verdicts.append(fastmlp.diagnose(net, X, y).verdict)
    assert verdicts[0] == "dead_units" != verdicts[1]


def test_new_nets_of_a_diagnosis_begin_with_alphas_of_one(rng):
    (X, y), settings = samples(rng, 60), {"hidden_activation": "silu", "random_state": 0}
    found = [
        longest_steps(model_of_fastmlp(net.network, net.params[None], 0.0), X, y)
        for net in (MLP(SIZES, **settings), MLP(SIZES, parametric_activation=True, **settings))
    ]
    assert found[1].sign == found[0].sign
    assert found[1].descent == pytest.approx(found[0].descent, rel=0.5)
