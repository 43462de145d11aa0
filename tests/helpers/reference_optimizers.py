"""Reference optimisers in float64 NumPy, written from the papers, for one parameter vector and one step at a time.

An update rule is a function (p, g, state, error, lr, **settings) -> new p. `state` is a dictionary that is empty at the
first step, `error` is the objective at p including the penalty, and `lr` is the learning rate times the factor of the
schedule, one number or one for each parameter. `train` runs a fit of a ReferenceMLP.
"""

from __future__ import annotations

import numpy as np


def sgd(p, g, state, error, lr, momentum=0.0, nesterov=False):
    """Polyak 1964: v = mu v - lr g, p + v. Nesterov as in Bengio et al. 2012, equations 6 and 7: p + mu v - lr g."""
    v = momentum * state.get("v", 0.0) - lr * g
    state["v"] = v
    return p + momentum * v - lr * g if nesterov else p + v


def adam(p, g, state, error, lr, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Kingma and Ba 2015, algorithm 1."""
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0.0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0.0) + (1 - beta2) * g**2
    return p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + epsilon)


def rmsprop(p, g, state, error, lr, beta2=0.9, epsilon=1e-8):
    """Tieleman and Hinton 2012, lecture 6.5."""
    v = state["v"] = beta2 * state.get("v", 0.0) + (1 - beta2) * g**2
    return p - lr * g / (np.sqrt(v) + epsilon)


def adagrad(p, g, state, error, lr, epsilon=1e-10):
    """Duchi et al. 2011, the diagonal form."""
    v = state["v"] = state.get("v", 0.0) + g**2
    return p - lr * g / (np.sqrt(v) + epsilon)


def quickprop(p, g, state, error, lr, growth=1.75):
    """Fahlman 1988, as in the Lisp program he published with it (UPDATE-WEIGHTS, without its weight decay).

    There is one difference: a slope that is 0 twice ends the steps. In Fahlman's program they would grow forever.
    """
    steps, slopes = state.get("step", np.zeros_like(p)), state.get("g", np.zeros_like(p))
    shrink = growth / (1 + growth)
    moved, rates = np.zeros_like(p), np.broadcast_to(lr, p.shape)
    for i, (d, s, before) in enumerate(zip(steps, g, slopes, strict=True)):
        if d < 0:
            if s > 0:
                moved[i] -= rates[i] * s
            moved[i] += growth * d if s > shrink * before else d * s / (before - s) if s != before else 0.0
        elif d > 0:
            if s < 0:
                moved[i] -= rates[i] * s
            moved[i] += growth * d if s < shrink * before else d * s / (before - s) if s != before else 0.0
        else:
            moved[i] -= rates[i] * s
    state["step"], state["g"] = moved, g.copy()
    return p + moved


def rprop(p, g, state, error, lr, growth=1.2, shrink=0.5, smallest=1e-6, biggest=50.0):
    """iRprop+, Igel and Huesken 2003, figure 3; lr is the first step size."""
    sizes = state.setdefault("size", np.full_like(p, lr))
    before = state.setdefault("g", np.zeros_like(p))
    moves = state.setdefault("move", np.zeros_like(p))
    p, g = p.copy(), g.copy()
    for i in range(len(p)):
        if before[i] * g[i] > 0:
            sizes[i] = min(sizes[i] * growth, biggest)
            moves[i] = -np.sign(g[i]) * sizes[i]
            p[i] += moves[i]
        elif before[i] * g[i] < 0:
            sizes[i] = max(sizes[i] * shrink, smallest)
            if error > state["error"]:
                p[i] -= moves[i]
            g[i] = 0.0
        else:
            moves[i] = -np.sign(g[i]) * sizes[i]
            p[i] += moves[i]
    state["g"], state["error"] = g, error
    return p


RULES = {
    "SGD": sgd,
    "Adam": adam,
    "AdamW": adam,
    "RMSprop": rmsprop,
    "Adagrad": adagrad,
    "Quickprop": quickprop,
    "Rprop": rprop,
}

EXAMPLES = {  # update rule of the kernels -> (optimiser, settings to test it with)
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.7}),
    "nesterov": ("SGD", {"momentum": 0.7, "nesterov": True}),
    "adam": ("Adam", {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3}),
    "rmsprop": ("RMSprop", {"beta2": 0.7, "epsilon": 1e-3}),
    "adagrad": ("Adagrad", {"epsilon": 1e-3}),
    "quickprop": ("Quickprop", {"growth": 1.75}),
    "rprop": ("Rprop", {"growth": 1.3, "shrink": 0.4, "smallest": 0.01, "biggest": 0.3}),
}


def train(
    net,
    X,
    y,
    name,
    settings,
    *,
    epochs,
    batch_size=None,
    factors=None,
    rate_factors=None,
    weight=None,
    order=None,
    masks=None,
):
    """Train net.params, and return the mean loss of each epoch, without the penalty.

    name : name of the optimiser in RULES
    settings : settings of the optimiser that differ from the defaults; learning_rate, weight_decay, clip_norm
    factors : schedule, a function (steps, n_steps) -> factors on the learning rate, (n,)
    rate_factors : (factor of the weights, factor of the biases) on the learning rate, for each layer
    order : function of an epoch, order of its samples; None for their order in X
    masks : function (n_rows, step, n_steps) of a batch, dropout masks of its hidden layers; None for no dropout
    """
    settings = dict(settings)
    lr, decay = settings.pop("learning_rate"), settings.pop("weight_decay", 0.0)
    clip_norm = settings.pop("clip_norm", 0.0)
    size = len(X) if batch_size is None else batch_size
    starts = range(0, len(X), size)
    n_steps, state, losses, t = epochs * len(starts), {}, [], 0
    is_weight = np.zeros(len(net.params))
    for W, _ in net.layers(is_weight):
        W[:] = 1.0
    of_parameters = np.ones(len(net.params))
    for (W, b), (of_weights, of_biases) in zip(
        net.layers(of_parameters), rate_factors or (), strict=bool(rate_factors)
    ):
        W[:], b[:] = of_weights, of_biases
    for epoch in range(epochs):
        sums, samples = 0.0, np.arange(len(X)) if order is None else order(epoch)
        for start in starts:
            rows = samples[start : start + size]
            dropped = {} if masks is None else {"masks": masks(len(rows), t, n_steps)}
            objective, g = net.loss_and_gradient(X[rows], y[rows], None if weight is None else weight[rows], **dropped)
            penalty = 0.5 * net.l2 * np.sum(is_weight * net.params**2)
            sums += (objective - penalty) * len(rows)
            norm = np.linalg.norm(g)
            if clip_norm and norm > clip_norm:
                g = g * clip_norm / norm
            rate = lr if factors is None else lr * factors(np.array([t]), n_steps)[0]
            rate = rate * of_parameters if rate_factors else rate
            shrunk = net.params - rate * decay * is_weight * net.params
            if name == "Rprop":
                rate = lr  # the learning rate is only Rprop's first step size, which a schedule does not change
            net.params = RULES[name](shrunk, g, state, objective, rate, **settings)
            t += 1
        losses.append(sums / len(X))
    return np.array(losses)
