"""Build what is published of a version into dist/, and check it.

    pip install -e '.[release]' && python tools/release.py        (six minutes on two cores; Linux on x86-64)
    python tools/release.py --levels-here     (to try: without the levels that this CPU does not support)
    python tools/release.py --quick           (to try: machine code for this CPU's own level only)

A source distribution, a pure wheel that is built from it, and a wheel with machine code (ship.py), which pip prefers on
Linux on x86-64. The latter has machine code of all levels. A level is compiled by training with its instructions, so
the CPU must support all of them: one with AVX-512. Machine code is data for LLVM's loader, not a shared library: of
the C library it calls memset and sched_yield alone, which every manylinux system has.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import ship  # beside this file

ROOT = Path(__file__).resolve().parents[1]
DIST, SHIPPED, LEFT_OVER = ROOT / "dist", ROOT / "kernels/shipped", ROOT / "build"
PLATFORM = "manylinux_2_17_x86_64"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="machine code for this processor's own level only")
    parser.add_argument(
        "--levels-here", action="store_true", help="without levels that this processor does not support"
    )
    arguments = parser.parse_args()
    levels = levels_to_build(arguments.quick, arguments.levels_here)
    for folder in (DIST, SHIPPED, LEFT_OVER):  # setuptools would pack what an earlier build has left
        shutil.rmtree(folder, ignore_errors=True)
    run("build", "-q", "--outdir", DIST, ROOT)
    try:
        subprocess.run([sys.executable, ROOT / "tools/ship.py", *(["--quick"] if arguments.quick else [])], check=True)
        build_platform_wheel()
    finally:
        for folder in (SHIPPED, LEFT_OVER):
            shutil.rmtree(folder, ignore_errors=True)
    check(levels)


def levels_to_build(quick: bool, levels_here: bool) -> list[str]:
    """Return the levels of which the wheel must have machine code. SystemExit: this processor does not support them."""
    missing = {level: ship.missing_features(level) for level in ship.LEVELS}
    here = [level for level in missing if not missing[level]]
    if quick:
        return here[:1]
    if len(here) < len(missing) and not levels_here:
        lacks = "; ".join(f"{level} needs {', '.join(names)}" for level, names in missing.items() if names)
        sys.exit(
            f"A release has machine code of the levels {', '.join(missing)}, of which this processor does not support "
            f"all: {lacks}. Build it on one that does; --levels-here builds the others, to try them."
        )
    return here


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


def check(levels: list[str]) -> None:
    """Check the metadata and contents of all distributions, and that the platform wheel alone has machine code.

    levels : those of which it must have machine code
    """
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
        if PLATFORM in wheel.name and (missing := levels_missing(names, levels)):
            sys.exit(f"{wheel.name} has no machine code of the level {', '.join(missing)}.")
    for file in files:
        print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")


def levels_missing(names: list[str], levels: list[str]) -> list[str]:
    """Return the levels of which a wheel with files of these names has no machine code."""
    found = {Path(name).parent.name for name in names if name.endswith(".o")}
    return [level for level in levels if level not in found]


if __name__ == "__main__":
    main()
