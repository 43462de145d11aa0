"""fastmlp.training.kernel_call_configs: what the calls of a kernel are told."""

import numpy as np

from fastmlp import MLP, Adam
from fastmlp.api.fit_arguments import FitArguments
from fastmlp.api.fit_keywords import MLP_FIT_DEFAULTS
from fastmlp.api.fit_preparation import FitData, fit_options
from fastmlp.data.checked_samples import validated_samples
from fastmlp.training.kernel_call_configs import TrainConfigs

SHAPES = [(2, 3), (3, 1)]


def configs(optimizer, schedule=None):
    net = MLP((2, 3, 1), random_state=0, device="cpu")
    data = validated_samples(np.zeros((8, 2)), np.zeros(8), net.network, net.dtype)
    given = {"epochs": 5, "batch_size": 4, "optimizer": optimizer, "schedule": schedule, "verbose": 0}
    arguments = FitArguments.checked(MLP_FIT_DEFAULTS | given)
    return TrainConfigs(fit_options(net, arguments, FitData(data, None, 4, True, 9), (), (), None, False), SHAPES, 10)


def test_factors_are_those_of_the_steps_of_a_call():
    config = configs("sgd", lambda steps, n_steps: steps / n_steps).of(4, 3)
    np.testing.assert_allclose(config.factors, [0.4, 0.5, 0.6])
    assert (config.first_step, config.batch_size, config.shuffle, config.seed) == (4, 4, True, 9)
    assert not any((config.layered, config.decays, config.drops_by_schedule))
    assert config.layer_factors.size == config.decay_factors.size == config.dropout_factors.size == 0


def test_factors_of_layers_and_of_the_weight_decay():
    optimizer = Adam(weight_decay=0.1, weight_decay_schedule="cosine", learning_rate_factors={0: 0.5})
    config = configs(optimizer).of(5, 1)
    assert config.layered
    np.testing.assert_array_equal(config.layer_factors, [1, 1, 1, 1, 0.5, 0.5, 1, 1])
    assert config.decays
    np.testing.assert_allclose(config.decay_factors, [0.5])
