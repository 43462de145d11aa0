"""
A sweep over settings
=====================

Draws 60 configurations of a net at random, scores each by cross-validation, and trains the best one on all samples.
Configurations that differ only in numbers are trained as one population.
"""

import matplotlib.pyplot as plt
from scipy.stats import loguniform
from sklearn.datasets import make_moons

import fastmlp

X, y = make_moons(400, noise=0.25, random_state=0)

# %%
# A list is a set of choices, a frozen distribution of SciPy a range.

space = {
    "hidden_layer_sizes": [(4,), (16,), (16, 16)],
    "hidden_activation": "tanh",
    "learning_rate": loguniform(1e-4, 1.0),
    "l2": loguniform(1e-6, 1e-1),
}
found = fastmlp.sweep(X, y, space, n=60, cv=5, epochs=60, random_state=0)
print(found.summary(top=8))

# %%
# A table has a row for each configuration, the best first.

table = found.to_frame()
print(table.head(3).to_string())

# %%
# The score over the learning rate. Bars are the standard deviations over the folds: differences of less than that mean
# little.

figure, ax = plt.subplots(figsize=(6.8, 3.8), layout="constrained")
for sizes, marker in (((4,), "o"), ((16,), "s"), ((16, 16), "^")):
    rows = table[
        [settings == sizes for settings in table["hidden_layer_sizes"]]
    ]
    ax.errorbar(
        rows["learning_rate"],
        rows["accuracy"],
        rows["SD"],
        fmt=marker,
        alpha=0.7,
        elinewidth=0.7,
        label="-".join(map(str, sizes)),
    )
ax.set(
    xscale="log",
    xlabel="learning rate",
    ylabel="accuracy, mean over five folds",
)
_ = ax.legend(title="hidden layers")

# %%
# The best net, trained on all samples. Its accuracy below is on these samples; only samples that the sweep has not seen
# give a fair one, since the best score of 60 is too good as well.

_ = found.best.plot_boundary(X, y)
print(found.best_settings)
print(found.best.evaluate(X, y))

plt.show()
