"""Kernels for a processor that is not x86, on this one: no instruction of x86 is asked for, and losses are the same.

The process is told that it runs on 64-bit Arm, with vectors of 128 bits; machine code is still for this processor.
tools/try_on_arm.py trains on an emulated one.
"""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

import fastmlp

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

import fastmlp
from fastmlp.kernels.cpu.workspace import VECTOR_BYTES
from fastmlp.kernels.jit.cpu_features import IS_X86

assert not IS_X86
assert VECTOR_BYTES == 16
X, y = np.random.default_rng(0).normal(size=(50, 8)), np.arange(50) % 3
net = fastmlp.MLP((8, 40, 3), loss="softmax_cross_entropy", random_state=0, device="cpu")
np.save(sys.argv[1], net.fit(X, y, epochs=20, batch_size=int(sys.argv[2]), optimizer="sgd", verbose=0).loss)
"""


@pytest.mark.full
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="NUMBA_CPU_FEATURES here are of x86-64")
@pytest.mark.parametrize("batch_size", (16, 1), ids=("batch_simd", "layerwise_batch1"))
def test_losses_are_those_of_this_processor(tmp_path, batch_size):
    settings = {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "+avx,+fma",
        "NUMBA_CACHE_DIR": str(tmp_path / "kernels"),
        "FASTMLP_COMPILE_PROCESSES": "1",
    }
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "loss.npy"), str(batch_size)],
        env={**os.environ, **settings},
        check=True,
        timeout=600,
    )
    X, y = np.random.default_rng(0).normal(size=(50, 8)), np.arange(50) % 3
    net = fastmlp.MLP((8, 40, 3), loss="softmax_cross_entropy", random_state=0, device="cpu")
    here = net.fit(X, y, epochs=20, batch_size=batch_size, optimizer="sgd", verbose=0).loss
    np.testing.assert_allclose(np.load(tmp_path / "loss.npy"), here, rtol=1e-5)
