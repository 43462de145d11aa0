"""
MNIST
=====

Trains a net of 670,000 parameters on the 60,000 images of MNIST, with dropout, a learning-rate schedule and early
stopping, and evaluates it on the 10,000 test images. It takes about a minute on two cores.

The images are read from ``mnist/mnist.npz`` in the folder that the environment variable ``FASTMLP_DATA`` names: arrays
``x_train``, ``y_train``, ``x_test`` and ``y_test``, as in the `file of Keras
<https://keras.io/api/datasets/mnist/>`_. Without the file, the example says so and ends.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import fastmlp

path = Path(os.environ.get("FASTMLP_DATA", "."), "mnist", "mnist.npz")
has_data = path.is_file()
if has_data:
    with np.load(path) as arrays:
        X, X_test = (
            arrays[f"x_{part}"].reshape(-1, 784).astype(np.float32) / 255
            for part in ("train", "test")
        )
        y, y_test = (
            arrays["y_train"].astype(int),
            arrays["y_test"].astype(int),
        )
    print(X.shape, X_test.shape)
else:
    print(
        f"There is no file {path}. Set FASTMLP_DATA to a folder "
        "that has mnist/mnist.npz, and run this again."
    )

# %%
# One epoch takes a few seconds. A tenth of the training images is held out; the fit ends when the accuracy on them has
# not risen for five epochs.

if has_data:
    net = fastmlp.MLP(
        (784, 512, 512, 10),
        loss="softmax_cross_entropy",
        dropout=0.2,
        random_state=0,
    )
    history = net.fit(
        X,
        y,
        epochs=20,
        batch_size=128,
        optimizer=fastmlp.Adam(1e-3),
        schedule="cosine",
        validation_fraction=0.1,
        early_stopping=fastmlp.EarlyStopping(
            5, monitor="validation_accuracy"
        ),
    )
    print(history)
    print(net.evaluate(X_test, y_test))
    _ = history.plot("accuracy")

# %%
# What is left: the confusion matrix, and some of the images that the net gets wrong.

if has_data:
    _ = fastmlp.plots.confusion(net, X_test, y_test)
    predicted = net.predict_classes(X_test)
    wrong = np.flatnonzero(predicted != y_test)
    figure, axes = plt.subplots(
        2, 8, figsize=(9, 2.9), layout="constrained"
    )
    for ax, k in zip(axes.flat, wrong, strict=False):
        ax.imshow(X_test[k].reshape(28, 28), cmap="gray_r")
        ax.set_title(f"{y_test[k]}, not {predicted[k]}", fontsize=8)
        ax.axis("off")

plt.show()
