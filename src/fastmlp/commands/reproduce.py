"""Classic experiments of the literature, repeated with fastmlp: `fastmlp reproduce`.

Sources: Fahlman's 10,000 trials of quickprop on XOR (CMU neural-network benchmark archive, file xor, March 1989, and
his program quickprop.lisp); MathWorks, "Choose a Multilayer Neural Network Training Function". Only facts and figures
are taken from them. Choices that the sources leave open are explained in the code.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..convergence import Converged, wilson_interval
from ..errors import counted
from ..fit.interrupt_warnings import require_complete
from ..initialization import NguyenWidrow, Uniform
from ..optimizers import SGD, Adam, LevenbergMarquardt, Quickprop, Rprop
from ..population import Population
from ..population_result import PopulationResult

# Histogram of the epochs until convergence, from 0 to 99. The other trials of the 10,000 had not converged by then.
FAHLMAN_BINS = (
    0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 15, 38, 108, 238, 433, 633, 754, 878, 836, 842, 723, 628, 543, 427, 371, 285, 230,
    180, 126, 98, 77, 56, 45, 35, 32, 29, 19, 18, 18, 22, 16, 15, 8, 9, 11, 13, 5, 9, 6, 12, 5, 6, 3, 7, 6, 8, 3, 3,
    4, 5, 5, 4, 2, 5, 5, 2, 5, 4, 7, 6, 2, 4, 2, 5, 4, 3, 4, 0, 0, 1, 4, 1, 7, 2, 1, 4, 1, 1, 0, 3, 2, 2, 1, 2, 5, 1,
    3, 1, 1, 0,
)  # fmt: skip
FAHLMAN_TRIALS, FAHLMAN_MEAN, FAHLMAN_MEDIAN = 10_000, 28.78, 19  # failures count as 100 epochs in the mean
CUT = 100


class Row(NamedTuple):
    """One figure: the published value, our value, our 95 % interval, and whether both values agree."""

    name: str
    published: str
    ours: str
    interval: str = ""
    agrees: bool | None = None  # None: there is no published value to compare with


def mean_row(name: str, published: float, values: np.ndarray, digits: int = 2, spread: float = 0.0) -> Row:
    """Return a row that agrees if the published mean, plus or minus its uncertainty `spread`, is in our interval.

    The interval is the 95 % confidence interval of our mean, by the normal approximation.
    """
    mean, half = float(values.mean()), 1.96 * float(values.std(ddof=1)) / sqrt(len(values))
    low, high = mean - half, mean + half
    agrees = low - spread <= published <= high + spread
    return Row(name, f"{published:g}", f"{mean:.{digits}f}", f"{low:.{digits}f} to {high:.{digits}f}", agrees)


# ---- quickprop


def quickprop_xor(
    n_nets: int, *, epochs: int = CUT, bias_input: float = 0.5, decay: float = 1e-4, dtype: str = "float32"
) -> PopulationResult:
    """Repeat Fahlman's trials of XOR: a population of 2-2-1 nets, mu 2.25, weights from U(-1, 1), 100 epochs at most.

    As his program does, it uses the symmetric sigmoid with prime offset 0.1, the atanh error, epsilon 4.0 divided by
    the number of connections into a unit, and the 40-20-40 rule.

    Fahlman's tables leave some settings open, which his program has (quickprop.lisp, in the public domain). With the
    symmetric sigmoid, inputs are -0.5 and 0.5, and the input of the bias weights is 0.5. Bias weights count as
    connections. Weight decay adds 0.0001 times the weight to its slope. There is one difference: in his program, as far
    as a translation to C shows, bias weights decay too, and here they do not, since l2 applies to weights only. This
    hardly changes the statistics: 496 failures of 5,000 with decay of the biases, 493 without.

    epochs : largest number of epochs
    bias_input : input of the bias weights
    decay : factor of the weight decay
    """
    X, y = np.array(list(itertools.product((-0.5, 0.5), repeat=2))), np.array([0, 1, 1, 0]) - 0.5
    pop = Population(
        (2, 2, 1), n_nets, hidden_activation="fahlman_sigmoid", output_activation="fahlman_sigmoid",
        loss="atanh_error", init=Uniform(-1.0, 1.0), l2=decay / len(X), dtype=dtype, random_state=1,
    )  # fmt: skip
    # A bias of ours is Fahlman's bias weight, drawn like the other weights, times its constant input.
    for b in pop.network.layout.biases(np.arange(pop.params.shape[1])):
        pop.params[:, b] *= bias_input
    # Fahlman's program sums the gradient over the samples; ours is the mean.
    rule = Quickprop(4.0 * len(X), growth=2.25, by_fan_in=True, bias_input=bias_input)
    return require_complete(
        pop.fit(X, y, epochs=epochs, batch_size=None, optimizer=rule, converged="40-20-40", verbose=0)
    )


def epochs_to_learn(result: PopulationResult) -> np.ndarray:
    """Return the epochs until convergence of the nets that converged, as Fahlman counted them.

    The last epoch, which only finds that all outputs are right, is not counted.
    """
    return (result.epochs[result.converged] - 1).astype(float)


def kolmogorov_smirnov(times: np.ndarray, n_trials: int) -> float:
    """Return the Kolmogorov-Smirnov distance between our distribution of epochs and Fahlman's.

    Failures count as more than 99 epochs in both distributions.

    times : epochs until convergence, of our nets that converged
    n_trials : number of our nets
    """
    published = np.cumsum(FAHLMAN_BINS) / FAHLMAN_TRIALS
    ours = np.cumsum(np.bincount(times.astype(int), minlength=CUT + 1)[:CUT]) / n_trials
    return float(np.abs(ours - published).max())


def xor_quickprop(n_nets: int = FAHLMAN_TRIALS) -> Iterator[Row]:
    result = quickprop_xor(n_nets)
    failures, times = n_nets - result.n_converged, epochs_to_learn(result)
    low, high = (n_nets * rate for rate in wilson_interval(failures, n_nets))
    scale = n_nets / FAHLMAN_TRIALS
    wanted = (FAHLMAN_TRIALS - sum(FAHLMAN_BINS)) * scale
    yield Row(
        f"failures of {n_nets:,}", f"{wanted:g}", f"{failures:,}", f"{low:.0f} to {high:.0f}",
        abs(failures - wanted) <= 60 * max(scale, sqrt(scale)),
    )  # fmt: skip
    epochs = np.concatenate([times, np.full(failures, float(CUT))])
    yield mean_row("mean epochs, failures as 100", FAHLMAN_MEAN, epochs, spread=1.96 * 25.0 / sqrt(FAHLMAN_TRIALS))
    yield Row("SD, failures as 100", "25.00", f"{epochs.std(ddof=1):.2f}")
    median = np.median(times)
    yield Row("median of successes", f"{FAHLMAN_MEDIAN}", f"{median:g}", "", median in (19, 20))
    distance = kolmogorov_smirnov(times, n_nets)
    limit = 1.36 * sqrt(1 / FAHLMAN_TRIALS + 1 / n_nets)  # two samples, 5 %
    yield Row("Kolmogorov-Smirnov distance", "0", f"{distance:.4f}", f"0 to {limit:.4f}", distance <= limit)


# ---- Levenberg-Marquardt beside first-order rules

TRAINLM_NETS = 30
TRAINLM_RULES = {  # optimiser, and the largest number of epochs
    "LM": (LevenbergMarquardt(), 300),
    "Rprop": (Rprop(), 10_000),
    "Adam": (Adam(0.01), 10_000),
    "SGD, momentum": (SGD(0.05, momentum=0.9), 10_000),
}


def trainlm_problems() -> Iterator[tuple[str, tuple[int, ...], float, np.ndarray, np.ndarray]]:
    """Yield (name, layer sizes, goal, X, y) of the problems on which MathWorks compares training functions of MATLAB.

    CANCER and DIABETES are the training rows of Proben1's cancer1 and diabetes1, in the folder that FASTMLP_DATA names;
    without it they are left out. ENGINE and CHOLESTEROL are not public.
    """
    x = np.linspace(-1.0, 1.0, 41)[:, None]
    yield "SIN", (1, 5, 1), 0.002, x, np.sin(np.pi * x)
    bits = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
    yield "PARITY", (3, 10, 10, 1), 0.001, bits, bits.prod(axis=1, keepdims=True)
    folder = os.environ.get("FASTMLP_DATA", "")
    for name, sizes, goal in (("cancer", (9, 5, 5, 2), 0.012), ("diabetes", (8, 15, 15, 2), 0.05)):
        path = Path(folder, "proben1", f"{name}1.npz")
        if folder and path.exists():
            with np.load(path) as rows:
                yield name.upper(), sizes, goal, 2.0 * rows["x_train"] - 1.0, rows["y_train"]


def trainlm(n_nets: int = TRAINLM_NETS) -> Iterator[Row]:
    """Train nets from Nguyen and Widrow's parameters until the mean squared error of the problem, on the CPU."""
    for problem, sizes, goal, X, y in trainlm_problems():
        pop = Population(
            sizes, n_nets, hidden_activation="tanh", init=NguyenWidrow(), dtype="float64", device="cpu", random_state=1
        )
        for name, (rule, epochs) in TRAINLM_RULES.items():
            pop.fit(X, y, epochs=1, batch_size=None, optimizer=rule, verbose=0)  # loads its kernels
            pop.reset()
            result = require_complete(
                pop.fit(X, y, epochs=epochs, batch_size=None, optimizer=rule, converged=Converged(loss=goal), verbose=0)
            )
            ms = 1e3 * result.training_seconds / n_nets
            yield Row(f"{problem}, {name}", "", f"{ms:.3g} ms, {result.n_converged:,} of {n_nets:,}")


class Experiment(NamedTuple):
    """An experiment; run : function (number of nets) that yields rows; legend : the caption of their table"""

    title: str
    run: Callable[..., Iterator[Row]]
    legend: str

    def show(self, console: Any, *arguments: Any) -> None:
        """Run the experiment with these arguments, and print its table; after Ctrl-C, that of the finished rows."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(title=self.title, box=SIMPLE_HEAD, caption=self.legend, caption_justify="left")
        for column in ("", "published", "ours", "95 % interval", "agrees"):
            table.add_column(column, justify="left" if not column else "right", no_wrap=bool(column))
        try:
            with console.status(f"{self.title} ...") as status:
                for row in self.run(*arguments):
                    verdict = "" if row.agrees is None else "yes" if row.agrees else "no"
                    table.add_row(row.name, row.published, row.ours, row.interval, verdict)
                    status.update(f"{self.title}: {counted(table.row_count, 'row')} ...")
        finally:
            if table.row_count:
                console.print(table)


EXPERIMENTS = {
    "xor-quickprop": Experiment(
        "XOR with quickprop, Fahlman's 10,000 trials",
        xor_quickprop,
        "A net that has not learned within 99 epochs is a failure. agrees: the published figure is within what chance "
        "explains.",
    ),
    "trainlm": Experiment(
        "Training functions on the problems of MATLAB's comparison",
        trainlm,
        "LM: Levenberg-Marquardt. ours: time of a net until the goal, all nets in one call, and how many reach it. "
        "Goals, mean squared error, and nets: SIN 0.002, 1-5-1; PARITY 0.001, 3-10-10-1; CANCER 0.012, 9-5-5-2; "
        "DIABETES 0.05, 8-15-15-2.",
    ),
}
