"""Build what is published of a version into dist/, and check it.

    pip install -e '.[release]' && python tools/release.py        (six minutes on two cores; Linux on x86-64)
    python tools/release.py --quick                               (machine code for this CPU's own level only)

A source distribution, a pure wheel that is built from it, and a wheel with machine code (ship.py), which pip prefers on
Linux on x86-64. Machine code is data for LLVM's loader, not a shared library: of the C library it calls memset and
sched_yield alone, which every manylinux system has.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST, SHIPPED, LEFT_OVER = ROOT / "dist", ROOT / "kernels/shipped", ROOT / "build"
PLATFORM = "manylinux_2_17_x86_64"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="machine code for this processor's own level only")
    quick = parser.parse_args().quick
    for folder in (DIST, SHIPPED, LEFT_OVER):  # setuptools would pack what an earlier build has left
        shutil.rmtree(folder, ignore_errors=True)
    run("build", "-q", "--outdir", DIST, ROOT)
    try:
        subprocess.run([sys.executable, ROOT / "tools/ship.py", *(["--quick"] if quick else [])], check=True)
        build_platform_wheel()
    finally:
        for folder in (SHIPPED, LEFT_OVER):
            shutil.rmtree(folder, ignore_errors=True)
    check()


def run(module: str, *arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", module, *map(str, arguments)], check=True)


def build_platform_wheel() -> None:
    """Build a wheel with the machine code in kernels/shipped, and give it the tag of its platform."""
    with tempfile.TemporaryDirectory() as folder:
        run("build", "-q", "--wheel", "--outdir", folder, ROOT)
        (wheel,) = Path(folder).glob("*.whl")
        run("wheel", "tags", "--remove", "--platform-tag", PLATFORM, wheel)
        (tagged,) = Path(folder).glob("*.whl")
        shutil.move(tagged, DIST)


def check() -> None:
    """Check the metadata and contents of all distributions, and that machine code is in the platform wheel only."""
    files = sorted(DIST.iterdir())
    run("twine", "check", "--strict", *files)
    wheels = [file for file in files if file.suffix == ".whl"]
    run("check_wheel_contents", *wheels)
    for wheel in wheels:
        names = zipfile.ZipFile(wheel).namelist()
        if "fastmlp/py.typed" not in names:
            sys.exit(f"{wheel.name} has no fastmlp/py.typed, so that type checkers would ignore its annotations.")
        n_objects = sum(name.endswith(".o") for name in names)
        if bool(n_objects) != (PLATFORM in wheel.name):
            sys.exit(f"{wheel.name} has {n_objects} object files.")
    for file in files:
        print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
