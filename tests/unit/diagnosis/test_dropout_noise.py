"""Dropout noise: the effect of random masks on loss and outputs, compared with recorded losses."""

import numpy as np
import pytest
import toy_data as data

from fastmlp import MLP, SGD
from fastmlp.diagnosis.dropout_noise import draw_masks
from fastmlp.diagnosis.model_under_test import model_of_fastmlp

X, Y = data.moons(0)[0], data.moons(0)[1][:, None].astype(float)


def net(dropout, *hidden):
    return MLP((2, *hidden, 1), hidden_activation="tanh", loss="binary_cross_entropy", dropout=dropout, random_state=1)


def drawn(mlp, dropout):
    return draw_masks(model_of_fastmlp(mlp.network, mlp.params[None], 0.0, dropout), X, Y)


def test_without_dropout_there_is_no_mask_noise():
    assert np.stack(drawn(net(0.0, 8), 0.0)).tolist() == [[0.0]] * 3


@pytest.mark.parametrize("dropout", [0.2, 0.5, [0.9, 0.0]])
def test_mask_noise_equals_the_noise_of_recorded_losses(dropout):
    """At a learning rate too small to change a parameter, records differ by their masks alone."""
    mlp = net(dropout, 8, 8)
    records = mlp.fit(X, Y, epochs=300, optimizer=SGD(1e-12), verbose=0).loss
    found = drawn(mlp, np.asarray(mlp.network.dropout)[None])
    assert found.mask_noise[0] == pytest.approx(records.std(), rel=0.4)
    assert found.mask_loss[0] == pytest.approx(records.mean(), abs=records.std())


def test_share_of_output_variance_by_masks_grows_with_the_rate():
    """A higher rate raises the masks' share of the output variance; constant outputs have a share of 0."""
    shares = [drawn(net(rate, 16), rate).mask_share[0] for rate in (0.05, 0.5, 0.95)]
    assert 0 < shares[0] < 0.2 < 0.6 < shares[1] < 0.9 < shares[2] < 1
    silent = net(0.5, 4)
    silent.params[:] = 0
    assert drawn(silent, 0.5).mask_share[0] == 0


def test_mask_noise_follows_each_nets_rate():
    mlp = net(0.5, 8)
    params = np.repeat(mlp.params[None], 3, axis=0)
    subject = model_of_fastmlp(mlp.network, params, 0.0, np.array([[0.0], [0.3], [0.8]]))
    noise = draw_masks(subject, X, Y).mask_noise
    assert noise[0] == 0
    assert 0 < noise[1] < noise[2]
    assert draw_masks(subject.of_nets(slice(2, 3)), X, Y).mask_noise[0] == pytest.approx(noise[2], rel=0.4)
