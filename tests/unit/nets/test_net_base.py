"""fastmlp.nets.net_base: what MLP and Population share."""

import copy
import pickle

import numpy as np
import pytest

from fastmlp import MLP, Population
from fastmlp.kernels.structs import METRIC_ARGMAX, METRIC_NONE


@pytest.fixture(params=["MLP", "Population"])
def net(request):
    settings = {"random_state": 0, "device": "cpu"}
    return MLP((2, 3, 1), **settings) if request.param == "MLP" else Population((2, 3, 1), 4, **settings)


def test_params_keep_their_array_and_shape(net):
    array = net.params
    net.params = np.ones(array.shape)
    assert net.params is array
    assert (array == 1.0).all()
    with pytest.raises(ValueError, match="params must have shape"):
        net.params = np.ones(array.size + 1)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_have_their_own_params(net, copied):
    other = copied(net)
    assert other.device.name == "cpu"
    np.testing.assert_array_equal(other.params, net.params)
    other.params[...] = 0.0
    assert net.params.any()


def test_settings_are_checked():
    for name, value in (("dtype", "float16"), ("precision", "float16"), ("device", "tpu"), ("init", "xavier")):
        for make in (lambda **setting: MLP((2, 1), **setting), lambda **setting: Population((2, 1), 3, **setting)):
            with pytest.raises(ValueError, match=f"{name}|Unknown"):
                make(**{name: value})


def test_accuracy_is_for_classes():
    assert MLP._scores(METRIC_NONE, 0.5, 0.0) == {"loss": 0.5}
    assert MLP._scores(METRIC_ARGMAX, 0.5, 1.0) == {"loss": 0.5, "accuracy": 1.0}
