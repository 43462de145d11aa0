"""
Run the benchmark suite
=======================

This tutorial measures fastmlp on your machine: a quick benchmark that needs nothing else, how to read its table, what a
limit is, the whole suite with its competitors, and how to time a net of your own.
"""

import subprocess
import sys
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import fastmlp
from fastmlp.console.durations import duration

# %%
# The quick benchmark
# -------------------
#
# ``fastmlp bench`` compares fastmlp with training written by hand in NumPy. All of its groups take a minute or two; one
# group takes seconds.

done = subprocess.run(
    [sys.executable, "-m", "fastmlp", "bench", "xor"],
    capture_output=True,
    text=True,
    check=True,
)
print(done.stdout)

# %%
# How to read it
# --------------
#
# - Every program starts from the same parameters and must reach the same loss. One that does not is not timed.
# - The programs take turns, in rounds. A duration is the median over the rounds, a ratio the median of the ratios
#   within a round, in which a disturbance meets all programs.
# - The suite below also has a *limit* of a case: the time of what no program can leave out, such as the bare matrix
#   products. "1.3 x over the limit" means that the case takes 1.3 times as long.

# %%
# The whole suite
# ---------------
#
# The suite is in the repository. It compares with scikit-learn, PyTorch, JAX, Keras and NumPy, each written as its own
# experts would write it:
#
# .. code-block:: bash
#
#     pip install -e '.[bench]'
#     pytest bench --save new.json        # 20 minutes on two cores
#     pytest bench --quick                # 2 minutes
#     pytest bench --groups xor,large     # some groups; -k digits for some cases; --peers jax,torch for some libraries
#     python bench/tools/report.py new.json
#
# The results of the last full run on each processor are in ``bench/results``, and shown in
# :doc:`/explanation/performance`.

# %%
# A case of your own
# ------------------
#
# In the suite, a case is a row in a table of ``bench/suite/cases/``, such as this one of ``training.py``, which trains
# a net on the digits in batches of 32:
#
# .. code-block:: python
#
#     CaseEntry("digits32", "minibatch", ALL_FORMS, partial(_digits, "digits32", 32, 100), in_quick=True)
#
# Without the suite, the three rules are: measure the second fit (the first one may compile), take a median over
# several rounds, and have a limit beside it. Here the limit is the matrix products of the forward and the backward
# pass, by NumPy.

digits, classes = load_digits(return_X_y=True)
digits = (digits / 16).astype(np.float32)
sizes, rows, epochs = (64, 64, 32, 10), 32, 10
n_steps = epochs * -(-len(digits) // rows)
net = fastmlp.MLP(
    sizes, loss="softmax_cross_entropy", device="cpu", random_state=0
)
net.fit(digits, classes, epochs=1, batch_size=rows)


def products():
    """Compute the matrix products of one step, forward and backward."""
    for k, W in enumerate(weights):
        np.dot(a[k], W, out=a[k + 1])
    for k in reversed(range(len(weights))):
        np.dot(a[k].T, a[k + 1], out=gradients[k])
        if k:
            np.dot(a[k + 1], weights[k].T, out=a[k])


a = [np.full((rows, size), 0.01, np.float32) for size in sizes]
weights = [np.full(W.shape, 0.01, np.float32) for W in net.weights]
gradients = [np.empty_like(W) for W in weights]

ours, bare = [], []
for _ in range(7):
    history = net.fit(digits, classes, epochs=epochs, batch_size=rows)
    ours.append(history.training_seconds / n_steps)
    started = perf_counter()
    for _ in range(n_steps):
        products()
    bare.append((perf_counter() - started) / n_steps)
ratio = np.median(np.divide(ours, bare))
print(
    f"fastmlp {duration(np.median(ours))} per step, "
    f"bare products {duration(np.median(bare))}"
)
print(f"{ratio:.3g} times the products")

# %%
# The rounds show how far such figures can be trusted. On a busy machine a ratio may be anything, even below 1:

figure, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
for values, name, style in (
    (ours, "fastmlp, a step", "o-"),
    (bare, "bare products by NumPy", "s--"),
):
    ax.plot(range(1, 8), 1e6 * np.array(values), style, label=name)
ax.set(
    xlabel="round",
    ylabel="microseconds",
    ylim=(0, None),
    title="64-64-32-10, batch 32, Adam",
)
_ = ax.legend()

plt.show()
