"""
Digits with an ensemble
=======================

Recognises handwritten digits with ``MLPClassifier``, which has the interface of scikit-learn's, and with a population
of ten nets that are trained together. The pictures show the confusion matrix, the calibration, and the worst mistakes.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastmlp
from fastmlp import MLPClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.3, stratify=y, random_state=0
)

# %%
# One net. Its settings are those of ``sklearn.neural_network.MLPClassifier``, and some more, such as dropout.

settings = {
    "hidden_layer_sizes": (64,),
    "dropout": 0.2,
    "batch_size": 32,
    "tol": 1e-2,
    "random_state": 0,
}
one = MLPClassifier(**settings).fit(X_train, y_train)
print(
    f"one net: accuracy {one.score(X_test, y_test):.4f} "
    f"after {one.n_iter_} epochs"
)

# %%
# Ten nets, as one population. The mean of their probabilities decides.

ten = fastmlp.Population(
    (64, 64, 10),
    n_nets=10,
    loss="softmax_cross_entropy",
    dropout=0.2,
    random_state=0,
)
ten.fit(X_train, y_train, epochs=one.n_iter_, batch_size=32)
probabilities = ten.ensemble_predict(X_test)
together = np.mean(probabilities.argmax(axis=1) == y_test)
print(f"ten nets: accuracy {together:.4f}")
alone = np.mean(ten.predict_classes(X_test) == y_test, axis=1)
print(f"each of them alone: {alone.min():.4f} to {alone.max():.4f}")

# %%
# Rows are the true digits, columns the predicted ones.

_ = fastmlp.plots.confusion(one, X_test, y_test)

# %%
# If the net says 0.8, is it right four times in five? Points below the line stand for too much confidence.

_ = fastmlp.plots.calibration(one, X_test, y_test)

# %%
# The images to whose true class the ten nets give the smallest probability:

of_truth = probabilities[np.arange(len(y_test)), y_test]
figure, axes = plt.subplots(1, 8, figsize=(9, 1.9), layout="constrained")
for ax, k in zip(axes, np.argsort(of_truth), strict=False):
    ax.imshow(X_test[k].reshape(8, 8), cmap="gray_r")
    ax.set_title(
        f"{y_test[k]}, p = {of_truth[k]:.2f}\nsays {probabilities[k].argmax()}",
        fontsize=8,
    )
    ax.axis("off")

plt.show()
