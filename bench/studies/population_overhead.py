"""Cost of a fit of a population beside its epochs: the study behind scheduler.py and fit_with_restarts.py.

    python bench/studies/population_overhead.py [--nets 100000] [--sizes 2-2-1] [--activation sigmoid] [--optimizer sgd]
                                                [--epochs 1,16,500] [--records 64] [--pause 0.03]

XOR, full batch, one sigmoid output. Prints, for each number of epochs, the fastest of nine fits, which take turns:
milliseconds in all, in the training kernel, in the final evaluation, and in everything else (Python, new memory); and
nanoseconds per net and epoch, in all and in the training kernel since the line before.
FASTMLP_NUM_THREADS limits the threads.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from suite.clean_env import start_clean

RATES = {"sgd": 0.5, "adam": 0.01, "quickprop": 0.5, "rprop": 0.1}
ROUNDS = 9


class Clock:
    """Seconds in a function of a module, since the last reset."""

    def __init__(self, module, name: str):
        self.seconds, function = 0.0, getattr(module, name)

        def timed(*arguments):
            began = time.perf_counter()
            function(*arguments)
            self.seconds += time.perf_counter() - began

        setattr(module, name, timed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", type=int, default=100_000)
    parser.add_argument("--sizes", default="2-2-1")
    parser.add_argument("--activation", default="sigmoid")
    parser.add_argument("--optimizer", default="sgd", choices=RATES)
    parser.add_argument("--epochs", default="1,16,500")
    parser.add_argument(
        "--pause", type=float, default=0.0, help="seconds before each fit, in which threads fall asleep"
    )
    parser.add_argument("--records", type=int, help="largest number of losses that each net records")
    options = parser.parse_args()
    start_clean()
    import fastmlp
    from fastmlp.kernels.cpu import backend
    from fastmlp.population_training import fit_with_restarts

    if options.records:
        fit_with_restarts.MAX_RECORDS = options.records
    clocks = [Clock(backend, name) for name in ("train_nets", "evaluate_nets")]
    X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 1, 1, 0], np.float32)
    sizes, lengths = tuple(map(int, options.sizes.split("-"))), [int(n) for n in options.epochs.split(",")]
    pop = fastmlp.Population(
        sizes, options.nets, hidden_activation=options.activation, output_activation="sigmoid", random_state=0
    )
    rule = fastmlp.optimizer_from_name(options.optimizer, RATES[options.optimizer])
    pop.fit(X, y, epochs=2, optimizer=rule, verbose=0)
    fastest = dict.fromkeys(lengths, (np.inf,))
    for _ in range(ROUNDS):
        for epochs in lengths:
            for clock in clocks:
                clock.seconds = 0.0
            time.sleep(options.pause)
            began = time.perf_counter()
            pop.fit(X, y, epochs=epochs, optimizer=rule, verbose=0)
            total = time.perf_counter() - began
            fastest[epochs] = min(fastest[epochs], (total, *(clock.seconds for clock in clocks)))
    before = None
    for epochs, (total, training, evaluation) in fastest.items():
        per_net = 1e9 / options.nets
        text = f"{epochs:6} epochs {1e3 * total:8.2f} ms: training {1e3 * training:8.2f}, "
        text += f"evaluation {1e3 * evaluation:6.2f}, "
        text += f"else {1e3 * (total - training - evaluation):6.2f}; {per_net * total / epochs:6.2f} ns a net and epoch"
        if before:
            text += f", {per_net * (training - before[1]) / (epochs - before[0]):5.2f} of training"
        print(text, flush=True)
        before = epochs, training


if __name__ == "__main__":
    main()
