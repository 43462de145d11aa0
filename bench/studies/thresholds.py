"""Where the thresholds of dispatch lie on this machine: the measurements behind execution/thresholds.py.

    python bench/studies/thresholds.py [--only family pass threads pass_threads lanes block] [--quick]

Run it on an otherwise idle machine. Each study times the same calls with two choices forced, and prints the
microseconds of both and their ratio, over sizes on both sides of the threshold:

family         dispatch.choose_family: a step with samples in SIMD lanes, or by a product per layer, on one thread
pass           dispatch.choose_evaluation_family: the same of a prediction
threads        dispatch.choose_threads: a step with one thread, or with all
pass_threads   dispatch.choose_evaluation_threads: the same of a prediction layer by layer
lanes          dispatch.choose_nets_family: an epoch of a full block of nets in lanes, or one by one, on one thread. The
               block takes the same time for fewer nets, so that a ratio of 0.25 means: equal at a quarter of the block
block          dispatch.choose_nets_variant: an epoch of XOR in unrolled code, with one SIMD register for a block of
               nets, or two, on one thread
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from itertools import pairwise, product
from math import inf
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from suite.clean_env import start_clean

import fastmlp
from fastmlp.execution import dispatch, thresholds
from fastmlp.execution.unrolled_code import unrolled_at_once
from fastmlp.kernels.structs import LANES
from fastmlp.runtime.thread_count import n_threads_available

SMALL = ((2, 4, 1), (8, 16, 1), (8, 8, 8, 1), (20, 20, 1), (24, 24, 1), (10, 48, 1), (48, 12, 3), (64, 8, 8, 10))
LARGE = ((32, 32, 4), (64, 64, 10), (100, 10, 1), (1000, 1), (500, 2, 1), (300, 3), (64, 100, 10), (64, 64, 32, 10))
THREADED = ((16, 24, 24, 1), (64, 64, 32, 10), (64, 100, 10), (30, 64, 64, 2), (100, 256, 256, 1), (784, 512, 512, 10))
NETS = ((2, 2, 1), (2, 4, 4, 1), (4, 8, 3), (13, 10, 3), (4, 100, 3), (32, 24, 4), (64, 32, 16, 10), (64, 64, 32, 10))
TINY = ((2, 1), (2, 2, 1), (2, 3, 1), (2, 4, 1), (2, 6, 1), (2, 3, 3, 1), (2, 4, 4, 1))
ROWS = (1, 4, 16, 64, 256, 768, 2048)  # of a batch
MOST_WORK = 1e9  # multiply-adds of a call
XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 1, 1, 0], np.float32)
ONE_THREAD = {"FASTMLP_NUM_THREADS": "1"}
BATCHES, TRIES = 8, 5


def seconds_of_step(sizes: tuple[int, ...], rows: int) -> float:
    net, rng = fastmlp.MLP(sizes, hidden_activation="tanh", random_state=0, device="cpu"), np.random.default_rng(0)
    X, y = (rng.normal(size=(rows * BATCHES, n)).astype(np.float32) for n in (sizes[0], sizes[-1]))
    return _of_epoch(partial(net.fit, X, y, batch_size=rows, verbose=0), len(X) * net.network.layout.products) / BATCHES


def seconds_of_pass(sizes: tuple[int, ...], rows: int) -> float:
    net = fastmlp.MLP(sizes, hidden_activation="tanh", random_state=0, device="cpu")
    X = np.random.default_rng(0).normal(size=(rows, sizes[0])).astype(np.float32)
    repeats = max(3, int(1e7 / (rows * net.network.layout.products)))
    return min(_seconds(lambda: [net.predict(X) for _ in range(repeats)]) / repeats for _ in range(TRIES))


def seconds_of_block(sizes: tuple[int, ...], rows: int) -> float:
    """An epoch of as many nets as a block has, on 120 samples in batches of `rows`."""
    pop, rng = fastmlp.Population(sizes, LANES, device="cpu", random_state=0), np.random.default_rng(0)
    X, y = (rng.normal(size=(120, n)).astype(np.float32) for n in (sizes[0], sizes[-1]))
    fit = partial(pop.fit, X, y, batch_size=rows, optimizer="adam", verbose=0)
    with patch.dict(os.environ, ONE_THREAD):
        return _of_epoch(fit, LANES * len(X) * pop.network.layout.products)


def seconds_of_unrolled(sizes: tuple[int, ...], optimizer: str) -> float:
    pop = fastmlp.Population(sizes, 64 * LANES, hidden_activation="sigmoid", device="cpu", random_state=0)
    with patch.dict(os.environ, ONE_THREAD), unrolled_at_once():
        return _of_epoch(
            partial(pop.fit, *XOR, optimizer=optimizer, verbose=0), 64 * LANES * 4 * pop.network.layout.products
        )


def _of_epoch(fit: Callable[..., Any], work: int) -> float:
    """Return the seconds of an epoch; work : its multiply-adds"""
    fit(epochs=1)  # compiles
    epochs = max(2, int(5e7 / work))
    return min(_seconds(lambda: fit(epochs=epochs)) / epochs for _ in range(TRIES))


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


class Study(NamedTuple):
    """A row of STUDIES.

    owner, name : what is replaced, of a module
    choices : two names, and function of a case that returns what stands in the place of the name for each of them
    """

    seconds: Callable[..., float]
    cases: Iterable[tuple[Any, Any]]
    owner: Any
    name: str
    choices: dict[str, Callable[[Any, Any], Any]]


def always(value: Any) -> Callable[..., Any]:
    return lambda *_: value


def lanes_from(n_nets: float) -> Callable[..., Any]:
    return lambda *_: ((inf, (n_nets, n_nets, n_nets)),)


FAMILIES = {
    "in lanes": lambda sizes, rows: always("batch_simd_4" if rows <= 4 else "batch_simd_16"),
    "by layers": always(always("layerwise")),
}
THREADS = {"one thread": always(always(1)), "all threads": always(always(n_threads_available()))}
LAYERS, WORK = [*product((*SMALL, *LARGE), ROWS)], [*product(THREADED, (64, 200, 512, 1024, 4096))]
STUDIES = {
    "family": Study(seconds_of_step, LAYERS, dispatch, "choose_family", FAMILIES),
    "pass": Study(seconds_of_pass, LAYERS, dispatch, "choose_evaluation_family", FAMILIES),
    "threads": Study(seconds_of_step, WORK, dispatch, "choose_threads", THREADS),
    "pass_threads": Study(seconds_of_pass, WORK, dispatch, "choose_evaluation_threads", THREADS),
    "lanes": Study(
        seconds_of_block,
        product(NETS, (4, 8, 32, 120)),
        thresholds,
        "LANES_FROM",
        {"in lanes": lanes_from(1), "one by one": lanes_from(inf)},
    ),
    "block": Study(
        seconds_of_unrolled,
        product(TINY, ("sgd", "adam", "rprop")),
        thresholds,
        "WIDE_UP_TO_PARAMS",
        {"two registers": always(10**9), "one": always(0)},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=STUDIES, default=[*STUDIES])
    parser.add_argument("--quick", action="store_true", help="the first case of each study only")
    options = parser.parse_args()
    start_clean()
    for name in options.only:
        study = STUDIES[name]
        print(f"{name:16} {'':>8} {'':>8}" + "".join(f"{choice:>16}" for choice in study.choices) + "  ratio")
        for case in [*study.cases][: 1 if options.quick else None]:
            sizes, other = case
            if isinstance(other, int) and other * sum(map(int.__mul__, sizes, sizes[1:])) > MOST_WORK:
                continue
            found = []
            for choose in study.choices.values():
                with ExitStack() as patches:
                    patches.enter_context(patch.object(study.owner, study.name, choose(*case)))
                    if study.owner is dispatch and "threads" not in name:
                        patches.enter_context(patch.dict(os.environ, ONE_THREAD))
                    found.append(1e6 * study.seconds(*case))
            params = sum((i + 1) * j for i, j in pairwise(sizes))
            text = f"{'-'.join(map(str, sizes)):16} {params:8} {other!s:>8}" + "".join(f"{us:13.1f} us" for us in found)
            print(f"{text}  {found[0] / found[1]:.2f}", flush=True)


if __name__ == "__main__":
    main()
