"""A change has one place: the whole changes that CONTRIBUTING.md shows, applied to a copy of the tree and trained with.

Nets of the copy are trained by a process of its own, and compared with plain NumPy in float64. The reference's formulas
are those of this module, since the members of the page are in no table of the package.
"""

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
KEYWORD = "A keyword of `fit`"
FILES = {
    "An optimiser": {
        "kernels/formulas/update_rules.py",
        "src/fastmlp/optimizers/mini_batch.py",
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
    KEYWORD: {
        "src/fastmlp/fit/keywords.py",
        "src/fastmlp/fit/hooks/early_stopping.py",
        "tests/unit/fit/test_min_epochs.py",
    },
}
EPOCHS, BATCH, N_NETS, SIZES = 6, 4, 32, (3, 5, 4, 2)

# Fits with all new members. Run with: a folder of helpers, the device, and the file for the results.
PROGRAM = f"""
import contextlib, sys
import numpy as np
helpers, device, out = sys.argv[1:]
sys.path.append(helpers)
emulator = contextlib.nullcontext()
if device == "cuda":
    import cuda_emulator
    emulator = cuda_emulator.installed()
import fastmlp

rule = fastmlp.AddSign(learning_rate=0.1, beta1=0.8, alpha=0.7)
schedule = fastmlp.schedules.Waning(power=3.0)
settings = dict(hidden_activation="logish", loss="rational_error")
settings |= dict(dtype="float64", random_state=2, device=device)
rng = np.random.default_rng(5)
X, y = rng.normal(size=(10, {SIZES[0]})), rng.normal(size=(10, {SIZES[-1]}))
with emulator:
    assert not fastmlp.__file__.startswith(helpers), fastmlp.__file__
    found = dict(X=X, y=y)
    for kind, nets in (
        ("net", fastmlp.MLP({SIZES}, **settings)),
        ("population", fastmlp.Population({SIZES}, {N_NETS}, **settings)),
    ):
        assert str(nets.device.name) == device
        found[kind + "_before"] = np.array(nets.params)
        nets.fit(
            X, y, epochs={EPOCHS}, batch_size={BATCH}, shuffle=False, optimizer=rule, schedule=schedule, verbose=0
        )
        found[kind] = np.array(nets.params)
np.savez(out, **found)
"""


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


def test_a_keyword_of_fit_passes_its_own_test(tmp_path):
    """And the tests of all keywords, with the present kernels."""
    package, present = tmp_path / "src" / "fastmlp", ROOT / "src" / "fastmlp"
    shutil.copytree(present, package, ignore=shutil.ignore_patterns("__pycache__", "kernels"))
    (package / "kernels").symlink_to(ROOT / "kernels")
    copied(["pyproject.toml"], tmp_path)
    for folder in ("tests", "bench", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "_build"))
    apply(CHANGES[KEYWORD], tmp_path)
    of_all = "unit/fit/test_fit_keywords.py", "unit/fit/test_checkpoint_identity.py", "repo/test_options.py"
    tests = [f"tests/{name}" for name in ("unit/fit/test_min_epochs.py", *of_all)]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


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


# ---- the reference: plain NumPy


def logish(z):
    return z * np.log1p(expit(z))


def slope_of_logish(z):
    return np.log1p(expit(z)) + z * expit(z) * expit(-z) / (1 + expit(z))


def slope_of_rational_error(r):
    return r * (2.0 + np.abs(r)) / (1.0 + np.abs(r)) ** 2


def gradient(p, X, y):
    """Return the gradient of the mean loss over samples and outputs; layers are W row by row, then b."""
    layers, start = [], 0
    for n, m in pairwise(SIZES):
        layers.append((p[start : start + n * m].reshape(n, m), p[start + n * m : start + (n + 1) * m]))
        start += (n + 1) * m
    zs, outputs = [], [X]
    for k, (W, b) in enumerate(layers):
        zs.append(outputs[-1] @ W + b)
        outputs.append(logish(zs[-1]) if k < len(layers) - 1 else zs[-1])
    delta, parts = slope_of_rational_error(outputs[-1] - y) / y.size, []
    for k in reversed(range(len(layers))):
        parts += [delta.sum(axis=0), (outputs[k].T @ delta).ravel()]
        if k:
            delta = delta @ layers[k][0].T * slope_of_logish(zs[k - 1])
    return np.concatenate(parts[::-1])


def reference(p, X, y):
    """Return parameters after a fit by AddSign with a rate that wanes."""
    starts = range(0, len(X), BATCH)
    n_steps, t, m = EPOCHS * len(starts), 0, 0.0
    for _ in range(EPOCHS):
        for start in starts:
            g = gradient(p, X[start : start + BATCH], y[start : start + BATCH])
            m = 0.8 * m + 0.2 * g
            p = p - 0.1 * (1 - (t / n_steps) ** 3) * (0.7 + np.sign(g) * np.sign(m)) * g
            t += 1
    return p


@pytest.mark.full  # the changed tree compiles all of its kernels
@pytest.mark.parametrize("device", ["cpu", "twin", pytest.param("cuda", marks=pytest.mark.emulator)])
def test_new_members_learn_what_plain_numpy_learns(changed_tree, device):
    if device == "cuda" and shutil.which("g++") is None:
        pytest.skip("the CUDA emulator needs g++")
    out = changed_tree / "out.npz"
    environment = os.environ | {
        "PYTHONPATH": str(changed_tree / "src"),
        "NUMBA_CACHE_DIR": str(changed_tree / "cache"),
        "FASTMLP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", PROGRAM, str(ROOT / "tests"), device, str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(out) as file:
        found = dict(file)
    for before, after in (
        (found["net_before"][None], found["net"][None]),
        (found["population_before"], found["population"]),
    ):
        expected = np.array([reference(p, found["X"], found["y"]) for p in before])
        assert np.abs(expected - before).max() > 0.01, "nothing was learned, so nothing is compared"
        np.testing.assert_allclose(after, expected, rtol=1e-9, atol=1e-10)
