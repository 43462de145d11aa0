"""
A first net, from arrays to a file
==================================

This tutorial trains a net on arrays, watches it on held-out samples, stops it in time, reads its history, evaluates it
on samples that it has never seen, and saves it. The data are 1,797 images of handwritten digits of 8 × 8 pixels, which
scikit-learn brings along.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastmlp

# %%
# The data
# --------
#
# ``X`` is an array (n_samples, n_features), ``y`` one of class numbers from 0 on. Pixels from 0 to 16 become numbers
# from 0 to 1: inputs of about that size suit the initial weights. A fifth of the samples is set aside for the end.

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.2, stratify=y, random_state=0
)
print(X_train.shape, y_train.shape, np.unique(y))

figure, axes = plt.subplots(1, 10, figsize=(9, 1.4), layout="constrained")
for ax, image, label in zip(axes, X_train, y_train, strict=False):
    ax.imshow(image.reshape(8, 8), cmap="gray_r")
    ax.set_title(label)
    ax.axis("off")

# %%
# The net
# -------
#
# Layer sizes begin with the number of inputs and end with the number of outputs, one per class. The loss chooses the
# output activation: ``softmax_cross_entropy`` makes the outputs probabilities of exclusive classes. ``random_state`` is
# the seed of the initial weights and of everything else that is drawn.

net = fastmlp.MLP(
    (64, 64, 32, 10), loss="softmax_cross_entropy", random_state=0
)
print(net)

# %%
# Training
# --------
#
# One epoch is a pass over the training samples, in batches of 32. ``validation_fraction`` holds out a share of the
# samples, on which the net is measured after each epoch. ``early_stopping=10`` ends the fit when the loss on them has
# not fallen for 10 epochs, and returns to the parameters of the best epoch.

history = net.fit(
    X_train,
    y_train,
    epochs=200,
    batch_size=32,
    optimizer=fastmlp.Adam(2e-3),
    validation_fraction=0.15,
    early_stopping=10,
)
print(history)

# %%
# What the history says
# ---------------------
#
# The printed line has the last value of each record:
#
# - ``epochs``: how many were trained, of at most 200.
# - ``loss`` and ``accuracy``: means over the samples of the last epoch. They are measured before each step's update,
#   so the epoch's first batches count with a net that was worse than at its end.
# - ``validation_loss`` and ``validation_accuracy``: the same for the held-out samples, after the epoch.
# - ``best_epoch``: the epoch whose parameters the net has now, counted from 0.
# - ``seconds``: wall time. If kernels were compiled or loaded from disk, ``compile_seconds`` says for how long; the
#   next fit of such a net does without.
# - ``stopped_by``: why the fit ended. Here early stopping did; others are ``"epochs"``, ``"interrupt"`` (Ctrl-C)
#   and ``"divergence"``.
#
# Each record is an array with a value per epoch:

print(history.validation_loss[:5].round(3))
print(
    history.validation_loss[history.best_epoch],
    history.validation_loss.min(),
)
print(f"{1e3 * history.training_seconds / history.epochs:.1f} ms per epoch")

# %%
# The plots show loss and accuracy on training and held-out samples. Where the training loss goes on falling and the
# validation loss does not, the net learns the training samples by heart: it over-fits.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
history.plot(ax=axes[0])
_ = history.plot("accuracy", ax=axes[1])

# %%
# :func:`fastmlp.diagnose` reads the history as well. Its verdict names what to change, if anything. It measures the net
# as it is now, with the parameters of the best epoch, so that its loss is not the last one of the history.

print(fastmlp.diagnose(history))

# %%
# Evaluation
# ----------
#
# The held-out samples have chosen the epoch, so their figures are a little too good. The test samples have not.

print(net.evaluate(X_test, y_test))
print("predicted", net.predict_classes(X_test[:8]), "true", y_test[:8])
print("probabilities of the first image:", net.predict(X_test[:1]).round(3))

# %%
# Which digits are taken for which?

_ = fastmlp.plots.confusion(net, X_test, y_test)

# %%
# The images that the net gets wrong, with the true class and the predicted one:

predicted = net.predict_classes(X_test)
wrong = np.flatnonzero(predicted != y_test)
figure, axes = plt.subplots(1, 8, figsize=(9, 1.8), layout="constrained")
for ax in axes:
    ax.axis("off")
for ax, k in zip(axes, wrong, strict=False):
    ax.imshow(X_test[k].reshape(8, 8), cmap="gray_r")
    ax.set_title(f"{y_test[k]}, not {predicted[k]}", fontsize=9)

# %%
# Saving and loading
# ------------------
#
# A file in the format safetensors holds the parameters, the settings and the history, and no training data. The loaded
# net has the same bits.

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "digits.safetensors")
    net.save(path)
    print(f"{path.stat().st_size:,} bytes")
    same = fastmlp.load(path)
print(np.array_equal(same.predict(X_test), net.predict(X_test)))
print(same.history)

# %%
# The loaded net can be trained on. ``net.reset()`` draws the initial weights again, and the same call of ``fit`` then
# gives the same net, bit for bit:

net.reset()
again = net.fit(
    X_train,
    y_train,
    epochs=200,
    batch_size=32,
    optimizer=fastmlp.Adam(2e-3),
    validation_fraction=0.15,
    early_stopping=10,
)
print(
    np.array_equal(same.params, net.params), again.epochs == history.epochs
)

plt.show()
