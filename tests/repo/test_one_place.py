"""A change has one place: the whole changes that CONTRIBUTING.md shows, applied to a copy of the tree and trained with.

Nets of the copy are trained by a process of its own, and compared with plain NumPy in float64. The reference's formulas
are those of this module, since the members of the page are in no table of the package.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CHANGES = dict(re.findall(r"^### (.+?)\n.*?^```diff\n(.*?)^```", PAGE, re.M | re.S))  # title of a section -> its patch
FILES = {
    "An optimiser": {
        "kernels/formulas/update_rules.py",
        "src/fastmlp/optimizers/__init__.py",
        "src/fastmlp/__init__.py",
    },
    "An activation": {"kernels/formulas/activations.py"},
    "A loss": {"kernels/formulas/losses.py"},
    "A learning-rate schedule": {"src/fastmlp/schedules/formulas.py"},
    "A device": {
        "kernels/twin/__init__.py",
        "kernels/twin/backend.py",
        "src/fastmlp/devices.py",
        "pyproject.toml",  # what a wheel has; no code
    },
}
# What a fit with the new member alone has besides the settings that all fits share; the device is another parameter.
MEMBERS = {
    "optimiser": {"optimizer": ["AddSign", {"learning_rate": 0.1, "beta1": 0.8, "alpha": 0.7}]},
    "activation": {"hidden_activation": "logish"},
    "loss": {"loss": "rational_error", "rational_scale": 0.3},
    "schedule": {"schedule": ["Waning", {"power": 3.0}]},
}
EPOCHS, BATCH, N_NETS, RATE = 6, 4, 32, 0.1
USUAL, TINY = (3, 5, 4, 2), (2, 3, 1)  # layer sizes; the CPU trains populations of TINY nets by unrolled code

# Run with: a folder of helpers, the device, the layer sizes, a member's settings, and the file for the results.
PROGRAM = """
import contextlib, json, sys
import numpy as np
helpers, device, sizes, settings, place, out = sys.argv[1:]
sys.path.append(helpers)
if device == "cuda":
    import cuda_emulator
    emulator = cuda_emulator.installed()
else:
    emulator = contextlib.nullcontext()
import fastmlp
from fastmlp import optimizers, schedules
from fastmlp.execution import thresholds

sizes, settings = json.loads(sizes), json.loads(settings)
for setting, module in (("optimizer", optimizers), ("schedule", schedules)):
    if setting in settings:
        name, values = settings[setting]
        settings[setting] = getattr(module, name)(**values)
fit = {key: settings.pop(key) for key in ("optimizer", "schedule") if key in settings}
fit = {"optimizer": optimizers.SGD(RATE), "epochs": EPOCHS, "batch_size": BATCH, "shuffle": False, "verbose": 0, **fit}
rng = np.random.default_rng(5)
X, y = rng.normal(size=(10, sizes[0])), rng.normal(size=(10, sizes[-1]))
settings = {"hidden_activation": "tanh", "dtype": "float64", "random_state": 2, "device": device, **settings}
if place == "large":
    thresholds.BLOCK_UP_TO_PARAMS = thresholds.BLOCK_UP_TO_BYTES = -1
with emulator:
    assert not fastmlp.__file__.startswith(helpers), fastmlp.__file__
    found = {"X": X, "y": y}
    for kind, nets in (
        ("net", fastmlp.MLP(sizes, **settings)),
        ("population", fastmlp.Population(sizes, N_NETS, **settings)),
    ):
        assert str(nets.device.name) == device
        found[kind + "_before"] = np.array(nets.params)
        nets.fit(X, y, **fit)
        found[kind] = np.array(nets.params)
    found["devices"] = [row.name for row in fastmlp.devices()]
np.savez(out, **found)
"""
for name, value in (("EPOCHS", EPOCHS), ("BATCH", BATCH), ("N_NETS", N_NETS), ("RATE", RATE)):
    PROGRAM = re.sub(rf"\b{name}\b", str(value), PROGRAM)


# ---- the page's changes


def files_of(patch):
    """Return {file: [(old text, new text) of each hunk]}; the old text of a file to be created is None."""
    found = {}
    for before, after, hunks in re.findall(r"^--- (\S+)\n\+\+\+ b/(\S+)\n(.*?)(?=^--- |\Z)", patch, re.M | re.S):
        found[after] = []
        for hunk in re.split(r"^@@\n", hunks, flags=re.M)[1:]:
            lines = [(line[:1], line[1:] + "\n") for line in hunk.splitlines()]
            assert {mark for mark, _ in lines} <= {" ", "+", "-", ""}, hunk
            old = "".join(text for mark, text in lines if mark != "+")
            new = "".join(text for mark, text in lines if mark != "-")
            found[after].append((None if before == "/dev/null" else old, new))
    return found


def apply(patch, tree):
    for name, hunks in files_of(patch).items():
        path = tree / name
        for old, new in hunks:
            if old is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(new, encoding="utf-8")
                continue
            text = path.read_text(encoding="utf-8")
            assert text.count(old) == 1, f"CONTRIBUTING.md changes lines that are not in {name}, or not once:\n{old}"
            path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("title", FILES)
def test_a_change_touches_few_files(title):
    assert list(CHANGES) == list(FILES)
    assert set(files_of(CHANGES[title])) == FILES[title]
    code = {name for name in FILES[title] if name.endswith(".py")}
    assert len(code) <= 3


def copied(names, tree):
    """Copy the files with these names, as far as there are such files."""
    for name in names:
        if (ROOT / name).exists():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)


@pytest.mark.parametrize("title", FILES)
def test_a_change_applies_to_the_present_files_and_compiles(title, tmp_path):
    """In a copy of the files that it changes alone: whether it trains is for the long tests below."""
    copied(FILES[title], tmp_path)
    apply(CHANGES[title], tmp_path)
    for name in FILES[title]:
        if name.endswith(".py"):
            compile((tmp_path / name).read_text(encoding="utf-8"), name, "exec")


@pytest.fixture(scope="module")
def changed_tree(tmp_path_factory):
    """A copy of the package with all changes of the page."""
    tree = tmp_path_factory.mktemp("changed")
    ignored = shutil.ignore_patterns("__pycache__", "shipped", "kernels")
    shutil.copytree(ROOT / "src" / "fastmlp", tree / "src" / "fastmlp", ignore=ignored)
    shutil.copytree(ROOT / "kernels", tree / "kernels", ignore=shutil.ignore_patterns("__pycache__", "shipped"))
    (tree / "src" / "fastmlp" / "kernels").symlink_to(tree / "kernels")
    shutil.copy(ROOT / "pyproject.toml", tree)
    for patch in CHANGES.values():
        apply(patch, tree)
    return tree


def trained(tree, device, sizes, settings, place=""):
    """Return the results of PROGRAM in the changed tree; its kernels are compiled once, into the tree's own cache."""
    out = tree / "out.npz"
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree / "src"),
        "NUMBA_CACHE_DIR": str(tree / "cache"),
        "FASTMLP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", PROGRAM, str(ROOT / "tests"), device, *map(json.dumps, (sizes, settings)), place]
    done = subprocess.run([*command, str(out)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(out) as found:
        return dict(found)


# ---- the reference

REFERENCES = {
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "logish": (
        lambda z: z * np.log1p(expit(z)),
        lambda z: np.log1p(expit(z)) + z * expit(z) * expit(-z) / (1 + expit(z)),
    ),
}
SCALE = MEMBERS["loss"]["rational_scale"]
DELTAS = {  # derivative of the loss of one output, where r is the output minus the target
    "squared_error": lambda r: 2 * r,
    "rational_error": lambda r: SCALE * r * (2 * SCALE + np.abs(r)) / (SCALE + np.abs(r)) ** 2,
}


def gradient(p, sizes, X, y, activation, loss):
    """Return the gradient of the mean loss over samples and outputs; layers are W row by row, then b."""
    (f, slope), layers, start = REFERENCES[activation], [], 0
    for n, m in pairwise(sizes):
        layers.append((p[start : start + n * m].reshape(n, m), p[start + n * m : start + (n + 1) * m]))
        start += (n + 1) * m
    zs, outputs = [], [X]
    for k, (W, b) in enumerate(layers):
        zs.append(outputs[-1] @ W + b)
        outputs.append(f(zs[-1]) if k < len(layers) - 1 else zs[-1])
    delta, parts = DELTAS[loss](outputs[-1] - y) / y.size, []
    for k in reversed(range(len(layers))):
        parts += [delta.sum(axis=0), (outputs[k].T @ delta).ravel()]
        if k:
            delta = delta @ layers[k][0].T * slope(zs[k - 1])
    return np.concatenate(parts[::-1])


def reference(p, sizes, X, y, settings):
    """Return parameters after a fit by plain SGD or by AddSign."""
    activation, loss = settings.get("hidden_activation", "tanh"), settings.get("loss", "squared_error")
    starts = range(0, len(X), BATCH)
    n_steps, t, m = EPOCHS * len(starts), 0, 0.0
    for _ in range(EPOCHS):
        for start in starts:
            g = gradient(p, sizes, X[start : start + BATCH], y[start : start + BATCH], activation, loss)
            factor = 1 - (t / n_steps) ** settings["schedule"][1]["power"] if "schedule" in settings else 1.0
            if "optimizer" in settings:
                rate, beta1, alpha = (settings["optimizer"][1][key] for key in ("learning_rate", "beta1", "alpha"))
                m = beta1 * m + (1 - beta1) * g
                p = p - rate * factor * (alpha + np.sign(g) * np.sign(m)) * g
            else:
                p = p - RATE * factor * g
            t += 1
    return p


def check(found, sizes, settings):
    for before, after in (
        (found["net_before"][None], found["net"][None]),
        (found["population_before"], found["population"]),
    ):
        expected = np.array([reference(p, sizes, found["X"], found["y"], settings) for p in before])
        assert np.abs(expected - before).max() > 0.01, "nothing was learned, so nothing is compared"
        np.testing.assert_allclose(after, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.full  # the changed tree compiles all of its kernels
@pytest.mark.parametrize("member", MEMBERS)
def test_new_member_on_the_cpu(changed_tree, member):
    check(trained(changed_tree, "cpu", USUAL, MEMBERS[member]), USUAL, MEMBERS[member])


@pytest.mark.full
def test_new_device(changed_tree):
    found = trained(changed_tree, "twin", USUAL, {})
    assert found["devices"].tolist()[-1] == "twin"
    check(found, USUAL, {})


@pytest.mark.full
@pytest.mark.parametrize("member", MEMBERS)
def test_new_member_in_unrolled_code(changed_tree, member):
    check(trained(changed_tree, "cpu", TINY, MEMBERS[member]), TINY, MEMBERS[member])


@pytest.mark.full
@pytest.mark.emulator
@pytest.mark.skipif(shutil.which("g++") is None, reason="the CUDA emulator needs g++")
@pytest.mark.parametrize("sizes, place", [(USUAL, ""), (TINY, ""), (USUAL, "large")], ids=["block", "thread", "large"])
@pytest.mark.parametrize("member", MEMBERS)
def test_new_member_on_cuda(changed_tree, member, sizes, place):
    """In a thread or a block per net, and layer by layer with products for all nets."""
    check(trained(changed_tree, "cuda", sizes, MEMBERS[member], place), sizes, MEMBERS[member])
