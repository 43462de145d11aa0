"""Fits under stress: threads, forks, nested processes, an ending interpreter, errors of callbacks, no room, few CPUs.

The result has the bits of the same fit alone, or there is an error with a sentence. Killed processes, full disks and
Ctrl-C are in other modules.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastmlp import MLP, MLPClassifier, Population

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 6)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
SIZES = {"batch_simd": (6, 8, 2), "layerwise": (6, 90, 70, 2)}  # a net of each large family
FIT = {"epochs": 4, "batch_size": 32, "optimizer": "adam", "verbose": 0}


def fitted(sizes, seed, **options):
    net = MLP(sizes, loss="softmax_cross_entropy", random_state=seed, device="cpu")
    net.fit(X, Y, **FIT | options)
    return net


def population(seed):
    pop = Population((6, 8, 2), 20, loss="softmax_cross_entropy", random_state=seed, device="cpu")
    pop.fit(X, Y, **FIT)
    return pop


def test_fits_and_predictions_of_eight_threads_equal_those_of_one(count, is_long):
    nets = [fitted(sizes, seed) for sizes in SIZES.values() for seed in (0, 1)]
    jobs = [lambda sizes=sizes, seed=seed: fitted(sizes, seed).params for sizes in SIZES.values() for seed in (0, 1)]
    jobs += [lambda net=net: net.predict(X) for net in nets]
    jobs += [lambda seed=seed: population(seed).params for seed in (0, 1)]
    jobs *= 20 if is_long else 3
    expected = [job() for job in jobs[:10]]
    with ThreadPoolExecutor(8) as pool:
        for k, found in enumerate(pool.map(lambda job: job(), jobs)):
            assert (found == expected[k % 10]).all(), k
    count("jobs of eight threads", len(jobs))


FORK = """
import os
import numpy as np, fastmlp

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
y = (X[:, 0] > 0).astype(int)
make = lambda: fastmlp.MLP((3, 40, 40, 1), loss="binary_cross_entropy", random_state=0, device="cpu")
alone = make()
alone.fit(X, y, epochs=6, batch_size=10, verbose=0)
statuses = []

def fork(epoch, history):
    if epoch != 2:
        return
    child = os.fork()
    if not child:
        net = make()
        net.fit(X, y, epochs=6, batch_size=10, verbose=0)
        os._exit(0 if (net.params == alone.params).all() else 1)
    statuses.append(os.waitpid(child, 0)[1])

net = make()
net.fit(X, y, epochs=6, batch_size=10, verbose=0, callbacks=fork)
print(statuses, bool((net.params == alone.params).all()))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork")
def test_child_forked_in_the_middle_of_a_fit_trains_to_the_same_bits(fresh_python):
    done = fresh_python(FORK)
    assert (done.returncode, done.stdout.strip()) == (0, "[0] True"), done.stderr


NESTED = """
import warnings
import numpy as np
from joblib import Parallel, delayed
from multiprocessing import get_context
import fastmlp

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
y = (X[:, 0] > 0).astype(int)

def fit(seed):
    net = fastmlp.MLP((3, 8, 1), loss="binary_cross_entropy", random_state=seed, device="cpu")
    net.fit(X, y, epochs=3, batch_size=10, verbose=0)
    return net.params.copy()

def inner(seed):
    return Parallel(n_jobs=2)(delayed(fit)(10 * seed + k) for k in range(2))

if __name__ == "__main__":
    nested = [params for pair in Parallel(n_jobs=2)(delayed(inner)(seed) for seed in range(2)) for params in pair]
    expected = [fit(10 * seed + k) for seed in range(2) for k in range(2)]
    print(all((a == b).all() for a, b in zip(nested, expected)))
    with get_context("spawn").Pool(1) as pool:
        print(bool((pool.map(fit, [3])[0] == fit(3)).all()))
"""


def test_nested_and_spawned_processes_train_to_the_same_bits(python_file):
    done = python_file(NESTED)
    assert (done.returncode, done.stdout.split()) == (0, ["True", "True"]), done.stderr[-2000:]


EXIT = """
import os, sys, threading, time
os.environ["FASTMLP_NUM_THREADS"] = "2"  # two nets at the same time
import numpy as np, fastmlp

X = np.random.default_rng(0).normal(size=(2000, 40)).astype(np.float32)
given = {"random_state": 0, "device": "cpu"}
small, large = fastmlp.MLP((40, 8, 1), **given), fastmlp.MLP((40, 200, 200, 1), **given)
streamed, nets = fastmlp.MLP((40, 8, 1), **given), fastmlp.Population((40, 200, 200, 1), 2, **given)
table = fastmlp.TabularMLPRegressor(max_iter=10**6, n_iter_no_change=10**6, **given)
pieces = [(X, X[:, 0])] * 20  # 6.5 MB
began = threading.Semaphore(0)
fit = {"epochs": 10**9, "batch_size": 100, "callbacks": lambda epoch, history: began.release()}
for train in (
    lambda: small.fit(X, X[:, 0], verbose=0, **fit),
    lambda: large.fit(X, X[:, 0], verbose=0, **fit),
    lambda: streamed.fit(pieces, None, memory_limit="2MB", **fit | {"epochs": 10**6}),
    lambda: nets.fit(X, X[:, 0], epochs=10**6, verbose=0),
    lambda: table.fit(X[:, :2], X[:, 2]),
):
    threading.Thread(target=train, daemon=True).start()
for _ in range(3):
    began.acquire()
while len(sys._current_frames()) < 10:  # the main thread, five fits, and two threads each of the last two
    time.sleep(0.01)
time.sleep(0.5)
print("end")
"""


@pytest.mark.full
def test_interpreter_exits_while_daemon_threads_train(fresh_python, monkeypatch, tmp_path):
    """Nets in memory, nets at the same time, and a net on rows on disk."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = fresh_python(EXIT)
    assert (done.returncode, done.stdout.strip()) == (0, "end"), done.stderr[-2000:]
    assert "from disk in each epoch" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Fatal" not in done.stderr
    assert list(tmp_path.iterdir()) == [], "rows on disk are removed at the end of the process"


def test_errors_of_callbacks_leave_nets_that_go_on():
    def fail(epoch, history):
        if epoch == 1:
            raise RuntimeError("of a callback")

    for sizes in SIZES.values():
        net = MLP(sizes, loss="softmax_cross_entropy", random_state=0, device="cpu")
        with pytest.raises(RuntimeError, match="of a callback"):
            net.fit(X, Y, **FIT, callbacks=fail)
        assert net.history.epochs == 2
        assert np.isfinite(net.params).all()
        assert (net.params == fitted(sizes, 0, epochs=2).params).all()
        net.fit(X, Y, **FIT)
        assert np.isfinite(net.params).all()


def test_callbacks_may_fit_and_predict():
    others = []

    def use(epoch, history):
        others.append((fitted((6, 8, 2), epoch).params.copy(), history.net.predict(X[:5]), population(epoch).params))

    for sizes in SIZES.values():
        others.clear()
        net = fitted(sizes, 0, callbacks=use)
        assert (net.params == fitted(sizes, 0).params).all()
        assert all((params == fitted((6, 8, 2), k).params).all() for k, (params, _, _) in enumerate(others))
        assert (others[-1][1] == net.predict(X[:5])).all()
        assert (others[0][2] == population(0).params).all()


NO_ROOM = """
import numpy as np, fastmlp

X = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
net = fastmlp.MLP((2, 1), random_state=0, device="cpu")
print(net.fit(X, X[:, 0], epochs=3, verbose=0).epochs)
"""


@pytest.mark.full
def test_a_home_and_a_temporary_folder_that_cannot_be_written_cost_only_the_cache(fresh_python, monkeypatch):
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "/proc/nothing")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    done = fresh_python(NO_ROOM)
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr[-2000:]


FEW = """
import os, json, sys
if sys.argv[1] == "one":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np, fastmlp

X = np.random.default_rng(0).normal(size=(500, 20)).astype(np.float32)
sums = []
for sizes in ((20, 8, 1), (20, 200, 200, 1)):
    net = fastmlp.MLP(sizes, random_state=0, device="cpu")
    net.fit(X, X[:, 0], epochs=2, batch_size=250, verbose=0)
    sums.append(net.params.tobytes().hex()[-400:])
print(json.dumps(sums))
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_one_cpu_and_more_threads_than_cpus_train_to_the_same_bits(python_file, monkeypatch):
    found = []
    for affinity, threads in (("all", None), ("one", None), ("one", "5"), ("all", "9")):
        if threads:
            monkeypatch.setenv("FASTMLP_NUM_THREADS", threads)
        done = python_file(FEW, affinity)
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(json.loads(done.stdout))
    assert all(sums == found[0] for sums in found)


def fit_net(k):
    net = MLP((6, 4, 1), random_state=k, device="cpu")
    net.fit(X[:20], Y[:20], epochs=2, verbose=0)
    net.predict(X)


def fit_population(k):
    pop = Population((6, 4, 1), 20, random_state=k, device="cpu")
    pop.fit(X[:20], Y[:20], epochs=2, verbose=0)
    pop.predict(X)


def fit_stream(k):
    """Fit to 21,000 rows that are read from a file on disk in blocks, in a folder of its own for each fit."""
    net = MLP((6, 4, 1), random_state=k, device="cpu")
    net.fit([(X, Y)] * 70, None, epochs=2, batch_size=1000, memory_limit=1_000_000, verbose=0)
    assert "memory_limit" in net.history.settings


def fit_classifier(k):
    model = MLPClassifier((4,), max_iter=2, random_state=k, device="cpu", verbose=False)
    model.fit(X[:40], Y[:40])
    model.predict_proba(X)


MEASUREMENTS = 20  # of memory during the fits: single ones vary by most of a MiB, since allocators keep some
# of each kind: fits in the short form, and how many times as many in the long one
MANY = {fit_net: (1_000, 10), fit_population: (100, 10), fit_stream: (20, 40), fit_classifier: (50, 20)}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("fit", MANY, ids=lambda fit: fit.__name__)
@pytest.mark.filterwarnings("ignore:Training reached max_iter")
def test_memory_is_the_same_after_many_fits(count, is_long, fit):
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    n, times = MANY[fit]
    for k in range(n // 4):
        fit(k)
    n = n * times if is_long else n
    memory = []
    for k in range(n):
        fit(k)
        if k % (n // MEASUREMENTS) == 0:
            memory.append(resident())
    first, second = np.array_split(memory, 2)
    assert np.median(second) - np.median(first) < 2**20, memory
    count(f"fits within a MiB of memory ({fit.__name__})", n)
