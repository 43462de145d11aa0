"""
A regression
============

Fits a function of two inputs from noisy samples, and draws what the net computes and predictions over true values.
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
# The loss is ``squared_error`` by default.

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

plt.show()
