"""`fastmlp xor`: its four nets learn XOR, and the second one reaches published outputs."""

import numpy as np
import pytest
from reference_net import ReferenceMLP

from fastmlp import MLP, SGD
from fastmlp.commands.xor_demo import NETS, outputs_of_class_1
from fastmlp.data.xor import X, Y


@pytest.mark.parametrize("xor_net", NETS, ids=[net.title for net in NETS])
def test_each_demo_net_learns_xor(xor_net):
    net, history = xor_net.train(xor_net.seed)
    assert net.evaluate(X, Y)["accuracy"] == 1.0
    assert history.epochs == xor_net.training["epochs"]
    np.testing.assert_allclose(outputs_of_class_1(net), Y, atol=0.1)


def test_first_net_has_one_hot_outputs():
    net, _ = NETS[0].train(NETS[0].seed)
    np.testing.assert_allclose(net.predict(X), np.eye(2)[Y], atol=0.1)


def test_second_net_reaches_the_published_outputs():
    """0.008, 0.994, 0.991, 0.007, to within the effect of other initial weights."""
    net, _ = NETS[1].train(NETS[1].seed)
    np.testing.assert_allclose(outputs_of_class_1(net), [0.008, 0.994, 0.991, 0.007], atol=0.01)


def test_second_net_makes_the_published_step():
    """One step equals the gradients summed over the 4 samples, divided by 2, times 0.15, worked in NumPy."""
    net = MLP((2, 2, 2, 1), hidden_activation="sigmoid", loss="binary_cross_entropy", dtype="float64", random_state=1)
    reference = ReferenceMLP((2, 2, 2, 1), ("sigmoid",) * 3, "binary_cross_entropy", net.params)
    summed = sum(reference.loss_and_gradient(X[k : k + 1], Y[k : k + 1, None])[1] for k in range(4))
    optimizer = NETS[1].training["optimizer"]
    assert optimizer == SGD(0.30)
    net.fit(X, Y, epochs=1, optimizer=optimizer, verbose=0)
    np.testing.assert_allclose(net.params, reference.params - 0.15 * summed / 2, rtol=1e-12)
