"""
A regression and its landscape
==============================

Fits a function of two inputs from noisy samples, draws what the net computes, predictions over true values, and the
loss around the parameters: the way that training took, and how steep the surroundings of its end are.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastmlp

rng = np.random.default_rng(0)


def ripple(X):
    r = 4 * np.hypot(X[:, 0], X[:, 1])
    return np.sinc(r / np.pi)


X, X_test = rng.uniform(-2, 2, (1000, 2)), rng.uniform(-2, 2, (500, 2))
y, y_test = ripple(X) + rng.normal(0, 0.05, len(X)), ripple(X_test)

# %%
# The loss is ``squared_error`` by default. Snapshots of the parameters are for the picture of the landscape.

snapshots = fastmlp.Snapshots()
net = fastmlp.MLP((2, 32, 32, 1), hidden_activation="tanh", random_state=0)
history = net.fit(
    X,
    y,
    epochs=300,
    batch_size=50,
    optimizer=fastmlp.Adam(0.005),
    schedule="cosine",
    validation_fraction=0.2,
    metrics=["r2"],
    callbacks=snapshots,
)
print(history)
rmse = net.evaluate(X_test, y_test)["loss"] ** 0.5
print(f"test RMSE {rmse:.4f}; the noise of the samples is 0.05")

# %%
# The output over the plane, and the targets as points on the same scale:

_ = net.plot_boundary(X, y)

# %%
# Predictions over true values of the test samples, which have no noise:

_ = fastmlp.plots.predictions(net, X_test, y_test)

# %%
# R² over the epochs:

_ = history.plot("r2")

# %%
# The loss in the plane that holds most of the way of the parameters. Contours are drawn on a logarithmic scale.

_ = fastmlp.plots.landscape(
    net, X[:300], y[:300], snapshots=snapshots, resolution=31
)

# %%
# The loss around the trained net, in two random directions that are scaled to the weights (Li et al. 2018, `Visualizing
# the loss landscape of neural nets <https://arxiv.org/abs/1712.09913>`_):

_ = fastmlp.plots.landscape(net, X[:300], y[:300], span=0.5, resolution=31)

plt.show()
