"""Published experiments that need data: Walker's two spirals, and Prechelt's Proben1.

    FASTMLP_DATA=FOLDER python bench/accuracy/published.py [two-spirals] [proben1] [--nets N]

Sources: the CMU neural-network benchmark archive, file two-spirals; Proben1, TR 21/94, nets without shortcut
connections. Only facts and figures are taken from them. The folder has two_spirals/two_spirals.npz with x_cmu and
y_cmu, and proben1/PROBLEM.npz, each with x_train, y_train, x_val, y_val, x_test and y_test. `fastmlp reproduce`
repeats the experiments that need none. The figures are in bench/log/reproduction.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from math import sqrt
from pathlib import Path

import numpy as np
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from suite.data import data_folder

from fastmlp import MLP, SGD, Converged, EarlyStopping, History, Population, Rprop, Uniform
from fastmlp.commands.reproduce import Experiment, Row, mean_row
from fastmlp.convergence import wilson_interval
from fastmlp.fit.interrupt_warnings import require_complete


def two_spirals(folder: Path, n_nets: int = 16, epochs: int = 20_000) -> Iterator[Row]:
    """Repeat Walker's experiment on the two spirals.

    Nets are 2-20-10-1 without shortcut connections, trained with batch size 1, learning rate 0.1, momentum 0.7 and
    tolerance 0.3.
    """
    found = np.load(folder / "two_spirals/two_spirals.npz")
    X, y = found["x_cmu"] / 6.5, found["y_cmu"].reshape(-1)
    pop = Population(
        (2, 20, 10, 1), n_nets, hidden_activation="sigmoid", output_activation="sigmoid", loss="squared_error",
        init=Uniform(-1, 1), random_state=1,
    )  # fmt: skip
    rule = SGD(0.05, momentum=0.7)  # Walker's error is half the square: its rate of 0.1 is 0.05 for our squared error
    rule_of_end = Converged(accuracy=1.0, margin=0.3)
    result = require_complete(
        pop.fit(X, y, epochs=epochs, batch_size=1, optimizer=rule, converged=rule_of_end, verbose=0)
    )
    times = result.epochs[result.converged].astype(float)
    low, high = wilson_interval(result.n_converged, result.n_finished)
    yield Row(
        f"learnt within {epochs:,} epochs", "1 of 1", f"{result.n_converged} of {n_nets}", f"{low:.2f} to {high:.2f}"
    )
    if len(times) > 1:
        yield Row(
            "epochs", "13,900", f"{times.mean():,.0f} (median {np.median(times):,.0f})",
            f"{times.min():,.0f} to {times.max():,.0f} (range)", bool(times.min() <= 13_900 <= times.max()),
        )  # fmt: skip


PROBEN1 = {  # problem: hidden layers, published mean test error in per cent, SD over 60 runs
    "cancer1": ((4, 2), 1.38, 0.49), "cancer2": ((8, 4), 4.77, 0.94), "cancer3": ((16, 8), 3.70, 0.52),
    "diabetes1": ((32,), 24.10, 1.91), "diabetes2": ((16, 8), 26.42, 2.26), "diabetes3": ((32,), 22.59, 2.23),
    "glass1": ((16, 8), 32.70, 5.34), "glass2": ((16, 8), 55.57, 3.70), "glass3": ((16, 8), 58.40, 7.82),
    "heart1": ((32,), 19.72, 0.96), "heart2": ((32,), 17.52, 1.14), "heart3": ((32,), 24.08, 1.12),
    "soybean1": ((16, 8), 29.40, 2.50), "soybean2": ((32,), 5.14, 1.05), "soybean3": ((16,), 11.54, 2.32),
    "thyroid1": ((16, 8), 2.38, 0.35), "thyroid2": ((8, 4), 1.91, 0.24), "thyroid3": ((16, 8), 2.27, 0.32),
}  # fmt: skip
PROBEN1_RUNS, PROBEN1_EPOCHS = 60, 3000


def prechelt_stops(epoch: int, history: History) -> bool:
    """Callback: Prechelt's stopping rule, checked every fifth epoch.

    Training ends if the validation error is 5 % above its lowest value so far (GL5), or if the mean training error of
    the last five epochs is within 0.1 permille of their lowest (P5 < 0.1).
    """
    if (epoch + 1) % 5:
        return False
    validation, training = history.record("validation_loss")[4::5], history.loss[-5:]
    return bool(validation[-1] > 1.05 * validation.min() or training.mean() < 1.0001 * training.min())


def proben1(folder: Path, n_nets: int = PROBEN1_RUNS) -> Iterator[Row]:
    """Repeat Prechelt's Proben1 runs: RPROP, linear outputs, squared error, Prechelt's stopping rule.

    The parameters of the best validation epoch are tested. Prechelt's sigmoid was x / sqrt(1 + x**2); softsign takes
    its place here. Initial weights from U(-0.1, 0.1) reproduce the published errors, weights from U(-0.5, 0.5) do not
    (bench/log/reproduction.md#quickprop-fahlman).
    """
    for problem, (hidden, error, sd) in PROBEN1.items():
        parts = np.load(folder / f"proben1/{problem}.npz")
        sizes = (parts["x_train"].shape[1], *hidden, parts["y_train"].shape[1])
        errors = np.empty(n_nets)
        for seed in range(n_nets):
            net = MLP(sizes, hidden_activation="softsign", init=Uniform(-0.1, 0.1), random_state=seed)
            history = net.fit(
                parts["x_train"], parts["y_train"], epochs=PROBEN1_EPOCHS, batch_size=None, optimizer=Rprop(0.1),
                validation_data=(parts["x_val"], parts["y_val"]), early_stopping=EarlyStopping(PROBEN1_EPOCHS),
                callbacks=[prechelt_stops], verbose=0,
            )  # fmt: skip
            require_complete(history)  # figures of an incomplete experiment would be wrong
            said = net.predict_classes(parts["x_test"])
            errors[seed] = 100.0 * (said != parts["y_test"].argmax(axis=1)).mean()
        yield mean_row(f"{problem}, {'-'.join(map(str, sizes))}", error, errors, spread=1.96 * sd / sqrt(PROBEN1_RUNS))


EXPERIMENTS = {
    "two-spirals": Experiment(
        "Two spirals, backprop", two_spirals, "epochs: of those that learnt; published is one run."
    ),
    "proben1": Experiment(
        "Proben1, RPROP, test error in per cent",
        proben1,
        "Layers of each net; the interval is of the mean over our runs, and agreement allows for the spread of the 60 "
        "published runs.",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"{' and '.join(EXPERIMENTS)}; both if none is given")
    parser.add_argument("--nets", type=int)
    given = parser.parse_args()
    for name in given.names or EXPERIMENTS:
        EXPERIMENTS[name].show(Console(), data_folder(), *([given.nets] if given.nets else []))


if __name__ == "__main__":
    main()
