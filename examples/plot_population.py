"""
Statistics of 10,000 nets
=========================

Trains 10,000 small nets on XOR in one call, each from its own start and with its own learning rate: how many learn it,
how soon, at which learning rates, and what the others compute.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import loguniform

import fastmlp
from fastmlp.convergence import wilson_interval

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
y = np.array([0, 1, 1, 0])

# %%
# A setting of the optimiser may be a distribution, from which a number is drawn for each net. A net has converged when
# each of its outputs is within 40 % of the output's range of its target, here within 0.4.

pop = fastmlp.Population(
    (2, 2, 1),
    n_nets=10_000,
    hidden_activation="tanh",
    loss="binary_cross_entropy",
    random_state=0,
)
result = pop.fit(
    X,
    y,
    epochs=500,
    optimizer=fastmlp.SGD(loguniform(0.03, 30)),
    converged="40-20-40",
)
print(result.summary())

# %%
# The epochs that the nets took:

_, ax = plt.subplots()
ax.hist(result.epoch_statistics.times, bins=40)
ax.set(xlabel="epochs to converge", ylabel="nets")

# %%
# The fraction of nets that learn it, by learning rate, with 95 % intervals. Below the best range a net is too slow for
# 500 epochs; above it, the first steps throw nets onto plateaus.

rates = result.settings["learning_rate"]
edges = np.geomspace(0.03, 30, 25)
bins = np.digitize(rates, edges) - 1
figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for k in range(len(edges) - 1):
    inside = result.converged[bins == k]
    low, high = wilson_interval(int(inside.sum()), len(inside))
    centre = np.sqrt(edges[k] * edges[k + 1])
    ax.plot(
        [centre, centre], [low, high], color="C0", alpha=0.5, linewidth=3
    )
    ax.plot(centre, inside.mean(), "o", color="C0")
_ = ax.set(
    xscale="log",
    ylim=(0, 1),
    xlabel="learning rate",
    ylabel="fraction converged after 500 epochs",
)

# %%
# What the nets have become: :func:`fastmlp.diagnose` gives each net a verdict.

some = fastmlp.Population(
    (2, 2, 1),
    n_nets=500,
    hidden_activation="tanh",
    loss="binary_cross_entropy",
    random_state=1,
)
some.fit(X, y, epochs=500, optimizer=fastmlp.SGD(3.0))
found = fastmlp.diagnose(some, X, y)
print(found)

plt.show()
