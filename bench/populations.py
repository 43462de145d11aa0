"""Training many nets: nanoseconds per net and epoch, for this package and its peers.

    python bench/populations.py [--works 2-2-1:100000:sigmoid:sgd,...] [--peers all|none|jax,torch] [--rounds 5]
                                [--json out.json] [--quick]

Every contestant has a process of its own and trains the same nets from the same start; its parameters after 20 epochs
must be those of a float64 NumPy run, or it is not timed. Rounds interleave the contestants. "first" is the first run of
a fresh process, compiling included. The floor is counted below: vector multiply-adds, at one a cycle and core, that a
net and epoch needs, an exponential and the division after it counted as 16.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time

import numpy as np
from environment import cpus, machine, print_machine, start_clean
from many_nets import CONTESTANTS, RATES, X, Y, offsets

WORKS = (
    "2-2-1:100000:sigmoid:sgd", "2-2-1:100000:tanh:sgd", "2-2-1:100000:sigmoid:adam", "2-2-1:100000:sigmoid:quickprop",
    "2-2-1:100000:sigmoid:rprop", "2-4-4-1:100000:tanh:sgd", "2-4-4-1:100000:sigmoid:sgd", "2-2-1:1000:sigmoid:sgd",
    "2-2-1:10000:sigmoid:sgd", "2-2-1:1000000:sigmoid:sgd",
)  # fmt: skip
ENOUGH = 0.7  # seconds of one measurement of a slow contestant
EXPONENTIAL = 16
EPOCHS = 1000


def floor_of(layer_sizes) -> int:
    """Multiply-adds, or what takes their place in the same pipe, of a net and epoch."""
    products = [i * j for _, _, i, j in offsets(layer_sizes)]
    units = sum(layer_sizes[1:])
    per_sample = 3 * sum(products) - products[0] + units * (EXPONENTIAL + 3)
    return len(X) * per_sample + sum(products) + units


def start_of(layer_sizes, n_nets) -> np.ndarray:
    n_params = sum((i + 1) * j for _, _, i, j in offsets(layer_sizes))
    return np.random.default_rng(0).normal(0, 1, (n_nets, n_params)).astype(np.float32)


def expected(layer_sizes, activation, start, n_epochs):
    """Parameters of plain descent in float64, one net at a time, written for the eye."""
    sigmoid = lambda z: 1 / (1 + np.exp(-z))
    results = []
    for net in start.astype(np.float64):
        p = net.copy()
        for _ in range(n_epochs):
            outs, gradient = [X.astype(np.float64)], np.zeros_like(p)
            places = offsets(layer_sizes)
            for k, (w, b, i, j) in enumerate(places):
                z = outs[-1] @ p[w:b].reshape(i, j) + p[b : b + j]
                outs.append(np.tanh(z) if activation == "tanh" and k < len(places) - 1 else sigmoid(z))
            delta = 2 / len(X) * (outs[-1] - Y[:, None]) * outs[-1] * (1 - outs[-1])
            for k in range(len(places) - 1, -1, -1):
                w, b, i, j = places[k]
                gradient[w:b], gradient[b : b + j] = (outs[k].T @ delta).ravel(), delta.sum(0)
                if k:
                    slope = 1 - outs[k] ** 2 if activation == "tanh" else outs[k] * (1 - outs[k])
                    delta = delta @ p[w:b].reshape(i, j).T * slope
            p -= RATES["sgd"] * gradient
        results.append(p)
    return np.array(results)


def serve(connection, name, arguments, options):
    contestant = None
    while (n_epochs := connection.recv()) is not None:
        try:
            started = time.perf_counter()
            contestant = contestant or CONTESTANTS[name](*arguments, **options)
            params = contestant.run(n_epochs)
            connection.send((time.perf_counter() - started, params[:200]))
        except NotImplementedError:
            connection.send("not written for this optimiser")
        except ImportError as error:
            connection.send(str(error))


class Contestant:
    def __init__(self, name, arguments, options):
        context = multiprocessing.get_context("spawn")
        self.name, (self.connection, theirs) = name, context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, name, arguments, options), daemon=True)
        self.process.start()

    def run(self, n_epochs):
        self.connection.send(n_epochs)
        return self.connection.recv()

    def close(self):
        self.connection.send(None)
        self.process.join(5)


def run_work(work: str, names, rounds: int) -> dict:
    text, n_nets, activation, optimizer = work.split(":")
    layer_sizes, n_nets = tuple(map(int, text.split("-"))), int(n_nets)
    start = start_of(layer_sizes, n_nets)
    wanted = expected(layer_sizes, activation, start[:200], 20) if optimizer == "sgd" else None
    rows, running = [], []
    for label, name, options in names:
        row = {"name": label, "status": "timed"}
        rows.append(row)
        contestant = Contestant(name, (layer_sizes, activation, optimizer, start), options)
        answer = contestant.run(20)
        if isinstance(answer, str):
            row["status"] = answer
            contestant.close()
            continue
        row["first_seconds"], params = answer
        if wanted is not None and not options and (off := np.abs(params - wanted).max()) > 1e-3:
            row["status"] = f"wrong: parameters differ by {off:.2g}"
            contestant.close()
            continue
        seconds = min(contestant.run(20)[0] for _ in range(2)) / 20
        row["epochs"] = int(min(EPOCHS, max(4, ENOUGH / seconds)))
        row["ns"] = []
        running.append((contestant, row))
    for k in range(rounds):
        for contestant, row in running if k % 2 == 0 else running[::-1]:
            time.sleep(0.05)
            row["ns"].append(contestant.run(row["epochs"])[0] / n_nets / row["epochs"] * 1e9)
    for contestant, _ in running:
        contestant.close()
    ours = rows[0]
    for _, row in running:
        row["median"] = statistics.median(row["ns"])
        row["to_ours"] = statistics.median(a / b for a, b in zip(row["ns"], ours["ns"], strict=True))
    return {"work": work, "multiply_adds": floor_of(layer_sizes), "rows": rows}


def show(result: dict) -> None:
    print(f"\n== {result['work']}: floor {result['multiply_adds']} multiply-adds a net and epoch, "
          f"{result['multiply_adds'] / 16:.1f} vectors of 16")  # fmt: skip
    print(f"{'contestant':28}{'ns':>10}{'smallest':>10}{'largest':>10}{'/fastmlp':>10}{'first s':>9}{'epochs':>8}")
    for row in sorted(result["rows"], key=lambda row: row.get("median", np.inf)):
        if row["status"] != "timed":
            print(f"{row['name']:28}  {row['status']}")
            continue
        print(f"{row['name']:28}{row['median']:10.2f}{min(row['ns']):10.2f}{max(row['ns']):10.2f}{row['to_ours']:10.2f}"
              f"{row['first_seconds']:9.2f}{row['epochs']:8}")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", default=",".join(WORKS))
    parser.add_argument("--peers", default="all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    parser.add_argument("--quick", action="store_true", help="three rounds, 100,000 nets only")
    options = parser.parse_args()
    start_clean()
    families = options.peers.split(",")
    names = [("fastmlp", "fastmlp", {})]
    names += [(name, name, {}) for name in CONTESTANTS if name != "fastmlp"
              and (families == ["all"] or name.split()[0] in families)]  # fmt: skip
    results = {"machine": machine(), "populations": []}
    print_machine(results["machine"])
    print(f"{cpus()} CPUs")
    for work in options.works.split(","):
        if options.quick and ":100000:" not in work:
            continue
        own = [*names]
        if work == WORKS[0]:
            n = 100_000
            every = {"converged": 1e-9}
            own += [
                ("fastmlp, own stopping", "fastmlp", every),
                ("fastmlp, own rates, stopping", "fastmlp", {**every, "rates": np.full(n, RATES["sgd"])}),
            ]
        results["populations"].append(run_work(work, own, 3 if options.quick else options.rounds))
        show(results["populations"][-1])
        if options.json:
            with open(options.json, "w") as file:
                json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
