"""What a checkpoint costs a fit: the copy of its state, and the file.

    python bench/studies/checkpoint_overhead.py [--folder FOLDER] [--writes 5] [--only nets populations streams sweeps]

Fits of nets with Adam write a checkpoint after each epoch, those of populations with Rprop after each kernel call,
those to rows on disk with Adam after each kernel call. Of a search, whose nets are trained one by one here, the
checkpoint of a population is written when each net in training has given its state, and at its end, and then that of
the search.
Prints, for each, the number of parameters, the bytes of the file, the median milliseconds to copy the state and to
write it (with its checksum, to the side, synchronised with the disk and renamed), and which part of five minutes, the
default interval, that is. Fits to rows on disk also copy the state at the end of each block, whether or not a
checkpoint is due: the last column has the milliseconds of such a copy, and which part of the time of a block it takes.
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
KINDS = "nets", "populations", "streams", "sweeps"
NETS = ((100, 256, 256, 10), (784, 1024, 1024, 10), (1024, 2048, 2048, 2048, 10))
POPULATIONS = (((2, 3, 1), 1_000), ((2, 3, 1), 100_000), ((13, 20, 3), 10_000))
N_SAMPLES, EPOCHS = 128, 20  # of a fit; epochs of populations
STREAM_ROWS, STREAM_EPOCHS = 2_000, 3  # in three blocks or more; epochs without checkpoints
MEMORY_LIMITS = {100: "1MB", 784: "5MB", 1024: "7MB"}  # by the number of inputs; the rows take more
SWEEP = {"n": 24, "cv": 3, "epochs": 20, "batch_size": 32}


class Clock:
    """Seconds of each call of a method, or of a function of a module.

    inner : Clock or None     of a method that it calls: calls of the outer one without it do not count
    """

    def __init__(self, owner: Any, name: str, inner: Clock | None = None):
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
    show(name, n_params, n_bytes, saves)


def show(name: str, n_params: int, n_bytes: int, saves: Clock, more: str = "") -> None:
    """Print what a checkpoint costs, by the times of its copies and writes."""
    writing = float(np.median(saves.inner_seconds))
    copying = float(np.median(np.subtract(saves.seconds, saves.inner_seconds)))
    share = (copying + writing) / INTERVAL
    print(
        f"{name:32} {n_params:12,} {n_bytes:14,} {1e3 * copying:9.1f} {1e3 * writing:9.1f} {100 * share:8.3f} % {more}",
        flush=True,
    )


def measure_stream(sizes: tuple[int, ...], saves: Clock, copies: Clock, blocks: Clock, path: Path) -> None:
    """Fit a net to rows on disk with checkpoints, and print what one costs.

    saves : of a state that is reached, with the file
    copies : of the state at the end of a block, and of one within it
    blocks : of the training of a block
    """
    from fastmlp import MLP

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(STREAM_ROWS, sizes[0])).astype(np.float32), rng.integers(0, sizes[-1], STREAM_ROWS)
    net = MLP(sizes, loss="softmax_cross_entropy", device="cpu", random_state=0)
    further = {"batch_size": 64, "memory_limit": MEMORY_LIMITS[sizes[0]], "optimizer": "adam", "verbose": 0}
    for clock in (saves, copies, blocks):
        clock.clear()
    net.fit([(X, y)], None, epochs=STREAM_EPOCHS, checkpoint=path, every="1 h", **further)
    copying, training = (float(np.median(clock.seconds)) for clock in (copies, blocks))
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    net.fit([(X, y)], None, epochs=1, checkpoint=path, every="0.000001 s", **further)
    share = f"{1e3 * copying:9.2f} ms, {100 * copying / training:.2f} % of a block"
    show("stream " + "-".join(map(str, sizes)), net.params.size, path.stat().st_size, saves, share)
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def measure_sweep(of_populations: Clock, of_search: Clock, copies: Clock, path: Path) -> None:
    """Search with checkpoints, and print what one of a population costs, and one of the search.

    copies : of the state of a net in training
    """
    from fastmlp import sweep

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1_000, 64)), rng.integers(0, 10, 1_000)
    space = {"hidden_layer_sizes": [(32,), (64, 32)], "learning_rate": np.geomspace(0.001, 0.01, 12)}
    settings = {**SWEEP, "device": "cpu", "random_state": 0, "verbose": 0}
    for clock in (of_populations, of_search, copies):
        clock.clear()
    best = sweep(X, y, space, **settings, checkpoint=path, every="0.000001 s").best
    populations = [file for file in path.parent.glob(f"{path.name}.*") if not file.name.endswith("previous")]
    n_bytes = max(file.stat().st_size for file in populations)
    copying = f"{1e3 * float(np.median(copies.seconds)):.2f} ms for each net in training"
    more = f"{copying}, {len(of_populations.seconds)} writes in {len(populations)} populations"
    show("sweep, its populations", best.params.size, n_bytes, of_populations, more)
    show("sweep, its scores", 0, path.stat().st_size, of_search)
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--writes", type=int, default=5, help="of a net")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="which fits to measure")
    options = parser.parse_args()
    start_clean()
    from fastmlp import MLP, Population
    from fastmlp.persistence.checkpoint_files import CheckpointFile
    from fastmlp.population_training.checkpoint_saver import PopulationSaver
    from fastmlp.population_training.kernel_calls import CallSaver
    from fastmlp.sweeps.search_file import SearchFile
    from fastmlp.training import fit_loop
    from fastmlp.training.fit_loop import Fit
    from fastmlp.training.fit_loop_on_blocks import StreamedFit

    rng, files = np.random.default_rng(0), Clock(CheckpointFile, "write")
    of_nets, of_populations = Clock(Fit, "_save", files), Clock(CallSaver, "save", files)
    of_search, of_streams = Clock(SearchFile, "save", files), Clock(StreamedFit, "_reach", files)
    copies, blocks = Clock(fit_loop, "state_of"), Clock(StreamedFit, "_train_block")
    of_slots = Clock(PopulationSaver, "save_slots", files)
    print(f"{'':32} {'parameters':>12} {'bytes':>14} {'copy, ms':>9} {'write, ms':>9}  of 5 min")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        path = Path(name) / "run.ckpt"
        for sizes in NETS if "nets" in options.only else ():
            X, y = rng.normal(size=(N_SAMPLES, sizes[0])), rng.integers(0, sizes[-1], N_SAMPLES)
            net = MLP(sizes, loss="softmax_cross_entropy", device="cpu", random_state=0)
            fit = partial(net.fit, X, y, epochs=options.writes, batch_size=64, every=1)
            measure("net " + "-".join(map(str, sizes)), net.params.size, fit, of_nets, path)
        for sizes, n_nets in POPULATIONS if "populations" in options.only else ():
            X, y = rng.normal(size=(N_SAMPLES, sizes[0])), rng.normal(size=(N_SAMPLES, sizes[-1]))
            pop = Population(sizes, n_nets, device="cpu", random_state=0)
            fit = partial(pop.fit, X, y, epochs=EPOCHS, optimizer="rprop")
            fit(verbose=0)  # compiles
            text = f"{n_nets:,} nets " + "-".join(map(str, sizes))
            measure(text, pop.params.size, partial(fit, every="0.000001 s"), of_populations, path)
        for sizes in NETS if "streams" in options.only else ():
            measure_stream(sizes, of_streams, copies, blocks, path)
        if "sweeps" in options.only:
            measure_sweep(of_slots, of_search, copies, path)


if __name__ == "__main__":
    main()
