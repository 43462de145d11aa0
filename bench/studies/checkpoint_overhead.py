"""What a checkpoint costs a fit: the copy of its state, and the file.

    python bench/studies/checkpoint_overhead.py [--folder FOLDER] [--writes 5]

Fits of nets with Adam write a checkpoint after each epoch, those of populations with Rprop after each kernel call.
Prints, for each, the number of parameters, the bytes of the file, the median milliseconds to copy the state and to
write it (with its checksum, to the side, synchronised with the disk and renamed), and which part of five minutes, the
default interval, that is.
FOLDER, by default the one for temporary files, should be on the disk that checkpoints are written to.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from suite.clean_env import start_clean

INTERVAL = 300.0  # seconds
NETS = ((100, 256, 256, 10), (784, 1024, 1024, 10), (1024, 2048, 2048, 2048, 10))
POPULATIONS = (((2, 3, 1), 1_000), ((2, 3, 1), 100_000), ((13, 20, 3), 10_000))
N_SAMPLES, EPOCHS = 128, 20  # of a fit; epochs of populations


class Clock:
    """Seconds of each call of a method.

    inner : Clock or None     of a method that it calls: calls of the outer one without it do not count
    """

    def __init__(self, owner: type, name: str, inner: Clock | None = None):
        self.seconds: list[float] = []
        self.inner_seconds: list[float] = []  # of each call
        method = getattr(owner, name)

        def timed(*arguments: Any, **names: Any) -> Any:
            n_inner, began = 0 if inner is None else len(inner.seconds), time.perf_counter()
            result = method(*arguments, **names)
            seconds = time.perf_counter() - began
            if inner is None or len(inner.seconds) > n_inner:
                self.seconds.append(seconds)
                self.inner_seconds.append(0.0 if inner is None else sum(inner.seconds[n_inner:]))
            return result

        setattr(owner, name, timed)

    def clear(self) -> None:
        self.seconds.clear()
        self.inner_seconds.clear()


def measure(name: str, n_params: int, fit: Callable[..., Any], saves: Clock, path: Path) -> None:
    """Fit with checkpoints in a file, and print what one costs; fit : function of further arguments of a fit"""
    saves.clear()
    fit(checkpoint=path, verbose=0)
    n_bytes = path.stat().st_size
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    writing = float(np.median(saves.inner_seconds))
    copying = float(np.median(np.subtract(saves.seconds, saves.inner_seconds)))
    share = (copying + writing) / INTERVAL
    print(
        f"{name:32} {n_params:12,} {n_bytes:14,} {1e3 * copying:9.1f} {1e3 * writing:9.1f} {100 * share:8.3f} %",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--writes", type=int, default=5, help="of a net")
    options = parser.parse_args()
    start_clean()
    from fastmlp import MLP, Population
    from fastmlp.persistence.checkpoints import CheckpointFile
    from fastmlp.population_training.together import CallSaver
    from fastmlp.training.fit_loop import Fit

    rng, files = np.random.default_rng(0), Clock(CheckpointFile, "write")
    of_nets, of_populations = Clock(Fit, "_save", files), Clock(CallSaver, "save", files)
    print(f"{'':32} {'parameters':>12} {'bytes':>14} {'copy, ms':>9} {'write, ms':>9}  of 5 min")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        path = Path(name) / "run.ckpt"
        for sizes in NETS:
            X, y = rng.normal(size=(N_SAMPLES, sizes[0])), rng.integers(0, sizes[-1], N_SAMPLES)
            net = MLP(sizes, loss="softmax_cross_entropy", device="cpu", random_state=0)
            fit = partial(net.fit, X, y, epochs=options.writes, batch_size=64, every=1)
            measure("net " + "-".join(map(str, sizes)), net.params.size, fit, of_nets, path)
        for sizes, n_nets in POPULATIONS:
            X, y = rng.normal(size=(N_SAMPLES, sizes[0])), rng.normal(size=(N_SAMPLES, sizes[-1]))
            pop = Population(sizes, n_nets, device="cpu", random_state=0)
            fit = partial(pop.fit, X, y, epochs=EPOCHS, optimizer="rprop")
            fit(verbose=0)  # compiles
            text = f"{n_nets:,} nets " + "-".join(map(str, sizes))
            measure(text, pop.params.size, partial(fit, every="0.000001 s"), of_populations, path)


if __name__ == "__main__":
    main()
