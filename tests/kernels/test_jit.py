"""The house decorators: what is compiled, what stays Python, and where the cache lies."""

import os
import stat
from functools import cache
from pathlib import Path

import numba
import numpy as np
import pytest

import fastmlp.kernels
from fastmlp.kernels import jit
from fastmlp.kernels.jit import CACHE_FOLDER, OPTIONS, formula, inner, selector
from fastmlp.kernels.memory import load, store


@formula
def double(x):
    return x + x


@formula
def halve(x):
    return x / 2.0


@formula
def oppose(x):
    return 0.0 - x


select = selector((double, halve, oppose), 1)


@cache
def driver():
    @numba.njit(**OPTIONS)
    def run(code, x, out):
        store(out, 0, select(code, load(x, 0, 4)))

    return run


def test_formulas_stay_python_functions():
    assert double(3) == 6
    np.testing.assert_array_equal(halve(np.array([2.0, 4.0])), [1.0, 2.0])


@pytest.mark.parametrize("code, function", list(enumerate((double, halve, oppose))))
def test_selector(code, function):
    x, out = np.arange(4.0), np.zeros(4)
    driver()(code, x, out)
    np.testing.assert_array_equal(out, function(x))


def test_helpers_are_not_for_python():
    """They are optimised inside their callers only; a call from Python fails instead of doing something else."""

    @inner
    def helper(x):
        return x + 1

    with pytest.raises((TypeError, KeyError)):
        helper(1)


def test_options():
    """No assumption that hides a NaN or an infinity, no reordering of sums, no exception exit at divisions."""
    assert OPTIONS["error_model"] == "numpy"
    assert not OPTIONS["fastmath"] & {"nnan", "ninf", "reassoc", "fast"}


def test_cache_folder_is_named_by_the_sources(monkeypatch, tmp_path):
    """Numba watches the file of the function it caches, not those of its helpers: any change gives another folder."""
    sources, tag = Path(fastmlp.kernels.__file__).parent, jit._sources_tag()
    for path in sources.rglob("*.py"):
        copy = tmp_path / path.relative_to(sources)
        copy.parent.mkdir(exist_ok=True, parents=True)
        copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "jit.py"))
    assert jit._sources_tag() == tag
    (tmp_path / "cuda" / "backend.py").write_text("# no CPU kernel depends on it")
    assert jit._sources_tag() == tag
    (tmp_path / "losses.py").write_text("# changed")
    assert jit._sources_tag() != tag
    assert len(Path(CACHE_FOLDER).name) == len(tag)


def test_decorating_leaves_numbas_settings_alone():
    before = numba.core.config.CACHE_DIR
    jit.kernel(lambda x: x)
    assert before == numba.core.config.CACHE_DIR


UNWRITABLE = """
import numpy as np
from fastmlp.kernels.jit import kernel

@kernel
def add(x):
    return x + 1

assert add(1) == 2
print("works")
"""


@pytest.mark.skipif(os.name == "nt", reason="permissions are POSIX")
def test_without_a_writable_cache_folder(fresh_python, tmp_path, monkeypatch):
    """Compiles in every process, and says nothing."""
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    nowhere = "/proc/self/nowhere" if Path("/proc/self").exists() else str(locked / "nowhere")
    monkeypatch.setenv("NUMBA_CACHE_DIR", nowhere)
    done = fresh_python(UNWRITABLE)
    assert (done.returncode, done.stdout.strip()) == (0, "works"), done.stderr
