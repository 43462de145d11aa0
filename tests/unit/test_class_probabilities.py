"""Class probabilities and their logarithms, compared with SciPy's in float64 at known logits."""

import numpy as np
import pytest
from scipy.special import expit, log_expit, log_softmax, softmax

from fastmlp import MLP, Population
from fastmlp.class_probabilities import likeliest, log_probabilities, logits, probabilities

FAR = np.array([-200.0, -40.0, -17.0, -1.0, 0.0, 1e-8, 1.0, 16.9, 17.0, 40.0, 200.0], np.float32)


def one_input_net(n_outputs, weights, **settings):
    """A net of one input, whose logits are the input times `weights`."""
    net = MLP((1, n_outputs), random_state=0, **settings)
    net.params = np.r_[weights, np.zeros(n_outputs)]
    return net


def test_binary_probabilities_equal_expit_of_both_signs_of_the_logit():
    net = one_input_net(1, [1.0], loss="binary_cross_entropy")
    z = FAR.astype(np.float64)
    np.testing.assert_allclose(probabilities(net, FAR[:, None]), np.c_[expit(-z), expit(z)], rtol=1e-13)
    np.testing.assert_allclose(log_probabilities(net, FAR[:, None]), np.c_[log_expit(-z), log_expit(z)], rtol=1e-13)
    assert likeliest(net, FAR[:, None]).tolist() == (FAR > 0).astype(int).tolist()
    assert likeliest(net, FAR[:, None], is_multilabel=True).shape == (11, 1)


def test_probabilities_rank_samples_where_float32_outputs_saturate():
    """Float32 outputs above a logit of 17 are all 1."""
    net = one_input_net(1, [1.0], loss="binary_cross_entropy")
    X = np.linspace(15.0, 23.0, 60)[:, None]
    assert len(np.unique(net.predict(X))) < 40
    p = probabilities(net, X)
    assert (np.diff(p[:, 1]) > 0).all()
    assert (np.diff(p[:, 0]) < 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-15)


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_softmax_probabilities_equal_scipys(dtype):
    net = one_input_net(3, [1.0, -0.5, 0.25], loss="softmax_cross_entropy", dtype=dtype)
    z = FAR.astype(np.float64)[:, None] * [1.0, -0.5, 0.25]
    np.testing.assert_allclose(probabilities(net, FAR[:, None]), softmax(z, axis=1), rtol=1e-13)
    np.testing.assert_allclose(log_probabilities(net, FAR[:, None]), log_softmax(z, axis=1), rtol=1e-12, atol=1e-15)
    assert likeliest(net, FAR[[0, -1], None]).tolist() == [1, 0]


def test_sigmoid_outputs_are_label_probabilities_or_normalised_to_shares():
    net = one_input_net(2, [1.0, -1.0], loss="squared_error", output_activation="sigmoid")
    z = FAR.astype(np.float64)[:, None] * [1.0, -1.0]
    np.testing.assert_allclose(probabilities(net, FAR[:, None], is_multilabel=True), expit(z), rtol=1e-13)
    shares = expit(z) / expit(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities(net, FAR[:, None]), shares, rtol=1e-13)
    assert likeliest(net, FAR[:, None], is_multilabel=True).tolist() == (z > 0).tolist()


def test_overflowing_logits_give_no_nan():
    net = one_input_net(3, [1e30, 1e30, -1e30], loss="softmax_cross_entropy")
    assert probabilities(net, [[1e30]]).tolist() == [[0.5, 0.5, 0.0]]
    net = one_input_net(1, [1e30], loss="binary_cross_entropy")
    assert probabilities(net, [[1e30]]).tolist() == [[0.0, 1.0]]
    assert log_probabilities(net, [[1e30]])[0, 0] == -np.inf


@pytest.mark.parametrize("loss, n_outputs", (("binary_cross_entropy", 1), ("softmax_cross_entropy", 3)))
@pytest.mark.parametrize("n_nets", (3, 40))
def test_population_probabilities_are_the_mean_over_its_nets(loss, n_outputs, n_nets, rng):
    nets = Population((4, 5, n_outputs), n_nets, loss=loss, random_state=0)
    X = rng.normal(size=(20, 4))
    mean = np.mean([probabilities(nets.net(k), X) for k in range(n_nets)], axis=0)
    np.testing.assert_allclose(probabilities(nets, X), mean, rtol=1e-5)
    np.testing.assert_allclose(log_probabilities(nets, X), np.log(mean), rtol=1e-5)
    np.testing.assert_array_equal(likeliest(nets, X), mean.argmax(axis=1))
    nets.params = 1e3 * nets.params
    assert np.isfinite(log_probabilities(nets, X)).all()


def test_logits_follow_changed_parameters_and_leave_the_net_unchanged(rng):
    """`logits` and `predict` in turn, one row each: the buffers that one call leaves behind do not reach the other."""
    net, x = MLP((2, 3, 1), loss="binary_cross_entropy", random_state=0), rng.normal(size=(1, 2))
    for _ in range(4):
        z, p = logits(net, x), net.predict(x)
        assert float(p[0, 0]) == pytest.approx(expit(float(z[0, 0])), rel=1e-6)
    net.params = 2.0 * net.params
    assert logits(net, x) != z
    assert net.network.output_row.name == "sigmoid"
