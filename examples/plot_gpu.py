"""
The same training on a GPU
==========================

Trains one net on the CPU and on each GPU of this machine, and compares times and results. Without a GPU it says what is
missing, and shows the CPU's part.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastmlp

available = []
for device in fastmlp.devices():
    print(f"{device.name}: {device.description}")
    if device.available:
        available.append(device.name)
    else:
        print(f"  not available: {device.reason}")
if available == ["cpu"]:
    print(
        "There is no GPU to compare with; "
        "what follows is measured on the CPU alone."
    )

# %%
# The data stay on the host; the library copies them once. The first fit on a device compiles kernels, so the second one
# is timed.

rng = np.random.default_rng(0)
X = rng.normal(size=(4096, 64)).astype(np.float32)
y = (X[:, :8].sum(axis=1) > 0).astype(int) + (X[:, 8:16].sum(axis=1) > 0)
widths = (32, 128, 384)
seconds, losses = {}, {}
for name in available:
    for width in widths:
        net = fastmlp.MLP(
            (64, width, width, 3),
            loss="softmax_cross_entropy",
            device=name,
            random_state=0,
        )
        net.fit(X, y, epochs=1, batch_size=512)
        net.reset()
        history = net.fit(X, y, epochs=3, batch_size=512)
        seconds[name, width], losses[name, width] = (
            history.training_seconds / 3,
            history.loss[-1],
        )
        print(
            f"{name:8} width {width:4}: {1e3 * seconds[name, width]:8.2f} ms "
            f"per epoch, loss {history.loss[-1]:.6f}"
        )

# %%
# Both devices start from the same weights and see the same batches, so the losses agree up to rounding.

for name in available[1:]:
    worst = max(
        abs(losses[name, width] / losses["cpu", width] - 1)
        for width in widths
    )
    print(
        f"{name}: the losses differ from the CPU's by at most {worst:.1e}"
    )

figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for name, marker in zip(available, "osD^vP" * len(available), strict=False):
    ax.plot(
        widths,
        [1e3 * seconds[name, width] for width in widths],
        marker=marker,
        label=name,
    )
ax.set(
    xscale="log",
    yscale="log",
    xlabel="units in each of two hidden layers",
    ylabel="milliseconds per epoch",
)
ax.set_xticks(widths, widths)
ax.minorticks_off()
_ = ax.legend(title="device")

plt.show()
