"""Registers, shared memory, stack and spills of the CUDA kernels on three architectures, without a GPU.

Shared memory has two columns: what a block declares (smem), and what is requested at the launch (asked).

Run: python bench/gpu/registers.py > bench/results/cuda_registers.txt
(needs g++ and the wheels of the extra `test`; no GPU)

Small fits run in the CPU emulator of tests/cuda_emulator, and NVRTC compiles the sources that they use. The first line
has a digest of the sources; tests/bench/gpu/test_registers.py compares it with that of the present ones.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

import cuda_emulator  # noqa: E402
from cuda_emulator import nvrtc  # noqa: E402

RESULTS = ROOT / "bench" / "results" / "cuda_registers.txt"


def code_of(text: str) -> str:
    """The source without comments and white space, which change no kernel."""
    return re.sub(r"\s+", " ", re.sub(r"//.*", "", re.sub(r"/\*.*?\*/", "", text, flags=re.S)))


def digest() -> str:
    """A digest of the CUDA sources, without the formulas that are printed from the tables: few are compiled here."""
    paths = sorted(path for path in (ROOT / "kernels" / "cuda").rglob("*") if path.suffix in (".cu", ".cuh"))
    text = "\n".join(code_of(path.name + path.read_text(encoding="utf-8")) for path in paths)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def main() -> None:
    print(f"NVRTC {nvrtc.version()}, sources {digest()}")
    head = (
        f"{'kernel':22} {'of':16} {'dtype':8} {'arch':7} {'registers':>9} {'smem':>6} {'asked':>6} {'stack':>6} "
        f"{'spill':>6}"
    )
    print(head)
    for dtype in ("float32", "float64"):
        for fit in (
            "nets_in_threads",
            "nets_in_blocks",
            "nets_in_step",
            "one_small_net",
            "one_wide_net",
            *["nets_in_bfloat16"] * (dtype == "float32"),
        ):
            with cuda_emulator.installed():
                from cuda_emulator import fits

                (fits.FITS | fits.MORE_FITS)[fit](dtype)
                compiled_sources, counts = dict(cuda_emulator.sources), dict(cuda_emulator.counts)
            for code, options in compiled_sources:
                for arch in nvrtc.ARCHITECTURES:
                    report = nvrtc.check(code, options, arch=arch)
                    for kernel in sorted(set(report) - {"probe"}):
                        used, dynamic = report[kernel], counts.get(f"shared memory of {kernel}", 0)
                        print(
                            f"{kernel:22} {fit:16} {dtype:8} {arch:7} {used['registers']:9} {used['smem']:6} "
                            f"{dynamic:6} {used['stack']:6} {used['spill']:6}",
                            flush=True,
                        )


if __name__ == "__main__":
    main()
