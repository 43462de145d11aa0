"""Random configurations of nets and fits, drawn from seeds.

A net of a population equals the same net trained by itself, up to rounding, on any number of threads.
"""

import kernel_families
import numpy as np
import pytest
import reference_optimizers

import fastmlp.execution.dispatch
from fastmlp import MLP, Population, optimizers

HIDDEN = ("tanh", "sigmoid", "softplus", "silu", "gelu", "elu", "softsign")  # smooth: no kink that amplifies rounding
PAIRS = (
    ("squared_error", "identity", 2),
    ("binary_cross_entropy", "sigmoid", 1),
    ("softmax_cross_entropy", "softmax", 3),
    ("huber", "tanh", 2),
    ("poisson", "exponential", 1),
)
RATES = {"sgd": 0.05, "momentum": 0.02, "nesterov": 0.02, "quickprop": 0.02, "rprop": 0.01}
SHORT, LONG = 100, 2000
TOLERANCE = 1e-6  # for parameters in float64 after a few steps, in which an optimiser may amplify rounding


class Configuration:
    """A net, its samples and the settings of its fit, drawn from a seed."""

    def __init__(self, seed, dtype):
        rng = self.rng = np.random.default_rng(seed)
        self.loss, self.output, n_outputs = PAIRS[rng.integers(len(PAIRS))]
        hidden = tuple(int(n) for n in rng.integers(6, 20, rng.integers(1, 3)))
        self.sizes = (int(rng.integers(3, 9)), *hidden, n_outputs)
        self.activations = [str(rng.choice(HIDDEN)) for _ in hidden]
        self.dropout = float(rng.choice([0.0, 0.0, 0.3]))
        self.dtype, self.l2 = dtype, float(rng.choice([0.0, 0.01]))
        self.n_samples = 600 if seed % 4 == 0 else int(rng.integers(8, 70))
        self.X = rng.normal(size=(self.n_samples, self.sizes[0]))
        self.y = self.targets(rng, n_outputs)
        self.name = str(rng.choice(list(reference_optimizers.EXAMPLES)))
        self.epochs = int(rng.integers(2, 5))
        whole = self.name in ("rprop", "quickprop") or seed % 4 == 0
        self.batch_size = None if whole else int(rng.integers(3, self.n_samples + 1))
        self.schedule = str(rng.choice(["constant", "exponential", "one_cycle"]))
        self.shuffle = bool(rng.integers(2))
        self.weight = rng.uniform(0.5, 2.0, self.n_samples) if rng.integers(2) else None
        self.seed = int(rng.integers(2**31))
        self.rule, settings = reference_optimizers.EXAMPLES[self.name]
        self.settings = {**settings, "learning_rate": RATES.get(self.name, 0.01)}
        if rng.integers(3) == 0:
            self.settings["clip_norm"] = 0.1
        if rng.integers(3) == 0:
            self.settings["weight_decay"] = 0.1

    def targets(self, rng, n_outputs):
        n = self.n_samples
        if self.loss == "softmax_cross_entropy":
            return np.eye(n_outputs)[rng.integers(0, n_outputs, n)]
        if self.loss == "poisson":
            return rng.poisson(2.0, (n, n_outputs)).astype(float)
        return rng.random((n, n_outputs))

    @property
    def net_settings(self):
        return {
            "hidden_activation": self.activations,
            "output_activation": self.output,
            "loss": self.loss,
            "l2": self.l2,
            "dropout": self.dropout,
            "dtype": self.dtype,
            "device": "cpu",
        }

    @property
    def fit_settings(self):
        return {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "schedule": self.schedule,
            "optimizer": getattr(optimizers, self.rule)(**self.settings),
            "sample_weight": self.weight,
            "verbose": 0,
        }

    def train_and_record(self, seed):
        net = MLP(self.sizes, **self.net_settings, random_state=seed)
        return net, net.fit(self.X, self.y, **self.fit_settings)

    def train_alone(self):
        net, history = self.train_and_record(self.seed)
        return net.params.copy(), history.loss.copy()


@pytest.fixture
def seeds(is_long):
    return range(LONG if is_long else SHORT)


def use_threads(n, forced, monkeypatch):
    """Set the number of threads to n.

    forced : whether even the smallest net is trained on all n threads
    """
    if forced:
        for name in ("choose_threads", "choose_evaluation_threads"):
            monkeypatch.setattr(fastmlp.execution.dispatch, name, lambda *_: n)
    monkeypatch.setenv("FASTMLP_NUM_THREADS", str(n))


def test_threads_wait_for_each_other_before_the_update(monkeypatch, count):
    """Rprop compares objectives. A penalty computed while other threads change the weights differed between threads.

    In this configuration a small difference decides; with more threads than processors it came in one fit of three.
    """
    kernel_families.use("layerwise", monkeypatch)
    configuration = Configuration(608, "float32")
    use_threads(1, True, monkeypatch)
    params, _ = configuration.train_alone()
    for k in range(30):
        use_threads((3, 5, 8)[k % 3], True, monkeypatch)
        np.testing.assert_array_equal(configuration.train_alone()[0], params)
    count("fits on more threads than processors", 30)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::fastmlp.DivergenceWarning")  # some nets diverge, by themselves too
def test_nets_of_a_population_equal_single_nets(seeds, is_long, monkeypatch, count):
    """A population has the same bits on 1, 2 and, in the long form, 3 threads. Its nets equal nets
    trained alone.

    A net that diverges, diverges alone as well. Rounding then decides which parameters it reaches, and a population's
    result has no loss for it, so its figures are not compared.
    """
    n_diverged = 0
    for seed in seeds:
        configuration = Configuration(seed, "float64")
        found = []
        for n in (1, 2, 3) if is_long else (1, 2):
            monkeypatch.setenv("FASTMLP_NUM_THREADS", str(n))
            pop = Population(configuration.sizes, 33, **configuration.net_settings, random_state=configuration.seed)
            result = pop.fit(configuration.X, configuration.y, **configuration.fit_settings)
            found.append(pop.params.copy())
        for other in found[1:]:
            np.testing.assert_array_equal(other, found[0], err_msg=f"seed {seed}")
        for k in (0, 32):
            net, history = configuration.train_and_record(int(pop.seeds[k]))
            params, losses = net.params, history.loss
            assert history.stopped_by == result.stopped_by[k], f"seed {seed}"
            if history.stopped_by == "divergence":
                n_diverged += 1
                assert np.isnan(result.loss[k])
                assert np.isfinite(params).all()
                assert np.isfinite(pop.params[k]).all()
                continue
            scale = max(1.0, np.abs(params).max())
            np.testing.assert_allclose(pop.params[k], params, rtol=0, atol=TOLERANCE * scale, err_msg=f"seed {seed}")
            assert result.loss[k] == pytest.approx(losses[-1], rel=TOLERANCE)
    assert n_diverged < len(seeds) / 20
    count("populations against their nets alone", len(seeds))
    count("nets that diverged, alone as well", n_diverged)
