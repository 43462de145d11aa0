"""Lines of docs/explanation/determinism.md that no other test has: equal bits, and the size of differences elsewhere.

A difference is counted in shares of the way that parameters have moved: the largest difference of a parameter, divided
by the largest distance of a parameter from its start.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastmlp
from fastmlp import MLP, Adam, EarlyStopping, Population
from fastmlp.kernels.jit import cpu_features

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 10)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
FIT = {"epochs": 20, "batch_size": 32, "verbose": 0}
SETTINGS = {"loss": "binary_cross_entropy", "device": "cpu", "random_state": 7}


def share_of_way(params, expected, start):
    return np.abs(params - expected).max() / np.abs(expected - start).max()


def test_the_number_of_nets_in_lanes_changes_no_bit():
    found = {n_nets: Population((10, 16, 1), n_nets, **SETTINGS) for n_nets in (25, 32, 100)}
    for pop in found.values():
        pop.fit(X, Y, **FIT)
    for n_nets in (25, 32):
        np.testing.assert_array_equal(found[n_nets].params, found[100].params[:n_nets])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(10, 1), (10, 16, 3), (10, 100, 2), (10, 256, 256, 1)])
def test_a_row_has_the_same_outputs_alone_and_among_others(sizes, dtype):
    net = MLP(sizes, dtype=dtype, random_state=0, device="cpu")
    together = net.predict(X)
    for rows in (slice(0, 1), slice(5, 6), slice(3, 10), slice(255, 258), slice(390, 400)):
        np.testing.assert_array_equal(net.predict(X[rows]), together[rows])


@pytest.mark.parametrize("sizes", [(10, 16, 1), (10, 100, 100, 1)])
def test_early_stopping_returns_to_the_bits_of_its_best_epoch(sizes):
    """The kernel call goes beyond the best epoch, which is trained again; the loss cannot improve by 0.02 for long."""
    fit = {**FIT, "epochs": 200, "optimizer": Adam(0.01)}
    stopped, same = (MLP(sizes, **SETTINGS) for _ in range(2))
    history = stopped.fit(X, Y, **fit, early_stopping=EarlyStopping(3, "loss", min_delta=0.02))
    assert history.stopped_by == "early_stopping"
    n_epochs = history.best_epoch + 1
    same.fit(X, Y, **fit | {"epochs": n_epochs})
    np.testing.assert_array_equal(stopped.params, same.params)


# The bounds have room for other processors and cards.
@pytest.mark.parametrize("dtype, max_share", [("float32", 1e-4), ("float64", 1e-12)])
def test_a_gpu_trains_as_a_cpu_up_to_rounding(cuda, dtype, max_share, count):
    found = []
    for device in ("cpu", "cuda"):
        net = MLP((10, 16, 1), **SETTINGS | {"dtype": dtype, "device": device})
        start = net.params.copy()
        net.fit(X, Y, **FIT | {"epochs": 5})
        found.append(net.params)
    share = share_of_way(found[1], found[0], start)
    assert 0 < share < max_share
    count(f"trillionths of the way, a GPU from a CPU ({dtype})", round(1e12 * share))


LEVEL = """
import sys
import numpy as np
import fastmlp
from fastmlp.kernels.jit.cpu_features import level

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 10)).astype(np.float32)
y = (X[:, 0] * X[:, 1] > 0).astype(int)
found = {"level": level()}
settings = {"loss": "binary_cross_entropy", "device": "cpu", "random_state": 7}
nets = {
    "small net, float32": fastmlp.MLP((10, 16, 1), **settings),
    "small net, float64": fastmlp.MLP((10, 16, 1), dtype="float64", **settings),
    "large net, float32": fastmlp.MLP((10, 256, 256, 1), **settings),
    "nets in lanes, float32": fastmlp.Population((10, 16, 1), 32, **settings),
}
for name, net in nets.items():
    found[f"start of {name}"] = net.params.copy()
    net.fit(X, y, epochs=20, batch_size=32, verbose=0)
    found[name] = net.params
np.savez(sys.argv[1], **found)
"""


def trained_at(level, tmp_path):
    """Return what a process trains whose kernels are compiled for a level; None : for this processor."""
    settings = {}
    if level is not None:
        features = ",".join(f"+{name}" for name in cpu_features.LEVELS[level])
        settings = {"NUMBA_CPU_NAME": level, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path / level)}
    path = tmp_path / f"{level}.npz"
    environment = {**os.environ, **settings, "PYTHONPATH": str(Path(fastmlp.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", LEVEL, str(path)], env=environment, check=True, timeout=1200)
    return np.load(path)


@pytest.mark.full
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="levels are those of x86-64")
@pytest.mark.skipif(cpu_features.level() != "x86-64-v4", reason="needs AVX-512, beside which AVX2 is another level")
def test_avx2_trains_as_avx512_up_to_rounding(tmp_path, count):
    narrow, wide = trained_at("x86-64-v3", tmp_path), trained_at(None, tmp_path)
    assert (str(narrow["level"]), str(wide["level"])) == ("x86-64-v3", "x86-64-v4")
    names = [name for name in wide.files if f"start of {name}" in wide.files]
    assert len(names) == 4
    for name in names:
        start = wide[f"start of {name}"]
        np.testing.assert_array_equal(narrow[f"start of {name}"], start)
        share = share_of_way(narrow[name], wide[name], start)
        # with room for other processors
        assert share < (1e-3 if name.endswith("32") else 1e-11), name
        count(f"trillionths of the way, AVX2 from AVX-512 ({name})", round(1e12 * share))
