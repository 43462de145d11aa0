"""SIGKILL while a fit writes checkpoints: it goes on to the same bits, and loses an interval and a kernel call at most.

A process trains and prints what it does; it is killed after a random time, and started again with resume=True, until it
is done. A checkpoint is due an interval after the one before it, and is written when the kernel call ends in which it
became due. So the training of a net that a kill loses is bounded by the interval and the longest call. Both are
measured in each run, a call by the time between two reports, which includes what the fit does in between, and the time
for which a busy machine lets the process wait.
"""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fastmlp.kernels.structs import STEPS_DONE
from fastmlp.persistence.checkpoint_files import PREVIOUS, read

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")

EVERY = 0.05  # seconds between two checkpoints
PROGRAM = """
import os, sys, threading, time
import numpy as np
import fastmlp

kind, path, resume = sys.argv[1], sys.argv[2], sys.argv[3] == "resume"
rng = np.random.default_rng(0)
X = rng.normal(size=(400, 6))
y, held_out = (X[:, 0] > 0).astype(int), (X[:99], (X[:99, 0] > 0).astype(int))
settings = {"loss": "binary_cross_entropy", "device": "cpu", "random_state": 3}
fit = {"batch_size": 16, "validation_data": held_out, "early_stopping": 10**6, "verbose": 0}
fit |= {"checkpoint": fastmlp.Checkpoint(path, "EVERY s", resume)} if path != "-" else {}


def report(epoch, history):
    "The time and the number of epochs, about every millisecond."
    global before
    if time.monotonic() - before > 0.001:
        before = time.monotonic()
        print(before, epoch + 1, flush=True)


before = time.monotonic()
if kind == "net":
    net = fastmlp.MLP((6, 8, 1), **settings)
    history = net.fit(X, y, epochs=5_000, callbacks=report, **fit)
elif kind == "sweep":
    print(before, 0, flush=True)
    space = {"hidden_layer_sizes": [(4,), (5,), (6,), (7,)], "learning_rate": [0.01, 0.02, 0.05]}
    fit = {name: fit[name] for name in ("checkpoint",) if name in fit}
    found = fastmlp.sweep(X, y, space, n=12, epochs=250, random_state=3, device="cpu", verbose=0, **fit)
    net = found.best
    net.params[:3] = found.fold_scores.sum(), found.fold_scores[0, 0], found.train_losses.sum()
elif kind == "stream":
    rows = X.astype(np.float32)
    pieces = [(rows, y)] * 150  # 60,000 rows of 28 bytes, in five blocks
    net = fastmlp.MLP((6, 8, 1), **settings)
    net.fit(pieces, None, epochs=300, callbacks=report, memory_limit=1_000_000, **fit)
else:
    net = fastmlp.Population((6, 8, 1), {"lanes": 150, "one by one": 4}[kind], **settings)
    print(before, 0, flush=True)
    net.fit(X, y, epochs={"lanes": 500, "one by one": 2000}[kind], **fit)
np.save(path + ".npy" if path != "-" else sys.argv[4], net.params)
print("done", flush=True)
""".replace("EVERY", str(EVERY))


def start(kind, path, log, *more, n_threads=None):
    """Return a process that writes what it does to the file `log`: with a pipe, it would wait for its reader."""
    command = [sys.executable, "-c", PROGRAM, kind, str(path), *map(str, more)]
    environment = os.environ | ({} if n_threads is None else {"FASTMLP_NUM_THREADS": str(n_threads)})
    with open(log, "w", encoding="utf-8") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True, env=environment)


def files_of(path):
    return [file for file in (path, path.with_name(path.name + PREVIOUS)) if file.exists()]


@pytest.mark.parametrize(
    "kind",
    ["net", *(pytest.param(kind, marks=pytest.mark.full) for kind in ("lanes", "stream", "one by one", "sweep"))],
)
def test_killed_fits_go_on_to_the_same_bits(tmp_path, is_long, count, kind):
    n_kills, rng, lost = 50 if is_long else 1, random.Random(0), []
    path, log = tmp_path / "run.ckpt", tmp_path / "log"
    start(kind, "-", log, "anew", tmp_path / "expected.npy").communicate(timeout=120)
    assert log.read_text().endswith("done\n")
    kills = done = 0
    while kills < n_kills or not done:
        n_threads = 1 if kills % 2 else None  # with several, nets one by one wait for each other's states
        process = start(kind, path, log, "resume", n_threads=n_threads)
        while not (log.stat().st_size and list(tmp_path.glob("run.ckpt*"))) and process.poll() is None:
            time.sleep(0.005)
        if kills < n_kills:
            time.sleep(rng.uniform(0.0, 0.4))
            process.kill()
        _, errors = process.communicate(timeout=120)
        assert errors == ""
        lines = log.read_text()
        if done := lines.endswith("done\n"):
            np.testing.assert_array_equal(np.load(f"{path}.npy"), np.load(tmp_path / "expected.npy"))
            for file in tmp_path.glob("run.ckpt*"):  # begin again: there are kills to go
                file.unlink()
        else:
            kills += 1
            n_saved = epochs_saved(kind, path)
            if kind in ("net", "stream"):
                found, longest = training_after(lines.splitlines(keepends=True), n_saved)
                assert found <= EVERY + longest, lines
                lost.append(found)
    assert len(list(tmp_path.glob(".fastmlp-*.tmp"))) <= kills, "a killed process leaves the copy that it was writing"
    loses = f", of which one lost {1000 * max(lost):.0f} ms of training" if lost else ""
    count(f"kills of a fit with checkpoints ({kind}){loses}", n_kills)


def epochs_saved(kind, path):
    """Return the number of epochs in the checkpoint, which a kill must have left whole; 0 if there is none yet."""
    if not files_of(path):
        return 0
    arrays = read(path, {"net": "net", "stream": "net", "sweep": "sweep"}.get(kind, "population")).state
    if kind == "net":
        return arrays["net.0.scalars"][STEPS_DONE] / 25
    return len(arrays["net.0.loss"]) if kind == "stream" else 0


def training_after(lines, n_saved):
    """Return (seconds that were trained after the checkpoint, seconds of the longest call) of a killed process.

    lines : the time and the number of epochs, after each call or about every millisecond
    n_saved : number of epochs in the checkpoint
    """
    whole = [line.split() for line in lines if line.endswith("\n") and len(line.split()) == 2]
    moments, n_epochs = np.array(whole, float).reshape(-1, 2).T
    not_saved = moments[n_epochs > n_saved]
    return np.ptp(not_saved) if len(not_saved) else 0.0, np.diff(moments).max(initial=0.0)
