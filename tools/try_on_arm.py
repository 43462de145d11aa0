"""Train nets on 64-bit Arm, which QEMU emulates, and compare their losses with those of this machine.

python tools/try_on_arm.py FOLDER                a net on XOR, one on digits, and a population, in float32 and float64
python tools/try_on_arm.py FOLDER --all          also a wide net, and one that is trained sample by sample

Runs on Debian without root's rights. FOLDER keeps what is downloaded (Debian's packages with Python for arm64 and the
emulator, wheels for aarch64) and the compiled kernels, so that a second run is fast. An emulated processor says nothing
about speed, and it has the memory order of this one.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tomllib

REPOSITORY = Path(__file__).resolve().parents[1]
PROCESSOR = "neoverse-n1"  # of Arm servers: vectors of 128 bits, and neither SVE nor pointer authentication
PACKAGES = ("python3", "libstdc++6")  # with what they depend on
XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])


class Case(NamedTuple):
    """A net, or a population of nets, to train: its layers, its data, and the settings of its fit."""

    sizes: tuple[int, ...]
    data: str
    epochs: int
    batch_size: int | None
    n_nets: int = 1


CASES = {
    "xor": Case((2, 4, 1), "xor", 3000, None),
    "digits": Case((64, 32, 10), "digits", 5, 32),
    "population": Case((2, 3, 1), "xor", 500, None, n_nets=20),
    "wide": Case((64, 256, 128, 10), "digits", 2, 200),
    "batch1": Case((64, 128, 10), "digits", 1, 1),
}
SHORT = "xor", "digits", "population"
# How far a loss may differ from that of this machine, relative to it. Vectors of 128 and of 512 bits add up numbers in
# another order, and compute exponentials and quotients in other ways; each step multiplies a difference. Seen were 1e-6
# and 2e-15. A wrong formula, or a lane that is left out, differs by 1e-2 and more.
TOLERANCES = {"float32": 1e-4, "float64": 1e-12}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what is downloaded, compiled kernels, and losses")
    parser.add_argument("--all", action="store_true", help="all cases, which take twice as long")
    parser.add_argument("--train", nargs=2, metavar=("PLACE", "DTYPE"), help="train in this process")
    arguments = parser.parse_args()
    folder, cases = arguments.folder.resolve(), tuple(CASES) if arguments.all else SHORT
    if arguments.train:
        for name in cases:
            train(folder, name, *arguments.train)
        return
    if platform.machine() != "x86_64" or not all(map(shutil.which, ("apt-get", "dpkg-deb", "uv"))):
        sys.exit("This runs on Debian on x86-64, with uv. On Arm itself, run the tests: python -m pytest -m quick.")
    folder.mkdir(parents=True, exist_ok=True)
    write_digits(folder)
    emulator = install(folder)
    run_all(folder, emulator, arguments.all)
    sys.exit(compare(folder, cases))


def train(folder: Path, name: str, place: str, dtype: str) -> None:
    """Train the net or nets of a case and write the losses of its epochs, or of its nets."""
    import fastmlp

    case, began = CASES[name], time.monotonic()
    X, y = XOR if case.data == "xor" else np.load(folder / "digits.npz").values()
    loss = "binary_cross_entropy" if case.data == "xor" else "softmax_cross_entropy"
    settings = {"hidden_activation": "tanh", "loss": loss, "dtype": dtype, "device": "cpu", "random_state": 0}
    population = lambda: fastmlp.Population(case.sizes, case.n_nets, **settings)
    net = population() if case.n_nets > 1 else fastmlp.MLP(case.sizes, **settings)
    result = net.fit(X, y, epochs=case.epochs, batch_size=case.batch_size, optimizer=fastmlp.SGD(0.1), verbose=0)
    np.save(folder / f"{place}-{name}-{dtype}.npy", result.loss)
    print(f"{place}: {name} in {dtype}, {time.monotonic() - began:.0f} s with compiling", flush=True)


def write_digits(folder: Path) -> None:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    np.savez(folder / "digits.npz", X=X / 16.0, y=y)


def install(folder: Path) -> list[str]:
    """Put the emulator, Python for arm64 and the wheels into the folder; return the command that runs Python."""
    tools, root, site = folder / "tools", folder / "root", folder / "site"
    if not root.exists():
        draft = folder / "root.draft"
        for package in debian_packages(folder):
            run("dpkg-deb", "-x", str(package), str(tools if package.name.startswith("qemu") else draft))
        if not (draft / "lib").exists():  # Debian's package base-files has this link
            (draft / "lib").symlink_to("usr/lib")
        draft.rename(root)
    python = (root / "usr/bin/python3").resolve()
    if not site.exists():
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        version, draft = python.name.removeprefix("python"), folder / "site.draft"
        options = ["--python-platform", "aarch64-manylinux_2_28", "--python-version", version, "--only-binary", ":all:"]
        run("uv", "pip", "install", "-q", *options, "--target", str(draft), *project["dependencies"])
        draft.rename(site)
    # The environment says where Python finds the packages; a second process for compiling could not be started.
    variables = {"PYTHONPATH": f"{REPOSITORY / 'src'}:{site}", "FASTMLP_COMPILE_PROCESSES": "1"}
    options = [word for name, value in variables.items() for word in ("-E", f"{name}={value}")]
    return [str(tools / "usr/bin/qemu-aarch64"), "-cpu", PROCESSOR, "-L", str(root), *options, str(python)]


def debian_packages(folder: Path) -> list[Path]:
    """Download Debian's packages with a configuration of apt of their own, and return their files."""
    state, cache = folder / "apt/state", folder / "apt/cache"
    for path in (state / "lists/partial", cache / "archives/partial"):
        path.mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64,amd64",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": cache,
    }
    apt = ["apt-get", "-qq", "-y", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]
    run(*apt, "update")
    run(*apt, "install", "--download-only", *PACKAGES)
    run(*apt, "download", "qemu-user:amd64", cwd=cache / "archives")
    return sorted((cache / "archives").glob("*.deb"))


def run(*command: str, cwd: Path | None = None) -> None:
    subprocess.run(command, check=True, cwd=cwd)


def run_all(folder: Path, emulator: list[str], with_all: bool) -> None:
    """Train here, then on the emulated processor, with a process and a folder of kernels for each dtype."""
    script = [str(Path(__file__).resolve()), str(folder), *(["--all"] if with_all else []), "--train"]
    processes = []
    for dtype in TOLERANCES:
        run(sys.executable, *script, "here", dtype)
        # One folder for both would not do: an emulated process has another start time for itself than for others, which
        # take its temporary files for those of a dead one.
        python = [*emulator[:-1], "-E", f"NUMBA_CACHE_DIR={folder / f'kernels-{dtype}'}", emulator[-1]]
        processes.append(subprocess.Popen([*python, *script, "arm", dtype]))
    if sum(process.wait() != 0 for process in processes):
        sys.exit("Training on the emulated processor failed.")


def compare(folder: Path, cases: Sequence[str]) -> int:
    """Print how far losses differ; return 1 if it is further than allowed."""
    print(f"{'case':12}{'dtype':10}{'last loss here':>20}{'on Arm':>20}{'difference':>12}{'allowed':>10}")
    status = 0
    for name, (dtype, allowed) in product(cases, TOLERANCES.items()):
        here, arm = (np.load(folder / f"{place}-{name}-{dtype}.npy") for place in ("here", "arm"))
        difference = float(np.max(np.abs(arm - here) / here))
        status |= not difference <= allowed
        print(f"{name:12}{dtype:10}{here[-1]:20.12g}{arm[-1]:20.12g}{difference:12.1e}{allowed:10.0e}")
    return int(status)


if __name__ == "__main__":
    main()
