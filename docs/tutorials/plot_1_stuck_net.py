"""
Why does my XOR net answer [0.5, 0.5]?
======================================

This tutorial finds out why a hand-written net is stuck at 0.5, repairs it, and looks at what else can stop a small net
from learning XOR: the loss, the optimiser, and an unlucky start.

The question was asked on Stack Overflow under the title *Output layer is stuck at [0.5,0.5] vector. Can anyone help in
understanding if there's any problem with the code?* (`a copy <https://www.mejorcodigo.com/p/9820.html>`_). Its author
writes backpropagation by hand, in a class. The data are the four samples of XOR; a target is a vector with a 1 for the
right class and a 0 for the other one. Weights and biases come from ``rnd.rand``, which draws from 0 to 1. After each
epoch the program prints the outputs, and whatever the input is, they stay at 0.5 and 0.5. fastmlp began with this
question.
"""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit

import fastmlp
from fastmlp.commands.stuck_demo import BUGS, CURED, trained, verdict_on

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
y = np.array([0, 1, 1, 0])
one_hot = np.eye(2)[y]

# %%
# A net that sticks
# -----------------
#
# Here is such a net, in the style of the question: sigmoids, squared error, an update after each sample. One line is
# wrong; look for it before you go on.


def sigmoid(z):
    return 1 / (1 + np.exp(-expit(z)))


rng = np.random.default_rng(0)
sizes = (2, 4, 4, 2)
weights = [
    rng.uniform(-1, 1, (fan_in, fan_out))
    for fan_in, fan_out in pairwise(sizes)
]
biases = [rng.uniform(-1, 1, fan_out) for fan_out in sizes[1:]]


def forward(x):
    """Return the activations of all layers, inputs first."""
    activations = [x]
    for W, b in zip(weights, biases, strict=True):
        activations.append(sigmoid(activations[-1] @ W + b))
    return activations


def step(x, target, learning_rate=1.0):
    """Update the parameters after one sample, and return its loss."""
    activations = forward(x)
    error = activations[-1] - target
    delta = error * activations[-1] * (1 - activations[-1])
    for k in reversed(range(len(weights))):
        a = activations[k]
        delta_below = (weights[k] @ delta) * a * (1 - a)
        weights[k] -= learning_rate * np.outer(a, delta)
        biases[k] -= learning_rate * delta
        delta = delta_below
    return np.mean(error**2)


losses = [
    np.mean([step(x, target) for x, target in zip(X, one_hot, strict=True)])
    for _ in range(1000)
]
for x, target, output in zip(X, one_hot, forward(X)[-1], strict=True):
    print(f"input {x}  target {target}  output {output.round(3)}")
print(f"loss of the first epoch {losses[0]:.3f}, last {losses[-1]:.3f}")

# %%
# After 1,000 epochs the outputs are 0.501, for each of the four inputs and for both classes.
#
# What the diagnosis says
# -----------------------
#
# :func:`fastmlp.diagnose` takes nets of fastmlp and of other libraries, weights as arrays, or a forward function, of
# which it knows nothing but the outputs. With the data and the losses of the training, that is enough here. The
# function gets all samples at once and returns a row of outputs for each.

found = fastmlp.diagnose(
    lambda samples: forward(samples)[-1], X, one_hot, losses
)
print(found)

# %%
# The verdict is that the outputs cannot reach the targets. The range in the evidence points to the line: ``expit`` is
# the sigmoid, and ``1 / (1 + np.exp(-expit(z)))`` is the sigmoid of a sigmoid. A number between 0 and 1 goes into the
# outer one, and its output lies between 0.5 and 0.731. The target 0 is out of reach, and the loss is smallest where all
# outputs press against 0.5.
#
# For your own net, :doc:`/diagnosis` shows what to pass.
#
# Five bugs, one by one
# ------------------------
#
# There are several ways to 0.5. The command ``fastmlp xor --stuck`` has a net with five bugs, one at a time, and the
# module behind it can be imported:
#
# 1. **A double sigmoid**, as above.
# 2. **Positive weights.** Weights from 0 to 1, as ``rnd.rand`` draws them, make all units increase with all inputs. At
#    the start, three layers of them answer nearly the same to every input, and there is little to learn from.
# 3. **Updated activations.** A loop that subtracts gradients from "all variables" also subtracts them from the
#    activations, and in the first layer these are the data. The loss that is recorded falls, but it belongs to inputs
#    that the program has overwritten.
# 4. **The wrong sign.** ``y - output`` in place of ``output - y`` climbs the loss. The outputs end at 1, not at 0.5.
# 5. **Independent outputs.** Two sigmoids with squared error for two classes of which one is right. No line is wrong in
#    it, and all nets of this part have such outputs, but at a learning rate of 0.3 the net stays long at 0.5, where a
#    softmax with cross-entropy learns.
#
# For each of them: the wrong line, the right line, the outputs for class 1, and the verdict.

curves = {}
for bug in BUGS:
    net, curves[bug.name] = trained(bug)
    found = verdict_on(net, curves[bug.name])
    print(f"{bug.name}\n  - {bug.wrong}\n  + {bug.corrected}")
    print(f"  outputs {net.predict(X)[:, 1].round(2)}, wanted {y}")
    print(f"  verdict: {found.title}\n")

# %%
# With none of the four wrong lines, the net learns even with two independent outputs, if its learning rate is 2 and it
# trains for 4,000 epochs:

net, curves["no wrong line"] = trained(CURED)
print(net.predict(X).round(3))
print(verdict_on(net, curves["no wrong line"]).verdict)

# %%
# The losses alone do not tell the bugs apart. Three of the curves end near 0.25, the loss of outputs of 0.5, and the
# curve of the updated activations falls like that of a net that learns. The nets have different learning rates and
# numbers of epochs, those at which a bug shows best.

figure, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
styles = ("-", "--", "-.", ":", (0, (6, 2, 1, 2, 1, 2)), "-")
for (name, curve), style in zip(curves.items(), styles, strict=True):
    last = name == "no wrong line"
    ax.plot(
        1 + np.arange(len(curve)),
        curve,
        linestyle=style,
        linewidth=2.4 if last else 1.4,
        label=name,
    )
ax.set(
    xscale="log",
    yscale="log",
    xlabel="epoch",
    ylabel="recorded loss",
    title="Six hand-written nets",
)
_ = ax.legend(fontsize=8, loc="lower left")

# %%
# The net of the answer, and its learning rate
# --------------------------------------------
#
# The answer to the question builds a smaller net: 2-2-2-1, sigmoids, one output, cross-entropy, 5,000 epochs of
# gradient descent on all four samples at once, learning rate 0.15. To train it here, the learning rate must be
# translated, because a learning rate means nothing without the loss that it belongs to:
#
# - The answer adds up the gradients of the four samples and divides the sum by 2.
# - Every loss of fastmlp is a mean over samples and, except for softmax cross-entropy, over outputs, without a factor
#   of one half. Here that is a mean over 4 samples and 1 output: the sum is divided by 4.
#
# A step of 0.15 × sum / 2 is a step of 0.30 × sum / 4. The rate of 0.15 there is a rate of 0.30 here.

settings = {
    "hidden_activation": "sigmoid",
    "loss": "binary_cross_entropy",
    "random_state": 50,
}
net = fastmlp.MLP((2, 2, 2, 1), **settings)
_, gradient = net.loss_and_gradient(X, y)
total = sum(
    net.loss_and_gradient(X[k : k + 1], y[k : k + 1])[1] for k in range(4)
)
print(
    "the same step:",
    np.allclose(0.15 * total / 2, 0.30 * gradient, rtol=1e-4, atol=1e-7),
)

# %%
# The rules for squared error: a net written by hand usually takes the error ``a - y`` as the derivative, which is that
# of ``½ Σ (a - y)²``. The mean over two outputs of ``(a - y)²`` has the derivative ``2 (a - y) / 2``, the same: with
# one-hot targets of two classes and an update per sample, rates need no translation. With one output, and a batch of n
# samples whose gradients are added up, multiply the rate by ``n / 2``.
#
# 5,000 epochs of this net take milliseconds:

history = net.fit(X, y, epochs=5000, optimizer=fastmlp.SGD(0.30))
print(net.predict(X).ravel().round(3))
print(history)

# %%
# The answer reports 0.008, 0.994, 0.991 and 0.007, from other initial weights.
#
# To see every epoch, as the question printed it, pass ``verbose=2``. A callback prints what else you want to see.

net.reset()
history = net.fit(X, y, epochs=8, optimizer=fastmlp.SGD(0.30), verbose=2)


def print_outputs(epoch, history):
    if (epoch + 1) % 1000 == 0:
        outputs = history.net.predict(X).ravel()
        print(f"epoch {epoch + 1}  outputs {outputs.round(3)}")


net.reset()
history = net.fit(
    X, y, epochs=5000, optimizer=fastmlp.SGD(0.30), callbacks=print_outputs
)

# %%
# Mean squared error or cross-entropy
# -----------------------------------
#
# The answer changed the loss, too. Both losses start from the same weights here, with the same rate, and both are
# measured by the same figure, the mean squared error, which ``metrics=`` records.

figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for loss, style in (("squared_error", "--"), ("binary_cross_entropy", "-")):
    net = fastmlp.MLP(
        (2, 2, 2, 1),
        **{**settings, "loss": loss, "output_activation": "sigmoid"},
    )
    history = net.fit(
        X,
        y,
        epochs=5000,
        optimizer=fastmlp.SGD(0.30),
        metrics=["squared_error"],
    )
    print(f"{loss:22} outputs {net.predict(X).ravel().round(3)}")
    ax.plot(
        history.metrics["squared_error"],
        linestyle=style,
        label=f"trained with {loss}",
    )
ax.set(
    xlabel="epoch",
    ylabel="mean squared error",
    ylim=(0, 0.3),
    title="One start, two losses",
)
_ = ax.legend()

# %%
# With cross-entropy, the derivative with respect to the logit is ``a - y``. With squared error it is
# ``2 (a - y) a (1 - a)``: the last two factors are at most ¼ together, and near 0 where the output is sure of the wrong
# class. On a plateau the squared error moves at most half as fast, and it may need many times the epochs.
#
# The same nets as Keras users write them
# ---------------------------------------
#
# Keras users meet the same problem. Two nets for XOR, with one and with two outputs:
#
# .. code-block:: python
#
#     model = keras.Sequential([
#         keras.Input((2,)),
#         keras.layers.Dense(4, activation="relu"),
#         keras.layers.Dense(4, activation="relu"),
#         keras.layers.Dense(1, activation="sigmoid"),     # or Dense(2, activation="softmax")
#     ])
#     model.compile(optimizer=keras.optimizers.Adam(0.001),
#                   loss="binary_crossentropy",            # or "sparse_categorical_crossentropy"
#                   metrics=["accuracy"])
#     history = model.fit(X, y, epochs=5000, verbose=0)
#
# In fastmlp they look as follows. ``glorot_uniform`` is the initialiser that `Dense
# <https://keras.io/api/layers/core_layers/dense/>`_ takes by default; the `losses of Keras
# <https://keras.io/api/losses/probabilistic_losses/>`_ are means over samples and outputs as well, so that learning
# rates need no translation.

keras_nets = {
    "2-4-4-1": {
        "layer_sizes": (2, 4, 4, 1),
        "loss": "binary_cross_entropy",
        "random_state": 4,
    },
    "2-4-4-2": {
        "layer_sizes": (2, 4, 4, 2),
        "loss": "softmax_cross_entropy",
        "random_state": 2,
    },
}
figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained")
for ax, (name, arguments) in zip(axes, keras_nets.items(), strict=True):
    net = fastmlp.MLP(
        **arguments, hidden_activation="relu", init="glorot_uniform"
    )
    history = net.fit(X, y, epochs=5000, optimizer=fastmlp.Adam(0.001))
    history.plot(ax=ax)
    ax.set_title(name, loc="left")
    print(f"{name}  outputs for class 1: {net.predict(X)[:, -1].round(3)}")

# %%
# A Keras user who writes ``optimizer="sgd"`` gets a `learning rate of 0.01 <https://keras.io/api/optimizers/sgd/>`_,
# and one who writes ``"adam"`` gets 0.001. Of these two the smaller number is the faster one, because Adam divides each
# step by the size of recent gradients. On these four samples, gradient descent with a rate of 0.3 is faster still.

figure, axes = plt.subplots(
    1, 2, figsize=(8.4, 3.2), layout="constrained", sharey=True
)
for ax, (name, arguments) in zip(axes, keras_nets.items(), strict=True):
    for label, optimizer, style in (
        ("SGD(0.01)", fastmlp.SGD(0.01), "--"),
        ("SGD(0.3)", fastmlp.SGD(0.3), ":"),
        ("Adam(0.001)", fastmlp.Adam(0.001), "-"),
    ):
        net = fastmlp.MLP(
            **arguments, hidden_activation="relu", init="glorot_uniform"
        )
        history = net.fit(X, y, epochs=5000, optimizer=optimizer)
        ax.plot(history.loss, linestyle=style, label=label)
    ax.set(yscale="log", xlabel="epoch", title=name)
    ax.legend()
_ = axes[0].set_ylabel("loss")

# %%
# What 100,000 starts say about local minima
# ------------------------------------------
#
# A net without a bug can still end at 0.5. How often? A :class:`fastmlp.Population` trains 100,000 nets with 2-2-1
# units at once, each from its own start, until all four outputs are within 40 % of their targets: an output below 0.4
# counts as 0, one above 0.6 as 1, and the 20 % between them as neither, which gave the rule ``"40-20-40"`` its name.

pop = fastmlp.Population(
    (2, 2, 1),
    n_nets=100_000,
    hidden_activation="tanh",
    loss="binary_cross_entropy",
    init=fastmlp.Uniform(-1, 1),
    random_state=0,
)
result = pop.fit(X, y, epochs=1000, optimizer="rprop", converged="40-20-40")
low, high = result.success_interval
print(f"converged: {result.success_rate:.4f}")
print(f"95 % interval: {low:.4f} to {high:.4f}")
_, ax = plt.subplots()
ax.hist(result.epoch_statistics.times, bins=np.geomspace(1, 1000, 41))
ax.set(xscale="log", xlabel="epochs to converge", ylabel="nets")

# %%
# The outputs of the others fall into a few patterns:

outputs = pop.predict(X, nets=~result.converged)[:, :, 0]
patterns, counts = np.unique(
    np.abs(outputs.round(2)), axis=0, return_counts=True
)
print("outputs for (0,0) (0,1) (1,0) (1,1), and the number of nets")
for k in np.argsort(-counts)[:8]:
    print(f"  {patterns[k]}  {counts[k]:6,}")

# %%
# A stuck net gives one answer to two or three inputs with different targets, and the best single answer is the mean of
# their targets: 0.5 for two inputs, ⅓ or ⅔ for three. The histogram shows these values.

figure, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
ax.hist(outputs.ravel(), bins=np.arange(-0.005, 1.01, 0.01))
ax.set_xticks([0, 1 / 3, 1 / 2, 2 / 3, 1], ["0", "⅓", "½", "⅔", "1"])
ax.set(
    xlabel="output",
    ylabel="outputs",
    title=f"The outputs of {len(outputs):,} nets that are stuck",
)
merged = fastmlp.diagnose(
    pop[int(np.flatnonzero(~result.converged)[0])], X, y
)
print(merged)

# %%
# Are these local minima? Sprinkhuizen-Kuyper and Boers described all local minima of the 2-2-1 net with squared error
# (*The local minima of the error surface of the 2-2-1 XOR network*, 1999, `abstract
# <https://acnpsearch.tweb-dev.unibo.it/singlejournalindex/62828285>`_): in each of them a hidden unit is saturated for
# at least two samples, and from every point with finite weights a path leads downhill to an error of zero. What
# looks like a minimum is then a plateau with a gradient of almost zero. The remedy is a new start, which
# ``Converged(..., restart_after=)`` makes by itself. The statistics of the first fit say after how many epochs to give
# up.

limit, expected = result.epoch_statistics.best_restart
print(
    f"a restart after each {limit} epochs: {expected:.0f} epochs expected"
)
pop.reset()
result = pop.fit(
    X,
    y,
    epochs=1000,
    optimizer="rprop",
    converged=fastmlp.Converged(
        accuracy=1.0, margin=0.4, restart_after=limit
    ),
)
print(
    f"{result.n_converged:,} of {result.n_nets:,} converged, "
    f"after {result.epochs.mean():.0f} epochs on average"
)

# %%
# What to remember
# ----------------
#
# - Outputs that are the same for all inputs have many causes. Ask :func:`fastmlp.diagnose` before you change the
#   learning rate.
# - A learning rate belongs to a loss: look whether the loss is a sum or a mean, and over what.
# - For two classes use one sigmoid with cross-entropy, or a softmax.
# - A small net needs several starts.

plt.show()
