"""
A stuck net: inputs that are not scaled
=======================================

A net of tanh units does not learn from a table with an income in it. The example looks inside the net, asks
:func:`fastmlp.diagnose` for the reason, follows the remedy, and looks again.
"""

# sphinx_gallery_thumbnail_number = 2
import matplotlib.pyplot as plt
import numpy as np

import fastmlp

rng = np.random.default_rng(0)
n = 300
age, income = rng.uniform(18, 80, n), rng.lognormal(10.3, 0.5, n)
X = np.c_[age, income]
y = ((age - 45) * (np.log(income) - 10.3) > 0).astype(int)


def train(X):
    """Return a trained net and its history."""
    net = fastmlp.MLP(
        (2, 16, 16, 1),
        hidden_activation="tanh",
        loss="binary_cross_entropy",
        random_state=0,
    )
    history = net.fit(
        X, y, epochs=200, batch_size=50, optimizer=fastmlp.Adam(0.01)
    )
    return net, history


net, history = train(X)
print(
    f"accuracy {net.evaluate(X, y)['accuracy']:.3f}, "
    f"loss from {history.loss[0]:.3f} to {history.loss[-1]:.3f}"
)

# %%
# The diagnosis
# -------------

found = fastmlp.diagnose(net, X, y, history)
print(found)

# %%
# Inside the net
# --------------
#
# The activations of the first hidden layer, a column for each unit and a row for each of 60 samples. A unit with one
# colour in all rows tells nothing about the sample.


def draw_activations(ax, net, X, title):
    a = np.tanh(X[:60] @ net.weights[0] + net.biases[0])
    image = ax.imshow(
        a,
        aspect="auto",
        cmap="RdBu",
        vmin=-1,
        vmax=1,
        interpolation="nearest",
    )
    saturated = np.mean(np.abs(a) > 0.975)
    ax.set(
        xlabel="unit of the first hidden layer",
        ylabel="sample",
        title=f"{title}: {saturated:.0%} saturated",
    )
    return image


figure, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
_ = figure.colorbar(
    draw_activations(ax, net, X, "Raw inputs"), label="activation"
)

# %%
# The remedy
# ----------
#
# An income in the ten thousands makes every tanh unit answer -1 or 1. Each input is brought to mean 0 and standard
# deviation 1:

scaled = (X - X.mean(axis=0)) / X.std(axis=0)
cured, cured_history = train(scaled)
print(f"accuracy {cured.evaluate(scaled, y)['accuracy']:.3f}")
print(fastmlp.diagnose(cured, scaled, y, cured_history))

figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.4), layout="constrained")
draw_activations(axes[0], net, X, "Raw inputs")
image = draw_activations(axes[1], cured, scaled, "Scaled inputs")
_ = figure.colorbar(image, ax=axes, label="activation")

# %%
# Both losses in one plot:

figure, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
ax.plot(history.loss, "--", label="raw inputs")
ax.plot(cured_history.loss, label="scaled inputs")
ax.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
_ = ax.legend()

# %%
# And what the second net has learned:

_ = cured.plot_boundary(
    scaled, y, feature_names=["age, scaled", "income, scaled"]
)

plt.show()
