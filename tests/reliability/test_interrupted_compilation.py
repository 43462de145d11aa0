"""SIGINT during the first fit of a process, which imports Numba and compiles kernels.

The fit ends after the kernel call for which something was imported or compiled, and the next fit works. Its history
says that it was interrupted; where the interrupt came before the first kernel was asked for, KeyboardInterrupt is
raised.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastmlp

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="os.kill has no SIGINT there, it ends the process"),
    pytest.mark.skipif(
        (Path(fastmlp.__file__).parent / "kernels" / "shipped").is_dir(),
        reason="kernels/shipped has prebuilt kernels, so that nothing is compiled",
    ),
]

# SIGINT is sent when a module has been imported, or some seconds later, and once more, as by an impatient user.
PROGRAM = """
import json, os, signal, sys, threading, time
import numpy as np, fastmlp

signal.signal(signal.SIGINT, signal.default_int_handler)
module, seconds = sys.argv[1], float(sys.argv[2])
X = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
y = (X[:, 0] > 0).astype(np.float32)
net = fastmlp.MLP((2, 1), random_state=0, device="cpu")
over = threading.Event()

def send():
    while module not in sys.modules and not over.is_set():
        time.sleep(0.001)
    time.sleep(seconds)
    for _ in range(2):
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)

sender = threading.Thread(target=send)
sender.start()
try:
    history = net.fit(X, y, epochs=3, verbose=0)
    first_end = history.stopped_by
except KeyboardInterrupt:
    first_end = "interrupt"
over.set()
sender.join()
net.reset()
again = net.fit(X, y, epochs=3, verbose=0)
other = fastmlp.MLP((2, 1), random_state=0, device="cpu")
other.fit(X, y, epochs=3, verbose=0)
print(json.dumps({
    "first": first_end, "next": (again.stopped_by, again.epochs),
    "equal": bool((other.params == net.params).all()), "handler": signal.getsignal(signal.SIGINT).__name__,
}))
"""
SHORT = [("numba.core", 0.0), ("fastmlp.kernels.jit.compiler", 0.5)]
LONG = [*SHORT, ("numba", 0.0), ("llvmlite.ir", 0.0), ("numba.core.types", 0.1), ("numba.np", 0.0)]
LONG += [("fastmlp.kernels.jit.compiler", seconds) for seconds in (0.0, 1.0, 2.0, 4.0)]


def interrupted_fit(folder, module, seconds):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(Path(fastmlp.__file__).parents[1])}
    environment["FASTMLP_COMPILE_PROCESSES"] = "2"
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, module, str(seconds)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.full
def test_fit_after_an_interrupted_compilation_works(tmp_path, is_long, count):
    moments = LONG if is_long else SHORT
    for k, (module, seconds) in enumerate(moments):
        done = interrupted_fit(tmp_path / str(k), module, seconds)
        assert done.returncode == 0, (module, seconds, done.stderr)
        found = json.loads(done.stdout)
        assert found["first"] == "interrupt", (module, seconds)
        assert found["next"] == ["epochs", 3]
        assert found["equal"]
        assert found["handler"] == "default_int_handler"
        notices = done.stderr.count("A kernel is being compiled")
        assert notices == ("llvmlite" not in module), "the message must be printed once, and not while LLVM is imported"
    count("cold fits interrupted", len(moments))


IGNORED = """
import os, signal
import numpy as np, fastmlp

signal.signal(signal.SIGINT, signal.SIG_IGN)
X = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
press = lambda epoch, history: os.kill(os.getpid(), signal.SIGINT)
history = fastmlp.MLP((2, 1), random_state=0, device="cpu").fit(X, X[:, 0], epochs=5, callbacks=press, verbose=0)
print(history.stopped_by, history.epochs, signal.getsignal(signal.SIGINT) == signal.SIG_IGN)
"""


def test_fit_continues_if_sigint_is_ignored(fresh_python):
    """SIGINT is ignored in background jobs of a shell."""
    done = fresh_python(IGNORED)
    assert (done.stdout.strip(), done.stderr) == ("epochs 5 True", "")
