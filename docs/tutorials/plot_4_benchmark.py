"""
Run the benchmark suite
=======================

This tutorial measures fastmlp on your machine: a quick benchmark that needs nothing else, how to read its table, what a
limit is, the whole suite with its competitors, and how to time a net of your own.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import fastmlp
from fastmlp.benchmarks import result_files, result_statistics
from fastmlp.benchmarks.result_texts import label, times
from fastmlp.console.durations import duration

# %%
# The quick benchmark
# -------------------
#
# ``fastmlp bench`` compares fastmlp with training written by hand in NumPy. All of its groups take a minute or two; one
# group takes seconds. It prints a summary and writes a page, a Markdown file and the durations as JSON.

with tempfile.TemporaryDirectory() as folder:
    options = ["bench", "xor", "--output", "bench.html"]
    command = [sys.executable, "-m", "fastmlp", *options]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=True
    )
    quick = result_files.load(Path(folder, "bench.json"))
print(done.stdout)

# %%
# How to read it
# --------------
#
# - Every program starts from the same parameters and must reach the same loss. One that does not is not timed.
# - The programs take turns, in rounds. A duration is the median over the rounds, a ratio the median of the ratios
#   within a round, in which a disturbance meets all programs.
# - A warning says when other programs were busy. Do not quote durations from such a run.
#
# The file has the duration of every round:

for row in quick["results"][0]["rows"]:
    rounds = ", ".join(duration(seconds) for seconds in row["seconds"])
    print(f"{label(row['name']):10} per epoch: {rounds}")

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
# The results of the last full run on each processor are kept in ``bench/results``. Without a checkout of the
# repository, the plots below show the quick run instead.

folder = Path(fastmlp.__file__).parents[2] / "bench" / "results"
full_runs = [result_files.load(path) for path in folder.glob("cpu-*.json")]
results = max(full_runs, key=lambda run: run["finished"], default=quick)
machine = results["machine"]
print(f"{machine['processor']}, {machine['cpus']} CPUs")
print(results["finished"][:10])
print(
    ", ".join(
        f"{name} {version}" for name, version in machine["versions"].items()
    )
)

# %%
# Limits
# ------
#
# A competitor may be slow, so a ratio to it says little about what is left to gain. The *limit* of a case is the time
# of what no program can leave out: the bare matrix products, multiply-adds in registers, or memory traffic, timed like
# a competitor. "1.3 x over the limit" means that the case takes 1.3 times as long as its limit. Each line of the plot
# is a case, and the limit is at 1.

styles = {
    "fastmlp": ("o", "C3"),
    "jax": ("s", "C0"),
    "torch": ("D", "C1"),
    "keras": ("P", "C4"),
    "sklearn": ("X", "C2"),
    "numpy": ("^", "C7"),
}
groups = ("xor", "population", "minibatch", "large")
shown = [
    result for result in results["results"] if result["group"] in groups
]
height = 1.4 + 0.25 * len(shown)
figure, ax = plt.subplots(figsize=(7.6, height), layout="constrained")
handles = {}
for k, result in enumerate(reversed(shown)):
    ours = result_statistics.ours(result)
    limit = (
        result_statistics.limit(result) or ours
    )  # a quick run may have none
    drawn = set()
    for row in [*result_statistics.timed(result, "peer"), ours]:
        library = row["name"].split()[0]
        if library in drawn:  # rows are sorted: its fastest form is drawn
            continue
        drawn.add(library)
        marker, colour = styles[library]
        over = result_statistics.ratio(row, limit).median
        (handles[library],) = ax.plot(over, k, marker, color=colour)
ax.axvline(1, color="0.4", linestyle="--", linewidth=1)
titles = [result["title"] for result in reversed(shown)]
ax.set_yticks(range(len(shown)), titles, fontsize=8)
ax.set(xscale="log", xlabel="time, as a multiple of the limit")
ax.grid(axis="y", color="0.93")
names = [label(library) for library in handles]
_ = figure.legend(
    handles.values(), names, ncols=3, loc="outside lower center", fontsize=9
)

# %%
# The ratios behind the plot, to the best competitor and to the limit, for the group XOR:

for result in shown:
    if result["group"] == "xor":
        over = result_statistics.to_limit(result)
        ahead = result_statistics.to_best_peer(result)
        ours = duration(
            result_statistics.median(result_statistics.ours(result))
        )
        print(f"{result['title']}: {ours} per {result['unit']}")
        if ahead:
            peer = label(result_statistics.best_peer(result)["name"])
            print(f"  {peer} takes {times(ahead.median)} times as long")
        if over:
            print(f"  {times(over.median)} times the limit")

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
print(f"{times(ratio)} times the products")

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
