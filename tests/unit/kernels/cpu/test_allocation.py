"""Buffers of one net: as many as its family, batches and threads need, and copies for threads that share none."""

from itertools import product

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.execution.dispatch import choose_shape
from fastmlp.execution.plan import describe_net
from fastmlp.kernels.cpu.allocation import make_workspace, thread_arrays, thread_copy
from fastmlp.kernels.structs import TrainState

SIZES, ROWS, SAMPLES = (64, 96, 64, 3), 100, 1000
DTYPE = np.dtype(np.float32)


def workspace(family, n_threads=1, shuffle=False, **settings):
    network = MLP(SIZES, **settings).network
    net = describe_net(network)
    return net, make_workspace(choose_shape(network, family, n_threads, ROWS), net, SAMPLES, shuffle, DTYPE)


@pytest.mark.parametrize("family", ("layerwise_data_parallel", "batch_simd_data_parallel"))
def test_buffers_that_threads_write_are_a_page_apart(family):
    """No cache line and no page is written by two threads, which would slow both."""
    net, ws = workspace(family, 2, True, dropout=0.1 * (family == "layerwise_data_parallel"))
    vectors, scalars = [np.zeros(net.n_padded, DTYPE) for _ in range(3)], [np.zeros(16) for _ in range(3)]
    states = TrainState(*vectors, *scalars), ws
    written = "params", "grads", "state", *thread_arrays(ws)
    mine, theirs = (
        {name: array for part in parts for name, array in part._asdict().items() if name in written}
        for parts in (states, thread_copy(*states, 1))
    )
    for one, other in product(mine.values(), theirs.values()):
        (a, a_end), (b, b_end) = map(np.lib.array_utils.byte_bounds, (one, other))
        assert a_end + 4096 <= b or b_end + 4096 <= a
