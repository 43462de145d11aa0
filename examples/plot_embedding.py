"""
A wave along a column: periodic embeddings
==========================================

A plain net follows slow changes of a column first, and fast ones late or never. A periodic embedding gives each column
cosines of trained frequencies, from which fast changes are easily put together. Its setting `sigma` says how fast.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastmlp

rng = np.random.default_rng(0)
x = np.sort(rng.uniform(-1.7, 1.7, 400))[
    :, None
]  # of mean 0 and standard deviation 1
truth = np.sin(12 * x[:, 0]) + np.sign(x[:, 0])
y = truth + rng.normal(scale=0.2, size=len(x))

# %%
# Nets with the same hidden layers, without an embedding and with three values of sigma. Too small a value smooths like
# the plain net, and too large a one follows the noise.

embeddings = {
    "no embedding": None,
    "sigma=0.1": fastmlp.PeriodicEmbedding(16, 8, sigma=0.1),
    "sigma=1": fastmlp.PeriodicEmbedding(16, 8, sigma=1.0),
    "sigma=10": fastmlp.PeriodicEmbedding(16, 8, sigma=10.0),
}
figure, axes = plt.subplots(
    2, 2, figsize=(9, 6), sharex=True, sharey=True, layout="constrained"
)
for axis, (name, embedding) in zip(
    axes.flat, embeddings.items(), strict=True
):
    net = fastmlp.MLP(
        (1, 32, 32, 1), input_embedding=embedding, random_state=0
    )
    net.fit(
        x,
        y,
        epochs=100,
        batch_size=32,
        optimizer=fastmlp.Adam(0.003),
        verbose=0,
    )
    outputs = net.predict(x)[:, 0]
    axis.plot(x, y, ".", color="0.7", markersize=3)
    axis.plot(x, outputs)
    axis.set_title(
        f"{name}: RMSE to the truth {np.sqrt(np.mean((outputs - truth) ** 2)):.2f}"
    )

# %%
# The frequencies move in training, but not far: what sigma makes of them in the beginning matters.

net = fastmlp.MLP(
    (1, 32, 32, 1), input_embedding=embeddings["sigma=1"], random_state=0
)
before = np.sort(np.abs(net.weights[0][0])) / (2 * np.pi)
net.fit(
    x,
    y,
    epochs=100,
    batch_size=32,
    optimizer=fastmlp.Adam(0.003),
    verbose=0,
)
after = np.sort(np.abs(net.weights[0][0])) / (2 * np.pi)
print(
    "largest frequencies before:",
    before[-4:].round(2),
    "after:",
    after[-4:].round(2),
)

plt.show()
