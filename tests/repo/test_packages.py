"""Every package of the tree is listed in pyproject.toml, and so in wheels: a list written by hand may lack one."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def packages_of_tree():
    """Names of all packages below src/fastmlp and kernels, which is fastmlp.kernels."""
    for folder, name in ((ROOT / "src" / "fastmlp", "fastmlp"), (ROOT / "kernels", "fastmlp.kernels")):
        for file in folder.rglob("__init__.py"):
            inner = file.parent.relative_to(folder)
            if inner.parts[:1] != ("kernels",):  # the link in src/fastmlp
                yield ".".join((name, *inner.parts))


def test_every_package_is_in_wheels():
    tomllib = pytest.importorskip("tomllib", reason="Python before 3.11 cannot read pyproject.toml")
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(set(packages_of_tree()))
