"""Levenberg-Marquardt beside other packages: seconds until an error is reached, from the same initial parameters.

    pip install torch torch-levenberg-marquardt pyrenn scipy
    python bench/studies/second_order.py [sinc] [xor] [many] [--seconds 30]

sinc    1-20-1 tanh on 20,000 points of sinc(10 x), until a mean squared error of 3.3e-7, from five seeds
xor     2-2-1 on XOR from 10,000 starts until a mean squared error of 1e-4, and the share that fails
many    10,000 nets 1-5-1 on one period of a sine, until a mean squared error of 0.002; other packages one after another
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from statistics import median

import numpy as np

import fastmlp
from fastmlp import MLP, Converged, LevenbergMarquardt, Population, Rprop

Row = tuple[str, float, float]  # what, seconds, error reached


class OutOfTime(Exception):
    pass


def unit_square(net: MLP, X: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean((net.predict(X).ravel() - y) ** 2))


# ---- one net, until an error is reached


def by_fastmlp(net: MLP, X: np.ndarray, y: np.ndarray, goal: float, seconds: float, **fit) -> float:
    """Train in parts, each of some epochs, and return the error reached."""
    state, start = fastmlp.OptimizerState(), time.perf_counter()
    while (error := unit_square(net, X, y)) > goal and time.perf_counter() - start < seconds:
        net.fit(X, y, optimizer_state=state, verbose=0, **fit)
    return error


def torch_net(net: MLP):
    import torch

    n_in, n_hidden, n_out = net.network.layer_sizes
    model = torch.nn.Sequential(
        torch.nn.Linear(n_in, n_hidden), torch.nn.Tanh(), torch.nn.Linear(n_hidden, n_out)
    ).double()
    with torch.no_grad():
        for layer, W, b in zip((model[0], model[2]), net.weights, net.biases, strict=True):
            layer.weight.copy_(torch.from_numpy(W.T.copy()))
            layer.bias.copy_(torch.from_numpy(b.copy()))
    return model


def by_torch_lm(net: MLP, X: np.ndarray, y: np.ndarray, goal: float, seconds: float, batch_size: int) -> float:
    import torch
    from torch_levenberg_marquardt.training import LevenbergMarquardtModule

    model, rng, start = torch_net(net), np.random.default_rng(0), time.perf_counter()
    module = LevenbergMarquardtModule(model, solve_method="cholesky")
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y[:, None])
    error = np.inf
    while time.perf_counter() - start < seconds:
        order = torch.from_numpy(rng.permutation(len(X)))
        for first in range(0, len(X), batch_size):
            rows = order[first : first + batch_size]
            module.training_step(inputs[rows], targets[rows])
        with torch.no_grad():
            error = float(((model(inputs) - targets) ** 2).mean())
        if error <= goal:
            break
    return error


def by_torch_lbfgs(net: MLP, X: np.ndarray, y: np.ndarray, goal: float, seconds: float) -> float:
    import torch

    model, start = torch_net(net), time.perf_counter()
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y[:, None])
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=20, history_size=20, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = ((model(inputs) - targets) ** 2).mean()
        loss.backward()
        return loss

    error = np.inf
    while error > goal and time.perf_counter() - start < seconds:
        error = float(optimizer.step(closure))
    return error


def by_scipy(net: MLP, X: np.ndarray, y: np.ndarray, goal: float, seconds: float) -> float:
    """least_squares with method="lm" (MINPACK), and the Jacobian in NumPy."""
    from scipy.optimize import least_squares

    h, start, reached = net.network.layer_sizes[1], time.perf_counter(), [np.inf]
    x = X[:, 0]

    def parts(p):
        return p[:h], p[h : 2 * h], p[2 * h : 3 * h], p[3 * h]

    def residuals(p):
        if time.perf_counter() - start > seconds or reached[0] <= goal:
            raise OutOfTime
        w, b, v, c = parts(p)
        r = np.tanh(np.multiply.outer(x, w) + b) @ v + c - y
        reached[0] = min(reached[0], float(np.mean(r**2)))
        return r

    def jacobian(p):
        w, b, v, _ = parts(p)
        a = np.tanh(np.multiply.outer(x, w) + b)
        d = (1 - a * a) * v
        return np.hstack([d * x[:, None], d, a, np.ones((len(x), 1))])

    with suppress(OutOfTime):
        least_squares(residuals, net.params.astype(float), jacobian, method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15)
    return reached[0]


def by_pyrenn(net: MLP, X: np.ndarray, y: np.ndarray, goal: float, seconds: float) -> float:
    """pyrenn's own initial parameters; its training has no limit of time, so that it takes few iterations."""
    import pyrenn

    made, start, error = pyrenn.CreateNN(list(net.network.layer_sizes)), time.perf_counter(), np.inf
    while error > goal and time.perf_counter() - start < seconds:
        made = pyrenn.train_LM(X.T, y[None], made, k_max=5, E_stop=goal * len(y))
        error = float(np.mean((pyrenn.NNOut(X.T, made) - y) ** 2))
    return error


def sinc(seconds: float) -> Iterator[Row]:
    X = np.linspace(-1, 1, 20_000)[:, None]
    y, goal = np.sinc(10 * X[:, 0]), 3.3e-7
    lm, small = LevenbergMarquardt(), {"epochs": 1, "batch_size": 500}
    rows: dict[str, Callable[[MLP], float]] = {
        "fastmlp, LM, batches of 500": lambda net: by_fastmlp(net, X, y, goal, seconds, optimizer=lm, **small),
        "fastmlp, LM, full batches": lambda net: by_fastmlp(
            net, X, y, goal, seconds, optimizer=lm, epochs=10, batch_size=None
        ),
        "fastmlp, Adam, batches of 500": lambda net: by_fastmlp(
            net, X, y, goal, seconds, optimizer=fastmlp.Adam(0.01), epochs=50, batch_size=500
        ),
        "torch-levenberg-marquardt, batches of 500": lambda net: by_torch_lm(net, X, y, goal, seconds, 500),
        "torch-levenberg-marquardt, batches of 10,000": lambda net: by_torch_lm(net, X, y, goal, seconds, 10_000),
        "PyTorch, L-BFGS": lambda net: by_torch_lbfgs(net, X, y, goal, seconds),
        "SciPy, least_squares": lambda net: by_scipy(net, X, y, goal, seconds),
        "pyrenn": lambda net: by_pyrenn(net, X, y, goal, seconds),
    }
    settings = {"hidden_activation": "tanh", "dtype": "float64", "init": fastmlp.NguyenWidrow()}
    MLP((1, 20, 1), **settings).fit(X[:600], y[:600], epochs=1, optimizer=lm, verbose=0)  # compiles
    yield from until_goal(rows, lambda seed: MLP((1, 20, 1), random_state=seed, **settings), 5)


def until_goal(rows: dict[str, Callable[[MLP], float]], make: Callable[[int], MLP], n_seeds: int) -> Iterator[Row]:
    """Yield medians over seeds, with the programs in turn."""
    times: dict[str, list[float]] = {name: [] for name in rows}
    errors: dict[str, list[float]] = {name: [] for name in rows}
    for seed in range(n_seeds):
        for name, train in rows.items():
            start = time.perf_counter()
            try:
                errors[name].append(train(make(seed)))
            except ImportError as error:
                print(f"{name}: {error}")
                continue
            times[name].append(time.perf_counter() - start)
    for name, found in times.items():
        if found:
            yield name, median(found), median(errors[name])


# ---- many nets


def xor(seconds: float) -> Iterator[Row]:
    """The error of a row is the share of starts that do not reach it."""
    X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float), np.array([0, 1, 1, 0], float)
    goal = Converged(loss=1e-4)
    fits = [(f"LM, {n} epochs", LevenbergMarquardt(damping=0.01), n) for n in (10, 15, 20, 30, 60)]
    fits += [(f"Rprop({rate}), {n} epochs", Rprop(rate), n) for rate in (0.1, 0.5) for n in (100, 300, 1000, 3000)]
    for output in ("identity", "tanh", "sigmoid"):
        settings = {"hidden_activation": "tanh", "output_activation": output, "random_state": 0}
        nets = Population((2, 2, 1), 10_000, **settings)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name, *_ in fits}
        for _ in range(7):
            for name, rule, epochs in fits:
                nets.reset()
                start = time.perf_counter()
                result = nets.fit(X, y, epochs=epochs, batch_size=None, optimizer=rule, converged=goal, verbose=0)
                found[name].append((time.perf_counter() - start, 1 - result.n_converged / 10_000))
        for name, values in found.items():
            yield f"{output} output, {name}", median(t for t, _ in values), values[0][1]


def many(seconds: float) -> Iterator[Row]:
    X = np.linspace(-1, 1, 41)[:, None]
    y, goal, n_nets = np.sin(np.pi * X[:, 0]), 0.002, 10_000
    settings = {"hidden_activation": "tanh", "init": fastmlp.NguyenWidrow(), "dtype": "float64"}
    nets, times = Population((1, 5, 1), n_nets, random_state=0, **settings), []
    for _ in range(6):  # the first one compiles
        nets.reset()
        start = time.perf_counter()
        result = nets.fit(X, y, epochs=50, optimizer=LevenbergMarquardt(), converged=Converged(loss=goal), verbose=0)
        times.append(time.perf_counter() - start)
    yield (
        f"fastmlp, all in one call ({result.n_converged:,} reach it)",
        median(times[1:]) / n_nets,
        float(np.median(result.loss)),
    )
    rows = {"torch-levenberg-marquardt": lambda net: by_torch_lm(net, X, y, goal, 5.0, len(X))}
    yield from until_goal(rows, lambda seed: MLP((1, 5, 1), random_state=seed, **settings), 20)
    one = {
        "fastmlp, one by one": lambda net: by_fastmlp(net, X, y, goal, 5.0, optimizer=LevenbergMarquardt(), epochs=5)
    }
    yield from until_goal(one, lambda seed: MLP((1, 5, 1), random_state=seed, **settings), 20)


STUDIES = {"sinc": sinc, "xor": xor, "many": many}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", choices=[*STUDIES, []], help="all by default")
    parser.add_argument("--seconds", type=float, default=30.0, help="most seconds of a fit")
    arguments = parser.parse_args()
    for name in arguments.studies or STUDIES:
        print(f"\n{name}: seconds, of `many` for each net; error\n")
        for what, seconds, error in STUDIES[name](arguments.seconds):
            print(f"{what:60} {seconds:12.6f} {error:12.3g}", flush=True)


if __name__ == "__main__":
    main()
