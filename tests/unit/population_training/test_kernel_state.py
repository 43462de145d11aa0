"""fastmlp.population_training.kernel_state: settings and results of each net, as kernels take them."""

import numpy as np

from fastmlp.kernels.structs import NET_HYPER, NO_EPOCH
from fastmlp.optimizers import SGD, Adam
from fastmlp.population_training.kernel_state import evaluation_state, hyper_table


def test_equal_settings_have_one_row():
    table = hyper_table(Adam(0.01), 0.0, 5)
    assert table.shape == (1, len(NET_HYPER))
    assert table[0, NET_HYPER.index("learning_rate")] == 0.01


def test_settings_per_net_have_a_row_each():
    table = hyper_table(SGD(np.array([0.1, 0.2, 0.3])), 0.5, 3)
    np.testing.assert_array_equal(table[:, NET_HYPER.index("learning_rate")], [0.1, 0.2, 0.3])
    assert (table[:, NET_HYPER.index("l2")] == 0.5).all()


def test_an_evaluation_reads_params_and_writes_loss_and_accuracy():
    params, loss, accuracy = np.zeros((4, 7)), np.empty(4), np.empty(4)
    nets = evaluation_state(params, (0, 5, 0), np.array([1, 3]), loss, accuracy)
    assert (nets.n_nets, nets.n_params, nets.n_members, nets.n_records) == (4, 7, 2, 0)
    assert np.shares_memory(nets.params, params)
    assert nets.loss is loss
    assert nets.accuracy is accuracy
    assert nets.own_data, "nets have targets of their own"
    assert nets.record_epochs.tolist() == [NO_EPOCH]
