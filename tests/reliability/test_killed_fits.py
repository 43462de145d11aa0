"""SIGKILL while a fit writes checkpoints: it goes on to the same bits, and no more than an interval is lost.

A process trains and prints the epochs done; it is killed after a random time, and started again with resume=True, until
it is done.
"""

import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fastmlp.kernels.structs import STEPS_DONE
from fastmlp.persistence.checkpoints import PREVIOUS, read

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")

EVERY = 0.05  # seconds between two checkpoints
# A kill may come while a checkpoint is written, or before the kernel call is over in which it is due.
LATEST = 1.0  # seconds after which a checkpoint must be there on a busy machine
PROGRAM = """
import sys, time
import numpy as np
import fastmlp

kind, path, resume = sys.argv[1], sys.argv[2], sys.argv[3] == "resume"
rng = np.random.default_rng(0)
X = rng.normal(size=(400, 6))
y, held_out = (X[:, 0] > 0).astype(int), (X[:99], (X[:99, 0] > 0).astype(int))
settings = {"loss": "binary_cross_entropy", "device": "cpu", "random_state": 3}
fit = {"batch_size": 16, "validation_data": held_out, "early_stopping": 10**6, "verbose": 0}
fit |= {"checkpoint": path, "every": "EVERY s", "resume": resume} if path != "-" else {}


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
    fit = {name: fit[name] for name in ("checkpoint", "every", "resume") if name in fit}
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


def start(kind, path, *more):
    command = [sys.executable, "-c", PROGRAM, kind, str(path), *map(str, more)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def files_of(path):
    return [file for file in (path, path.with_name(path.name + PREVIOUS)) if file.exists()]


@pytest.mark.parametrize("kind", ["net", "stream", "lanes", "one by one", "sweep"])
def test_killed_fits_go_on_to_the_same_bits(tmp_path, is_long, count, kind):
    n_kills, rng, path, lost = 50 if is_long else 2, random.Random(0), tmp_path / "run.ckpt", []
    process = start(kind, "-", "anew", tmp_path / "expected.npy")
    assert process.communicate(timeout=120)[0].endswith("done\n")
    kills = done = 0
    while kills < n_kills or not done:
        process = start(kind, path, "resume")
        first = process.stdout.readline()
        while not list(tmp_path.glob("run.ckpt*")) and process.poll() is None:
            time.sleep(0.005)
        if kills < n_kills:
            time.sleep(rng.uniform(0.0, 0.4))
            process.kill()
        lines, errors = process.communicate(timeout=120)
        assert errors == ""
        if done := lines.endswith("done\n"):
            np.testing.assert_array_equal(np.load(f"{path}.npy"), np.load(tmp_path / "expected.npy"))
            for file in tmp_path.glob("run.ckpt*"):  # begin again: there are kills to go
                file.unlink()
        else:
            kills += 1
            kinds = {"net": "net", "stream": "net", "sweep": "sweep"}
            if files_of(path):
                state = read(path, kinds.get(kind, "population")).state
            if kind == "net":
                lost += lost_seconds((first + lines).splitlines(), state.arrays["scalars"][STEPS_DONE] / 25)
            elif kind == "stream":
                lost += lost_seconds((first + lines).splitlines(), len(state.arrays["net.0.loss"]))
    assert not lost or max(lost) < EVERY + LATEST
    assert not list(tmp_path.glob(".fastmlp-*.tmp")) or not done
    count(f"kills of a fit with checkpoints ({kind})", n_kills)
    if lost:
        count("ms of training lost by a kill, at most", round(1000 * max(lost)))


def lost_seconds(lines, n_saved):
    """Return [seconds that were trained after the checkpoint], or [] if the process was killed before it reported."""
    reports = [(float(line.split()[0]), int(line.split()[1])) for line in lines if len(line.split()) == 2]
    if len(reports) < 2:
        return []
    not_saved = [moment for moment, n_epochs in reports if n_epochs > n_saved]
    return [reports[-1][0] - not_saved[0]] if not_saved else [0.0]
