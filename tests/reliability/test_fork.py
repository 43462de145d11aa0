"""Forks while another thread compiles or loads a kernel, and so holds locks: child and parent can both train nets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastmlp

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")

HEAD = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forks in a process with threads
import numpy as np, fastmlp
X = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)

def fit(sizes=(2, 1), predicts=False):
    net = fastmlp.MLP(sizes, random_state=0, device="cpu")
    stopped_by = net.fit(X, X[:, 0], epochs=3, verbose=0).stopped_by
    if predicts:
        net.predict(X)
    return stopped_by

def child_fits():
    child = os.fork()
    if not child:
        signal.alarm(200)  # ends it, where it waits for ever
        os._exit(0 if fit(predicts=True) == "epochs" else 1)  # predictions have a kernel that is not loaded yet
    _, status = os.waitpid(child, 0)
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
"""
HELD = (
    HEAD
    + """
from fastmlp.kernels.jit import call
from fastmlp.kernels.system import fork_lock

begun, forked, order = threading.Event(), threading.Event(), []

def compiled():
    begun.set()
    forked.wait({wait})
    order.append("compiled")
    raise ValueError

def compile_for_long():
    try:
        call.load_function("a kernel", compiled)
    except ValueError:
        pass

fork_lock.PATIENCE = {patience}
fit((2, 3, 1))
thread = threading.Thread(target=compile_for_long)
thread.start()
begun.wait()
print(child_fits(), order)
forked.set()
thread.join()
print(fit())
"""
)
COLD = (
    HEAD
    + """
results = []
thread = threading.Thread(target=lambda: results.append(fit()))
thread.start()
while sys.argv[1] not in sys.modules:
    time.sleep(0.001)
time.sleep(float(sys.argv[2]))
print(child_fits())  # which compiles what it predicts with
thread.join()
print(results, fit())
"""
)


def run(program, *arguments, cache=None):
    environment = {**os.environ, "PYTHONPATH": str(Path(fastmlp.__file__).parents[1])}
    if cache is not None:
        environment |= {"NUMBA_CACHE_DIR": str(cache), "FASTMLP_COMPILE_PROCESSES": "2"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_fork_waits_for_a_kernel_compiled_by_another_thread(count):
    assert run(HELD.format(wait=0.5, patience=60.0)) == ["True ['compiled']", "epochs"]
    count("forks while another thread held the lock", 1)


def test_fork_stops_waiting_after_its_limit():
    assert run(HELD.format(wait=400.0, patience=0.1)) == ["True []", "epochs"]


@pytest.mark.parametrize("module", ["llvmlite", "fastmlp.kernels.structs"])
def test_fork_waits_for_an_import_in_another_thread(module, count):
    """A child would otherwise wait for ever for a module that a thread of its parent had begun to import."""
    assert run(COLD, module, 0.0) == ["True", "['epochs'] epochs"]
    count("forks while the backend was imported", 1)


def test_forks_during_a_cold_fit_work(is_long, tmp_path, count):
    """A fork may come while another thread imports Numba or compiles."""
    if not is_long:
        pytest.skip("a cold fit for each moment takes half a minute")
    moments = [("numba", 0.0), ("numba.core", 0.05)]
    moments += [("fastmlp.kernels.jit.compiler", seconds) for seconds in (0.0, 0.5, 1.0, 2.0, 4.0)]
    for k, (module, seconds) in enumerate(moments):
        found = run(COLD, module, seconds, cache=tmp_path / str(k))
        assert found == ["True", "['epochs'] epochs"], (module, seconds)
    count("forks during a cold fit", len(moments))
