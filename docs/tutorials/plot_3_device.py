"""
Choose a device
===============

This tutorial shows where nets are trained: which devices this machine has, how to name one, what ``device="auto"``
does, what happens without a GPU, and how threads change the time but not the result.
"""

import os
import subprocess
import sys
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np

import fastmlp

rng = np.random.default_rng(0)
X = rng.normal(size=(2000, 20)).astype(np.float32)
y = (X[:, 0] * X[:, 1] > 0).astype(int)

# %%
# Which devices are there
# -----------------------
#
# :func:`fastmlp.devices` returns a row for the CPU and one for each GPU. If no GPU can be used, the row says why, and
# how to change that. On the command line, ``fastmlp devices`` prints the same.

for device in fastmlp.devices():
    state = "available" if device.available else "not available"
    print(f"{device.name}: {state}, {device.description}")
    if device.reason:
        print(fill(device.reason, 70))

# %%
# Name a device
# -------------
#
# ``device="cpu"``, ``"cuda"`` or ``"cuda:1"`` is an argument of every net, population and estimator. A device that is
# named and cannot be used is an error, so that nobody waits for a GPU that is not there:

try:
    net = fastmlp.MLP(
        (20, 32, 1),
        loss="binary_cross_entropy",
        device="cuda",
        random_state=0,
    )
    print("This net will be trained on", net.device)
except RuntimeError as error:
    print(fill(str(error), 70))

# %%
# Let the library choose
# ----------------------
#
# The default, ``device="auto"``, looks at each fit and each prediction anew. It takes
#
# 1. the device that holds the inputs, if they are arrays of CuPy, PyTorch or JAX on a GPU;
# 2. a GPU, if there is one and the work is enough to be faster there;
# 3. the CPU otherwise, without an error.
#
# ``net.device`` says what was chosen, and why.

net = fastmlp.MLP((20, 32, 1), loss="binary_cross_entropy", random_state=0)
history = net.fit(X, y, epochs=20, batch_size=100)
print(net.device.name)
print(fill(net.device.reason, 70))

# %%
# How much work is enough depends on both devices. The thresholds are estimates.
#
# Threads
# -------
#
# On the CPU, the environment variable ``FASTMLP_NUM_THREADS`` sets the largest number of threads; without it, this is
# the number of processors that the process may use, or ``OMP_NUM_THREADS`` if that is lower. Small nets take one thread
# whatever the limit is, because a second one would not pay. Here two processes train the same net, with one thread and
# with two:

PROGRAM = """
import hashlib
import numpy as np
import fastmlp

rng = np.random.default_rng(0)
X = rng.normal(size=(2048, 64)).astype(np.float32)
y = rng.integers(0, 10, 2048)
net = fastmlp.MLP(
    (64, 128, 128, 10), loss="softmax_cross_entropy", device="cpu", random_state=0
)
net.fit(X, y, epochs=2, batch_size=256)
print(hashlib.sha256(net.params.tobytes()).hexdigest()[:16])
"""

fingerprints = []
for n_threads in ("1", "2"):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "FASTMLP_NUM_THREADS": n_threads},
        capture_output=True,
        text=True,
        check=True,
    )
    fingerprints.append(done.stdout.strip())
    print(n_threads, fingerprints[-1])
print("the same bits:", fingerprints[0] == fingerprints[1])

# %%
# The parameters have the same bits. The same ``random_state`` gives the same net on the same machine for any number of
# threads. Other processors and GPUs round in another order, and their nets differ in the last digits.
#
# How long it takes here
# ----------------------
#
# The time of an epoch over the width of the net, on each device that is available: the best of three fits.
# ``history.training_seconds`` leaves out the compiling of kernels.

widths = (16, 32, 64, 128, 256)
figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for device in fastmlp.devices():
    if not device.available:
        continue
    seconds = []
    for width in widths:
        net = fastmlp.MLP(
            (20, width, width, 1),
            loss="binary_cross_entropy",
            device=device.name,
            random_state=0,
        )
        fits = [net.fit(X, y, epochs=1, batch_size=200) for _ in range(4)]
        seconds.append(
            min(history.training_seconds for history in fits[1:])
        )
        print(
            f"{device.name}  20-{width}-{width}-1  "
            f"{1e3 * seconds[-1]:8.2f} ms per epoch"
        )
    ax.plot(widths, seconds, marker="o", label=device.name)
ax.set(
    xscale="log",
    yscale="log",
    xlabel="units in each of two hidden layers",
    ylabel="seconds per epoch",
    title="2,000 samples in batches of 200",
)
ax.set_xticks(widths, widths)
ax.minorticks_off()
_ = ax.legend(title="device")

# %%
# Twice the width is four times the multiply-adds of the middle layer. Where a step takes microseconds, what surrounds
# the products counts as well, and the curve is flatter.

plt.show()
