"""
A smooth function to four digits
================================

This tutorial fits a curve with 20 hidden units, first by Adam and then by Levenberg-Marquardt, and shows how far each
of them gets, and when the second is the wrong choice.

The curve is sinc(10 x), the example with which the package `torch-levenberg-marquardt
<https://github.com/fabiodimarco/torch-levenberg-marquardt>`_ introduces itself.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastmlp

x = np.linspace(-1, 1, 20_000)[:, None]
y = np.sinc(10 * x)

# %%
# Two optimisers
# --------------
#
# Both begin with the same parameters. ``NguyenWidrow`` spreads the steep parts of the 20 units over the interval from
# -1 to 1; with ``init="auto"`` all of them lie at 0, and either optimiser needs many epochs to move them apart.

settings = {
    "hidden_activation": "tanh",
    "dtype": "float64",
    "init": fastmlp.NguyenWidrow(),
    "random_state": 0,
}
net = fastmlp.MLP((1, 20, 1), **settings)

fits = {
    "Adam": {"epochs": 100, "optimizer": fastmlp.Adam(0.01)},
    "Levenberg-Marquardt": {
        "epochs": 6,
        "optimizer": fastmlp.LevenbergMarquardt(),
    },
}
fig, (left, right) = plt.subplots(
    1, 2, figsize=(10, 4), layout="constrained"
)
for name, fit in fits.items():
    net.reset()
    history = net.fit(x, y, batch_size=500, verbose=0, **fit)
    each = history.training_seconds / history.epochs
    seconds = each * np.arange(1, history.epochs + 1)
    left.plot(seconds, history.loss, label=name)
    right.plot(x, np.abs(net.predict(x) - y), label=name)
    print(f"{name}: mean squared error {history.loss[-1]:.1g}")
left.set(
    yscale="log",
    xscale="log",
    xlabel="seconds",
    ylabel="mean squared error",
    title="Training",
)
right.set(
    yscale="log", xlabel="x", ylabel="error", title="Errors at the end"
)
_ = left.legend()

# %%
# A step of Levenberg-Marquardt solves for all parameters at once: it takes the net as linear in its parameters for the
# length of a step, and the loss as a parabola. Near a minimum with a small error this is almost true, and few steps
# suffice.
#
# A thousand nets
# ---------------
#
# Nets of up to 200 parameters are trained in SIMD lanes. Which of 1,000 nets with five units fits a sine best?

X = np.linspace(-1, 1, 41)[:, None]
nets = fastmlp.Population((1, 5, 1), 1_000, **settings)
result = nets.fit(
    X,
    np.sin(np.pi * X),
    epochs=60,
    optimizer=fastmlp.LevenbergMarquardt(),
    verbose=0,
)
print(
    f"best {result.loss.min():.0e}, median {np.median(result.loss):.0e}, "
    f"worst {result.loss.max():.0e}"
)

# %%
# When not to take it
# -------------------
#
# The Gauss-Newton matrix has a number for each pair of parameters. A step of a net with 3,000 parameters takes about a
# second, and a hundred steps of Adam are then the better use of it. Data with noise end at the noise whatever the
# optimiser is, and the tight fit comes sooner at overfitting: hold samples out, with ``early_stopping``.

plt.show()
