"""Populations with shared weights: training by the reference, and what a user may rely on."""

import _thread
import threading

import numpy as np
import pytest
from reference_optimizers import train as train_reference
from reference_random import dropout_mask, epoch_order
from reference_shared_weights import ReferenceSharedWeights
from tolerances import TOLERANCES

import fastmlp
from fastmlp import (
    SGD,
    AdamW,
    CategoryEmbedding,
    EarlyStopping,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    Population,
)
from fastmlp.errors import DivergenceWarning
from fastmlp.execution import thresholds
from fastmlp.execution.dispatch import shared_samples
from fastmlp.kernels.formulas.net_seeds import fit_seeds
from fastmlp.network.shared_weights_layout import SharedLayout
from fastmlp.schedules import Cosine

CASES = {  # layer sizes, number of nets, hidden activation, loss, targets
    "small": ((5, 7, 2), 3, "tanh", "squared_error", "numbers"),
    "three layers": ((20, 33, 18, 3), 4, "relu", "softmax_cross_entropy", "classes"),
    "wide": ((70, 330, 40, 1), 5, "gelu", "binary_cross_entropy", "labels"),
    "one net": ((6, 17, 1), 1, "relu", "huber", "numbers"),
    "embedded": ((7, 19, 12, 2), 3, "relu", "squared_error", "numbers"),
    "periodic": ((12, 40, 1), 5, "tanh", "squared_error", "numbers"),
    "bins": ((9, 11, 2), 3, "relu", "squared_error", "numbers"),
    "wide embedding": ((60, 9, 3), 2, "relu", "softmax_cross_entropy", "classes"),
}
EMBEDDINGS = {
    "embedded": [CategoryEmbedding(3, 5), 1, CategoryEmbedding(3, 2)],
    "periodic": [PeriodicEmbedding(5, 3, sigma=0.3, n_inputs=9), CategoryEmbedding(3, 4)],
    "bins": [PiecewiseLinearEmbedding(4, 6), 2, PiecewiseLinearEmbedding(3, 5)],
    "wide embedding": [CategoryEmbedding(30, 165)] * 2,  # so wide that products pack their operands
}


def make(case, **settings):
    sizes, n_nets, activation, loss, kind = CASES[case]
    pop = Population(
        sizes,
        n_nets,
        hidden_activation=activation,
        loss=loss,
        shared_weights=True,
        random_state=3,
        input_embedding=EMBEDDINGS.get(case),
        **settings,
    )
    rng = np.random.default_rng(1)
    X = rng.normal(size=(90, sizes[0]))
    y = {
        "numbers": rng.normal(size=(90, sizes[-1])),
        "classes": np.eye(sizes[-1])[rng.integers(0, sizes[-1], 90)],
        "labels": rng.integers(0, 2, (90, 1)).astype(float),
    }[kind]
    return pop, X, y


def vector_of(pop):
    layout = SharedLayout(pop.network, pop.n_nets)
    vector = np.zeros(layout.n_params)
    layout.read_nets(pop.params.astype(np.float64), vector)
    return vector


def reference_of(pop, case):
    sizes, n_nets, activation, loss, _ = CASES[case]
    embedding, n = pop.network.input_embedding, pop.network.n_embedding_layers
    names = [activation] * (len(sizes) - 2) + [pop.network.output_row.name]
    names = [*(embedding.activations if embedding else ()), *names]
    sizes, blocks = pop.network.layer_sizes, pop.network.blocks[:n]
    return ReferenceSharedWeights(sizes, names, loss, n_nets, vector_of(pop), blocks=blocks)


def assert_equals_reference(pop, net, dtype):
    for k in range(pop.n_nets):
        np.testing.assert_allclose(pop.params[k], net.net(k).params, atol=TOLERANCES["training", dtype], rtol=0)


@pytest.mark.thinned(4)
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.full)])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("threads", [1, 2])
def test_training_follows_the_reference(case, dtype, threads, monkeypatch):
    monkeypatch.setenv("FASTMLP_NUM_THREADS", str(threads))
    monkeypatch.setattr(thresholds, "STEP_PER_THREAD", 1)
    pop, X, y = make(case, dtype=dtype)
    net, weight = reference_of(pop, case), np.random.default_rng(2).uniform(0.5, 2.0, 90)
    weight /= weight.mean()
    settings = {"learning_rate": 0.01, "weight_decay": 0.1, "clip_norm": 0.05}
    further = {"epochs": 4, "batch_size": 40}
    losses = train_reference(net, X, y, "AdamW", settings, factors=Cosine().factors, weight=weight, **further)
    optimizer = AdamW(**settings)
    result = pop.fit(
        X, y, optimizer=optimizer, schedule=Cosine(), shuffle=False, sample_weight=weight, verbose=0, **further
    )
    assert_equals_reference(pop, net, dtype)
    np.testing.assert_allclose(result.loss, losses[-1], rtol=TOLERANCES["training", dtype])


def test_shuffled_steps_with_dropout_follow_the_reference():
    pop, X, y = make("three layers", dropout=0.3)
    net, seed = reference_of(pop, "three layers"), int(fit_seeds(pop.seeds, 0)[0])
    order = epoch_order(90, seed, 0)
    for step, rows in enumerate((order[:60], order[60:])):
        masks = [dropout_mask(len(rows) * 4, width, 0.3, seed, step, k) for k, width in enumerate((33, 18))]
        _, gradient = net.loss_and_gradient(X[rows], y[rows], masks=masks)
        net.params -= 0.1 * gradient
    pop.fit(X, y, epochs=1, batch_size=60, optimizer=SGD(0.1), verbose=0)
    assert_equals_reference(pop, net, "float32")


def test_micro_batches_give_the_gradient_of_the_batch(monkeypatch):
    pop, X, y = make("wide")
    net = reference_of(pop, "wide")
    monkeypatch.setattr(thresholds, "SHARED_ROWS", 1)
    monkeypatch.setattr(thresholds, "SHARED_SAMPLES", 12)
    pop.fit(X, y, epochs=1, optimizer=SGD(0.1), verbose=0)
    net.params -= 0.1 * net.loss_and_gradient(X, y)[1]
    assert_equals_reference(pop, net, "float32")


@pytest.mark.slow
@pytest.mark.parametrize("rows", [7, 48, 90])
def test_bits_do_not_depend_on_the_number_of_threads(rows, monkeypatch):
    monkeypatch.setattr(thresholds, "STEP_PER_THREAD", 1)
    found = []
    for threads in ("1", "2"):
        monkeypatch.setenv("FASTMLP_NUM_THREADS", threads)
        pop, X, y = make("wide", dropout=0.2)
        result = pop.fit(X, y, epochs=5, batch_size=rows, optimizer=AdamW(0.01, clip_norm=0.1), verbose=0)
        found.append((pop.params.tobytes(), result.records.tobytes()))
    assert found[0] == found[1]


# ---- what a user may rely on


@pytest.mark.parametrize("case", CASES)
@pytest.mark.slow
def test_held_out_loss_and_accuracy_are_of_the_mean_output(case):
    pop, X, y = make(case)
    stopping = EarlyStopping(30, "validation_loss")
    result = pop.fit(X[:60], y[:60], epochs=20, validation_data=(X[60:], y[60:]), early_stopping=stopping, verbose=0)
    mean = pop.ensemble_predict(X[60:])
    row = pop.network.loss_row
    if row.name == "softmax_cross_entropy":
        loss = -np.mean(np.log(np.sum(mean * y[60:], axis=1)))
    elif row.name == "binary_cross_entropy":
        loss = -np.mean(y[60:] * np.log(mean) + (1 - y[60:]) * np.log(1 - mean))
    else:
        r = np.abs(mean - y[60:])
        loss = np.mean(np.where(r <= 1, r**2, 2 * r - 1) if row.name == "huber" else r**2)
    np.testing.assert_allclose(result.best_value, loss, rtol=1e-4)
    assert len(set(result.best_epoch.tolist())) == 1


def test_held_out_accuracy_ends_the_fit_and_is_the_accuracy_of_the_mean():
    pop, X, y = make("three layers")
    stopping = EarlyStopping(3, "validation_accuracy")
    result = pop.fit(X[:60], y[:60], epochs=50, validation_data=(X[60:], y[60:]), early_stopping=stopping, verbose=0)
    accuracy = np.mean(pop.ensemble_predict(X[60:]).argmax(axis=1) == y[60:].argmax(axis=1))
    assert result.best_value[0] == pytest.approx(accuracy)
    assert set(result.stopped_by) == {"early_stopping"}


def test_nets_are_ordinary_nets_with_the_same_hidden_layers():
    pop, X, y = make("three layers")
    pop.fit(X, y, epochs=3, verbose=0)
    first, second = pop.net(0), pop.net(1)
    np.testing.assert_array_equal(first.weights[1], second.weights[1])
    assert not np.array_equal(first.weights[2], second.weights[2])
    ratio = second.weights[0] / first.weights[0]
    np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones_like(ratio), rtol=1e-3)
    np.testing.assert_allclose(pop.predict(X)[1], second.predict(X), atol=1e-6)


@pytest.mark.slow
def test_gradients_of_an_embedding_are_those_of_differences():
    pop, X, y = make("periodic")
    net, rng = reference_of(pop, "periodic"), np.random.default_rng(0)
    free = np.flatnonzero(net.loss_and_gradient(X, y)[1])
    for i in rng.choice(free, 40, replace=False):
        losses, kept = [], net.params[i]
        for step in (1e-6, -1e-6):
            net.params[i] = kept + step
            losses.append(net.loss_and_gradient(X, y)[0])
        net.params[i] = kept
        slope = (losses[0] - losses[1]) / 2e-6
        np.testing.assert_allclose(net.loss_and_gradient(X, y)[1][i], slope, rtol=1e-4, atol=1e-7)


def test_scales_of_an_embedding_begin_alike_for_the_features_of_a_column():
    pop, _, _ = make("embedded")
    ratio = (pop.net(1).weights[1] / pop.net(0).weights[1])[:, 0]  # of 5, 1 and 2 features
    np.testing.assert_allclose(ratio[:5], ratio[0], rtol=1e-5)
    np.testing.assert_allclose(ratio[6:], ratio[6], rtol=1e-5)
    assert np.abs(np.diff(ratio))[[4, 5]].min() > 1e-3
    np.testing.assert_array_equal(pop.net(0).weights[0], pop.net(1).weights[0])


def test_an_embedding_stays_block_diagonal_and_the_same_for_all_nets():
    pop, X, y = make("embedded")
    before = pop.params[0].copy()
    pop.fit(X, y, epochs=5, batch_size=30, optimizer=AdamW(0.01, weight_decay=0.1), verbose=0)
    pop.network.check_blocks(pop.params)
    first = pop.params[:, : pop.network.layout.weight_offsets[1]]
    np.testing.assert_array_equal(first, first[:1] * np.ones((3, 1), np.float32))
    assert not np.array_equal(first[0], before[: first.shape[1]])


def test_micro_batches_and_shuffled_steps_with_an_embedding_follow_the_reference(monkeypatch):
    monkeypatch.setattr(thresholds, "SHARED_ROWS", 1)
    monkeypatch.setattr(thresholds, "SHARED_SAMPLES", 12)
    pop, X, y = make("wide embedding")
    seed = int(fit_seeds(pop.seeds, 1)[0])
    for batches in ([np.arange(90)], np.split(epoch_order(90, seed, 0), [60])):
        net = reference_of(pop, "wide embedding")
        for rows in batches:
            net.params -= 0.1 * net.loss_and_gradient(X[rows], y[rows])[1]
        pop.fit(X, y, epochs=1, batch_size=len(batches[0]), optimizer=SGD(0.1), verbose=0)
        assert_equals_reference(pop, net, "float32")


def test_initial_scales_are_signs_and_depend_on_the_seed():
    pop, _, _ = make("three layers")
    signs = pop.net(1).weights[0] / pop.net(0).weights[0]
    assert set(np.unique(np.round(signs, 6))) == {-1.0, 1.0}
    same, _, _ = make("three layers")
    np.testing.assert_array_equal(same.params, pop.params)
    other = Population((20, 33, 18, 3), 4, shared_weights=True, random_state=4)
    assert not np.array_equal(other.params, pop.params)
    pop.params = pop.params + 0
    np.testing.assert_array_equal(pop.reset().params, same.params)


def test_a_saved_population_goes_on_as_the_one_in_memory(tmp_path):
    pop, X, y = make("wide")
    pop.fit(X, y, epochs=3, optimizer="adamw", verbose=0)
    pop.save(tmp_path / "nets.st")
    loaded = fastmlp.load(tmp_path / "nets.st")
    assert loaded.shared_weights
    for nets in (pop, loaded):
        nets.fit(X, y, epochs=3, optimizer="adamw", verbose=0)
    np.testing.assert_array_equal(loaded.params, pop.params)


def test_a_file_of_independent_nets_says_nothing_of_shared_weights(tmp_path):
    Population((2, 3, 1), 2, random_state=0).save(tmp_path / "nets.st")
    assert b"shared_weights" not in (tmp_path / "nets.st").read_bytes()
    assert not fastmlp.load(tmp_path / "nets.st").shared_weights


@pytest.mark.slow
def test_time_limit_and_divergence_leave_finite_nets():
    pop, X, y = make("wide")
    result = pop.fit(X, y, epochs=10**6, time_limit=0.3, verbose=0)
    assert set(result.stopped_by) == {"time_limit"}
    assert np.isfinite(pop.params).all()
    pop, X, y = make("small")
    with pytest.warns(DivergenceWarning):
        result = pop.fit(X, y, epochs=200, optimizer=SGD(1e6), verbose=0)
    assert set(result.stopped_by) == {"divergence"}
    assert np.isfinite(pop.params).all()


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.slow
def test_ctrl_c_keeps_what_was_reached():
    pop, X, y = make("wide")
    start, timer = pop.params.copy(), threading.Timer(0.5, _thread.interrupt_main)
    pop.fit(X, y, epochs=1, verbose=0)  # compiled
    timer.start()
    result = pop.fit(X, y, epochs=10**6, verbose=0)
    timer.join()
    assert result.interrupted
    assert np.isfinite(pop.params).all()
    assert not np.array_equal(pop.params, start)


def test_parameters_of_other_nets_are_refused():
    pop, X, y = make("small")
    pop.params = np.random.default_rng(0).normal(size=pop.params.shape)
    with pytest.raises(ValueError, match="must have the same hidden layers"):
        pop.fit(X, y, epochs=1, verbose=0)


# ---- errors and interruptions


def test_an_error_in_a_fit_is_raised_as_it_is():
    pop, X, y = make("small")
    with pytest.raises(ValueError, match="A schedule must"):
        pop.fit(X, y, epochs=50, batch_size=10, schedule=lambda steps, n: -np.ones(len(steps)), verbose=0)
    assert np.isfinite(pop.params).all()


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_nets_are_written_writes_all_of_them(monkeypatch):
    pop, X, y = make("small")
    original = SharedLayout.write_nets

    def interrupted(layout, vector, params):
        _thread.interrupt_main()
        original(layout, vector, params)

    monkeypatch.setattr(SharedLayout, "write_nets", interrupted)
    result = pop.fit(X, y, epochs=3, verbose=0)
    assert result.interrupted
    assert set(result.epochs.tolist()) == {3}
    SharedLayout(pop.network, pop.n_nets).read_nets(pop.params, np.zeros(10_000))


def test_too_many_epochs_are_refused_in_words():
    pop, X, y = make("small")
    with pytest.raises((ValueError, MemoryError), match="epochs"):
        pop.fit(X, y, epochs=10**14, verbose=0)


@pytest.mark.parametrize("n_nets", [3, 7, 13, 100, 10**6])
def test_micro_batches_begin_with_whole_groups_of_random_numbers(n_nets):
    for rows in (thresholds.SHARED_ROWS, thresholds.EVALUATION_ROWS):
        n = shared_samples(n_nets, rows)
        assert n % 4 == 0
        assert n >= 4
        assert n * n_nets <= max(thresholds.MOST_SHARED_ROWS, 4 * n_nets)


@pytest.mark.full
@pytest.mark.parametrize("loss, n_outputs", [("poisson", 2), ("binary_cross_entropy", 3)])
def test_other_losses_with_several_micro_batches_and_dropout(loss, n_outputs, monkeypatch):
    """Many outputs and inputs, so that products pack their operands."""
    monkeypatch.setattr(thresholds, "SHARED_ROWS", 1)
    monkeypatch.setattr(thresholds, "SHARED_SAMPLES", 40)
    monkeypatch.setattr(thresholds, "STEP_PER_THREAD", 1)
    rng, sizes, n_nets = np.random.default_rng(0), (333, 40, 30, n_outputs), 110
    X, y = rng.normal(size=(90, 333)), rng.integers(0, 2, (90, n_outputs)).astype(float)
    pop = Population(sizes, n_nets, loss=loss, dropout=0.25, shared_weights=True, random_state=1)
    names = ["relu", "relu", pop.network.output_row.name]
    net, seed = ReferenceSharedWeights(sizes, names, loss, n_nets, vector_of(pop)), int(fit_seeds(pop.seeds, 0)[0])
    rows = np.arange(90)
    masks = [dropout_mask(90 * n_nets, width, 0.25, seed, 0, k) for k, width in enumerate(sizes[1:-1])]
    net.params -= 0.1 * net.loss_and_gradient(X[rows], y[rows], masks=masks)[1]
    pop.fit(X, y, epochs=1, optimizer=SGD(0.1), shuffle=False, verbose=0)
    assert_equals_reference(pop, net, "float32")
