"""
Activations side by side
========================

Trains the same net with six activations on two spirals that wind around each other, and draws what each has learned.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastmlp

rng = np.random.default_rng(0)
n = 150
radius = np.sqrt(rng.uniform(0.02, 1, (2, n)))
angle = 2 * np.pi * radius + np.array([[0], [np.pi]])
X = np.stack(
    [radius * np.cos(angle), radius * np.sin(angle)], axis=-1
).reshape(-1, 2)
X = 2 * X + rng.normal(0, 0.05, X.shape)
y = np.repeat([0, 1], n)

# %%
# All settings but the activation are the same; the initial weights suit the activation.

nets, histories = {}, {}
for activation in ("sigmoid", "tanh", "relu", "elu", "gelu", "softsign"):
    net = fastmlp.MLP(
        (2, 24, 24, 1),
        hidden_activation=activation,
        loss="binary_cross_entropy",
        random_state=0,
    )
    histories[activation] = net.fit(
        X, y, epochs=300, batch_size=30, optimizer=fastmlp.Adam(0.01)
    )
    nets[activation] = net
    print(f"{activation:9} loss {histories[activation].loss[-1]:.1e}")

# %%
# ReLU makes boundaries with corners, smooth activations make smooth ones. Each picture is of one net from one start; to
# compare activations, train a population with each.

figure, axes = plt.subplots(2, 3, figsize=(10, 6), layout="constrained")
for ax, (activation, net) in zip(axes.flat, nets.items(), strict=True):
    net.plot_boundary(X, y, ax=ax)
    ax.get_legend().remove()
    ax.set_title(activation, loc="left")

# %%
# The losses over the epochs:

figure, ax = plt.subplots(figsize=(6.8, 3.6), layout="constrained")
for (activation, history), style in zip(
    histories.items(), ("-", "--", "-.", ":", "-", "--"), strict=True
):
    ax.plot(history.loss, style, label=activation)
ax.set(yscale="log", xlabel="epoch", ylabel="loss")
_ = ax.legend(ncols=2)

plt.show()
