"""`Population` as a sequence of nets: length, indexing, iteration."""

import numpy as np
import pytest

from fastmlp import MLP, Population


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
