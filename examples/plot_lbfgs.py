"""
A training loop of your own: L-BFGS
===================================

``net.objective`` gives the loss and the gradient as a function of the parameters, so that any solver can train a net.
Here SciPy's L-BFGS does, and is compared with Adam.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize

import fastmlp

rng = np.random.default_rng(0)
X = rng.uniform(-1, 1, (200, 2))
y = np.sin(3 * X[:, 0]) * np.cos(2 * X[:, 1])

# %%
# float64 suits L-BFGS, which compares losses that differ in late digits.

net = fastmlp.MLP(
    (2, 30, 1), hidden_activation="tanh", dtype="float64", random_state=0
)
objective = net.objective(X, y)
losses = []


def loss_and_gradient(params):
    loss, gradient = objective(params)
    losses.append(loss)
    return loss, gradient


found = minimize(
    loss_and_gradient,
    net.params,
    jac=True,
    method="L-BFGS-B",
    options={"maxiter": 400, "maxfun": 500},
)
net.params = found.x
print(f"L-BFGS: loss {found.fun:.2e} after {found.nfev} gradients")

# %%
# The same net with Adam, a full batch at each step: an epoch evaluates one gradient, too.

adam = fastmlp.MLP(
    (2, 30, 1), hidden_activation="tanh", dtype="float64", random_state=0
)
history = adam.fit(
    X, y, epochs=len(losses), batch_size=None, optimizer=fastmlp.Adam(0.01)
)
print(
    f"Adam:   loss {history.loss[-1]:.2e} after {history.epochs} gradients"
)

figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
ax.plot(np.minimum.accumulate(losses), label="L-BFGS")
ax.plot(history.loss, "--", label="Adam(0.01)")
ax.set(
    yscale="log",
    xlabel="evaluations of the gradient",
    ylabel="mean squared error",
)
_ = ax.legend()

# %%
# ``net.loss_and_gradient(X, y)`` is for loops that need one gradient at a time. This one is gradient descent with a
# step that grows after each success and is halved after each failure:

descent = fastmlp.MLP(
    (2, 30, 1), hidden_activation="tanh", dtype="float64", random_state=0
)
step = 0.1
loss, gradient = descent.loss_and_gradient(X, y)
for _ in range(300):
    before = descent.params.copy()
    descent.params -= step * gradient
    new_loss, new_gradient = descent.loss_and_gradient(X, y)
    if new_loss < loss:
        loss, gradient, step = new_loss, new_gradient, 1.2 * step
    else:
        descent.params = before
        step /= 2
print(f"descent: loss {loss:.2e}, last step {step:.3f}")

# %%
# What the net trained by L-BFGS computes, with the targets as points in the same colours:

_ = net.plot_boundary(X, y)

plt.show()
