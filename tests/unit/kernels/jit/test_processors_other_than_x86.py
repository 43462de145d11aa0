"""Kernels for a processor that is not x86, on this one: no instruction of x86 is asked for, and outputs are the same.

The process is told that it runs on 64-bit Arm, with vectors of 128 bits; machine code is still for this processor.
tools/try_on_arm.py trains on an emulated one.
"""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import platform
import sys

platform.machine = lambda: "aarch64"

import numpy as np
from numba.core import cgutils

get_or_insert_function = cgutils.get_or_insert_function


def without_x86(module, kind, name):
    assert not name.startswith("llvm.x86"), name
    return get_or_insert_function(module, kind, name)


cgutils.get_or_insert_function = without_x86

from fastmlp.kernels.cpu.workspace import VECTOR_BYTES
from fastmlp.kernels.jit.cpu_features import IS_X86

assert not IS_X86
assert VECTOR_BYTES == 16
"""
NETS = """
import fastmlp
import numpy as np

X = np.random.default_rng(0).normal(size=(50, 8))
outputs = fastmlp.MLP((8, 4, 3), random_state=0, device="cpu").predict(X)
"""
PROGRAM += NETS + "np.save(sys.argv[1], outputs)"


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="NUMBA_CPU_FEATURES here are of x86-64")
def test_outputs_are_those_of_this_processor(tmp_path):
    settings = {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "+avx,+fma",
        "NUMBA_CACHE_DIR": str(tmp_path / "kernels"),
        "FASTMLP_COMPILE_PROCESSES": "1",
    }
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "outputs.npy")]
    subprocess.run(command, env={**os.environ, **settings}, check=True, timeout=600)
    here = {}
    exec(NETS, here)
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), here["outputs"], rtol=1e-5)
