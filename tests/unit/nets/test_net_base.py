"""fastmlp.nets.net_base: what MLP and Population share."""

import copy
import pickle

import numpy as np
import pytest

from fastmlp import MLP, Population


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


# ---- a population as a sequence of nets


@pytest.fixture
def pop():
    return Population((2, 3, 1), 5, random_state=0)


def test_population_supports_len_indexing_and_iteration(pop):
    assert len(pop) == 5
    assert isinstance(pop[2], MLP)
    np.testing.assert_array_equal(pop[2].params, pop.params[2])
    np.testing.assert_array_equal(pop[-1].params, pop.params[4])
    np.testing.assert_array_equal(pop[np.int64(1)].params, pop.params[1])
    np.testing.assert_array_equal([net.params for net in pop], pop.params)
    np.testing.assert_array_equal([net.params for net in pop[1:4:2]], pop.params[1:4:2])
    assert pop[5:] == []
    np.testing.assert_array_equal([net.params for net in reversed(pop)], pop.params[::-1])


def test_indexed_net_is_a_copy(pop):
    pop[0].params[:] = 7.0
    assert not (pop.params[0] == 7.0).any()


@pytest.mark.parametrize("k", (5, -6))
def test_index_out_of_range_raises(pop, k):
    with pytest.raises(IndexError, match=r"There is no net .*: the population has nets 0 to 4"):
        pop[k]


@pytest.mark.parametrize("k", (1.0, "best", None, True, [0, 1], (0, 1), np.array([True] * 5)), ids=str)
def test_invalid_index_types_raise(pop, k):
    with pytest.raises(TypeError, match=r"by a net's number or by a slice.*pop\.predict"):
        pop[k]
