"""SIGKILL while a fit writes checkpoints: it goes on to the same bits, and no more than an interval is lost.

A process trains and prints what it does; it is killed after a random time, and started again with resume=True, until it
is done. A net prints its epochs, of which no more than those of an interval may be missing in the file. A population
prints when a kernel call ends and when a checkpoint is written: it is written after the first call that ends when it is
due, so that a kill loses the interval and the call in which it became due.
"""

import math
import os
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
from fastmlp.kernels.structs import STEPS_DONE

kind, path, resume = sys.argv[1], sys.argv[2], sys.argv[3] == "resume"
rng = np.random.default_rng(0)
X = rng.normal(size=(400, 6))
y, held_out = (X[:, 0] > 0).astype(int), (X[:99], (X[:99, 0] > 0).astype(int))
settings = {"loss": "binary_cross_entropy", "device": "cpu", "random_state": 3}
fit = {"batch_size": 16, "validation_data": held_out, "early_stopping": 10**6, "verbose": 0}
fit |= {"checkpoint": path, "every": "EVERY s", "resume": resume} if path != "-" else {}


def logged(place, name, event, after, detail=lambda *_: ""):
    "Print an event, the time and a detail, before or after each call of a function."
    function = getattr(place, name)

    def called(*arguments, **names):
        if not after:
            print(event, time.monotonic(), detail(*arguments), flush=True)
        found = function(*arguments, **names)
        if after:
            print(event, time.monotonic(), detail(*arguments), flush=True)
        return found

    setattr(place, name, called)


def n_steps(file, checkpoint, *_):
    "The number of steps, 25 in an epoch, that all nets have in a checkpoint."
    arrays = checkpoint.state.arrays
    in_lanes = sum(25 * int(arrays[name].sum()) for name in ("outcome.epochs", "nets.epochs") if name in arrays)
    scalars = {name.split(".")[1]: name for name in arrays if name.split(".")[::2] == ["net", "scalars"]}
    running = [name for net, name in scalars.items() if not arrays["outcome.status"][int(net)]]
    one_by_one = (arrays[name][STEPS_DONE] for name in running)
    return f"{file.kind} {in_lanes + int(sum(one_by_one))}"


if kind not in ("net", "stream"):
    from fastmlp.persistence.checkpoints import CheckpointFile
    from fastmlp.population_training.together import CallSaver
    from fastmlp.population_training.saving import NetSlot

    logged(CheckpointFile, "begin", "begin", True, lambda file, *_: file.kind)
    logged(CheckpointFile, "write", "saved", True, n_steps)
    logged(CallSaver, "after_call", "call", False)
    logged(CallSaver, "save", "restarted", True)
    logged(NetSlot, "is_due", "call", False)


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


def start(kind, path, log, *more, n_threads=None):
    """Return a process that writes what it does to the file `log`: with a pipe, it would wait for its reader."""
    command = [sys.executable, "-c", PROGRAM, kind, str(path), *map(str, more)]
    environment = os.environ | ({} if n_threads is None else {"FASTMLP_NUM_THREADS": str(n_threads)})
    with open(log, "w", encoding="utf-8") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True, env=environment)


def files_of(path):
    return [file for file in (path, path.with_name(path.name + PREVIOUS)) if file.exists()]


@pytest.mark.parametrize("kind", ["net", "stream", "lanes", "one by one", "sweep"])
def test_killed_fits_go_on_to_the_same_bits(tmp_path, is_long, count, kind):
    n_kills, rng, lost, late = 50 if is_long else 1, random.Random(0), [], []
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
        if kind == "lanes" or (kind in ("one by one", "sweep") and n_threads == 1):
            late.append(calls_until_saved(lines.splitlines(keepends=True)))
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
                lost += lost_seconds(lines.splitlines(), state.arrays["scalars"][STEPS_DONE] / 25)
            elif kind == "stream":
                lost += lost_seconds(lines.splitlines(), len(state.arrays["net.0.loss"]))
    assert not lost or max(lost) < EVERY + LATEST
    assert max(late, default=1) <= 1
    assert not list(tmp_path.glob(".fastmlp-*.tmp")) or not done
    count(f"kills of a fit with checkpoints ({kind})", n_kills)
    if lost:
        count("ms of training lost by a kill, at most", round(1000 * max(lost)))
    if late:
        count(f"kernel calls from when a checkpoint was due until it was written, at most ({kind})", max(late))


def lost_seconds(lines, n_saved):
    """Return [seconds that were trained after the checkpoint], or [] if the process was killed before it reported."""
    reports = [(float(line.split()[0]), int(line.split()[1])) for line in lines if len(line.split()) == 2]
    if len(reports) < 2:
        return []
    not_saved = [moment for moment, n_epochs in reports if n_epochs > n_saved]
    return [reports[-1][0] - not_saved[0]] if not_saved else [0.0]


def calls_until_saved(lines):
    """Return how many kernel calls ended when a checkpoint was due before it was written, at most.

    The steps in a checkpoint must be more than those in the one before it, if a call has ended in between.
    """
    most = n_calls = n_due = 0
    since, n_saved = math.inf, -1
    for line in lines:
        if not line.endswith("\n") or line == "done\n":  # the first is one of a killed process
            break
        event, moment, *detail = line.split()
        if event == "call":
            n_calls, n_due = n_calls + 1, n_due + (float(moment) - since >= EVERY)
            most = max(most, n_due)
        elif event == "restarted":  # the clock of the interval, after a checkpoint of nets in lanes
            since = float(moment)
        elif detail[:1] == ["population"]:
            since, n_due = float(moment), 0
            n_before, n_saved = n_saved, int(detail[1]) if event == "saved" else -1
            assert event == "begin" or not n_calls or n_saved > n_before, "the state of an earlier checkpoint"
            n_calls = 0
    return most
