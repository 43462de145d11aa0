"""Levenberg-Marquardt in float64 NumPy: the Jacobian by central differences, the matrix sample by sample."""

import numpy as np

STEP = 1e-6  # of central differences


def outputs(net, X, loss):
    """What the curvature of the loss is with respect to: outputs for squared_error, else logits; (n_samples, n)."""
    zs, a = net.forward(X)
    return a[-1] if loss == "squared_error" else zs[-1]


def curvature(net, X, loss):
    """Second derivatives of the loss of each sample, (n_samples, n, n)."""
    zs, a = net.forward(X)
    each = np.eye(a[-1].shape[1])
    if loss == "softmax_cross_entropy":
        return a[-1][:, :, None] * each - a[-1][:, :, None] * a[-1][:, None, :]
    diagonal = {
        "squared_error": np.full_like(a[-1], 2.0),
        "binary_cross_entropy": a[-1] * (1 - a[-1]),
        "poisson": np.exp(zs[-1]),
    }[loss]
    return diagonal[:, :, None] * each / a[-1].shape[1]


def gauss_newton(net, X, weight):
    """(n_params, n_params), without the penalty."""
    p = net.params
    jacobian = np.empty((len(X), net.layers(p)[-1][1].size, len(p)))
    for q in range(len(p)):
        net.params = p + STEP * (np.arange(len(p)) == q)
        up = outputs(net, X, net.loss)
        net.params = p - STEP * (np.arange(len(p)) == q)
        jacobian[:, :, q] = (up - outputs(net, X, net.loss)) / (2 * STEP)
    net.params = p
    return np.einsum("s,skp,skl,slq->pq", weight, jacobian, curvature(net, X, net.loss), jacobian) / len(X)


def train(net, X, y, *, epochs, damping=1e-3, batch_size=None, weight=None, order=None, factors=None):
    """Train net.params by Nielsen's rule for the damping; return the mean loss of each epoch, without the penalty."""
    weight, size = np.ones(len(X)) if weight is None else weight, batch_size or len(X)
    is_weight = np.zeros(len(net.params))
    for W, _ in net.layers(is_weight):
        W[:] = 1.0
    starts, losses, growth, t = range(0, len(X), size), [], 2.0, 0
    for epoch in range(epochs):
        total, samples = 0.0, np.arange(len(X)) if order is None else order(epoch)
        for start in starts:
            rows = samples[start : start + size]
            before, g = net.loss_and_gradient(X[rows], y[rows], weight[rows])
            total += (before - 0.5 * net.l2 * np.sum(is_weight * net.params**2)) * len(rows)
            matrix = gauss_newton(net, X[rows], weight[rows]) + np.diag(net.l2 * is_weight + damping)
            step, p = np.linalg.solve(matrix, g), net.params
            rate = 1.0 if factors is None else factors(np.array([t]), epochs * len(starts))[0]
            net.params = p - rate * step
            gain = before - net.loss_and_gradient(X[rows], y[rows], weight[rows])[0]
            expected = rate * g @ step - 0.5 * rate**2 * step @ (matrix - damping * np.eye(len(p))) @ step
            if gain > 0:
                damping *= max(1 / 3, 1 - (2 * min(gain / expected, 1.5) - 1) ** 3)
                growth = 2.0
            else:
                net.params, damping, growth = p, damping * growth, 2.0 * growth
            t += 1
        losses.append(total / len(X))
    return np.array(losses)
