"""
What an output depends on
=========================

This tutorial asks a trained net how its output changes with each input, in the units of the data, and how sure that
answer is. It ends with a picture of the pixels that decide between two digits.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import fastmlp

# %%
# A function whose derivatives are known
# --------------------------------------
#
# The flow through a valve grows with the square root of the pressure drop, and with the opening. The third input has no
# part in it. Pressures are in pascal and openings in per cent: ``standardize=True`` lets the nets see scaled numbers,
# while inputs, predictions and derivatives keep their units.

rng = np.random.default_rng(0)
n = 2_000
pressure = rng.uniform(1e4, 1e5, n)
opening = rng.uniform(10, 90, n)
X = np.column_stack([pressure, opening, rng.uniform(0, 1, n)])
flow = 1e-3 * opening * np.sqrt(pressure) + rng.normal(0, 0.3, n)

nets = fastmlp.Population(
    (3, 16, 1),
    20,
    hidden_activation="tanh",
    standardize=True,
    random_state=0,
)
_ = nets.fit(X, flow, epochs=200, optimizer=fastmlp.Adam(0.01), verbose=0)

# %%
# ``input_gradient`` returns one derivative for each net, sample and input. Along a line of pressures at half opening,
# their mean follows the true derivative, and their spread says where the nets disagree: at the ends, where data end.

line = np.linspace(1e4, 1e5, 100)
along = np.column_stack([line, np.full(100, 50.0), np.full(100, 0.5)])
slopes = nets.input_gradient(along)[:, :, 0]  # (20 nets, 100 pressures)
mean, spread = slopes.mean(axis=0), slopes.std(axis=0)

fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.plot(line / 1e3, 1e3 * mean, label="mean of 20 nets")
ax.fill_between(
    line / 1e3, 1e3 * (mean - spread), 1e3 * (mean + spread), alpha=0.3
)
ax.plot(line / 1e3, 25.0 / np.sqrt(line), "k--", label="true derivative")
ax.set(xlabel="pressure in kPa", ylabel="flow per kPa")
_ = ax.legend()

# %%
# Inputs have different units, so that their derivatives cannot be compared. Times the standard deviation of the input,
# they can: by how much does the flow change when an input changes as much as it usually does?

effect = nets.input_gradient(X).mean(axis=0) * X.std(axis=0)
for name, size in zip(
    ["pressure", "opening", "third input"],
    np.abs(effect).mean(axis=0),
    strict=True,
):
    print(f"{name:12} {size:.2f}")

# %%
# Pixels
# ------
#
# Of a classifier, the gradient of a class's probability shows which pixels speak for it (red) and against it (blue).

digits = load_digits()
images, labels = digits.data / 16.0, digits.target
net = fastmlp.MLP(
    (64, 32, 10), loss="softmax_cross_entropy", random_state=0
)
net.fit(images, labels, epochs=30, batch_size=32, verbose=0)

fig, axes = plt.subplots(1, 4, figsize=(9, 2.6), layout="constrained")
for ax, digit in zip(axes, (0, 1, 3, 8), strict=True):
    gradient = net.input_gradient(images, output=digit).mean(axis=0)
    limit = np.abs(gradient).max()
    ax.imshow(
        gradient.reshape(8, 8), cmap="coolwarm", vmin=-limit, vmax=limit
    )
    ax.set(title=f"for a {digit}", xticks=[], yticks=[])

# %%
# ``net.jacobian(X)`` has the derivatives of all outputs at once. Derivatives say what the net does, which is what the
# data do only where there are data: between two inputs that always change together, a net may share an effect as it
# likes.

plt.show()
