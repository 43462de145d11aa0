"""Layout of the flat parameter vector: per layer W row by row, then b, as documented."""

from itertools import pairwise

import numpy as np
import pytest

from fastmlp.network.parameter_layout import PADDING, Layout


@pytest.mark.parametrize("sizes", ((1, 1), (2, 3, 1), (4, 1, 1, 5), (3, 16, 17, 2)))
def test_views_cover_the_vector_in_order(sizes):
    layout = Layout(sizes)
    params = np.arange(layout.n_params)
    weights, biases = layout.weights(params), layout.biases(params)
    parts = [part.reshape(-1) for pair in zip(weights, biases, strict=True) for part in pair]
    np.testing.assert_array_equal(np.concatenate(parts), params)
    assert [W.shape for W in weights] == list(pairwise(sizes))
    assert [b.shape for b in biases] == [(size,) for size in sizes[1:]]
    assert [W[0, 0] for W in weights] == list(layout.weight_offsets)
    assert [b[0] for b in biases] == list(layout.bias_offsets)
    assert layout.n_padded % PADDING == 0
    assert 0 <= layout.n_padded - layout.n_params < PADDING
    padded = layout.padded(np.float32)
    assert (padded.dtype, padded.shape) == (np.float32, (layout.n_padded,))
