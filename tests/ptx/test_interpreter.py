"""The PTX interpreter: mistakes of kernels that it reports, and its counters.

That instructions compute what they should is tested by test_training.py with --device ptx, for every kernel family.
"""

import numpy as np
import pytest
from ptx_interpreter import Counters, PtxError, running
from ptx_interpreter.arithmetic import bfloat16_bits, flushed, from_bfloat16_bits
from ptx_interpreter.counters import wavefronts
from ptx_interpreter.parser import parse

pytestmark = [pytest.mark.ptx, pytest.mark.usefixtures("run_as_ptx")]

KERNELS = r"""
extern "C" __global__ void counts(int* out) {
  atomicAdd(out, 1), atomicExch(out + 1, 7);
}
extern "C" __global__ void counts_without_atomics(int* out) { out[0] += 1; }
extern "C" __global__ void reads_misaligned(const float* x, float* out) {
  const float4 q = *reinterpret_cast<const float4*>(x + 1);
  out[threadIdx.x] = q.x + q.w;
}
extern "C" __global__ void reads_outside(const float* x, float* out) { out[threadIdx.x] = x[threadIdx.x - 40000]; }
extern "C" __global__ void overruns_shared(float* out) {
  __shared__ float part[64];
  part[threadIdx.x + int(out[0])] = 1.0f;
  __syncthreads();
  out[threadIdx.x] = part[63 - threadIdx.x];
}
extern "C" __global__ void diverges(float* out) {
  if (out[threadIdx.x] > 15.0f) { __syncthreads(); out[0] = 2.0f; }
  else { __syncthreads(); out[1] = 3.0f; }
}
extern "C" __global__ void misses_a_lane(int* out) {
  if (out[threadIdx.x] != 7) out[threadIdx.x] = __shfl_xor_sync(~0u, out[threadIdx.x], 1);
}
extern "C" __global__ void strides(float* out, int stride) {
  __shared__ float part[32 * 33];
  part[threadIdx.x * stride] = out[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = part[(31 - threadIdx.x) * stride];
}
"""


@pytest.fixture
def launch(cuda):
    """launch(name, *arrays, n=threads): the arrays after the launch."""
    module = cuda.RawModule(code=KERNELS, options=("-std=c++17",))

    def run(name, *arguments, n):
        given = [cuda.asarray(x) if isinstance(x, np.ndarray) else x for x in arguments]
        module.get_function(name)((1,), (n,), tuple(given))
        return [x.get() for x in given if isinstance(x, cuda.ndarray)]

    return run


def test_threads_lose_updates_without_atomics(launch):
    assert launch("counts", np.zeros(2, np.int32), n=100)[0].tolist() == [100, 7]
    assert launch("counts_without_atomics", np.zeros(1, np.int32), n=100)[0].tolist() == [1]


MISTAKES = {
    "reads_misaligned": "reads_misaligned: a misaligned access of 16 bytes of device memory",
    "reads_outside": "reads_outside: an access of 4 bytes outside of arrays",
    "overruns_shared": "an access of 4 bytes past the end of shared memory, of 256 bytes",
    "diverges": "threads of a block wait at different barriers",
    "misses_a_lane": "shfl by a part of a warp",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_of_kernels_are_reported(name, launch):
    out = np.arange(64, dtype=np.int32 if name == "misses_a_lane" else np.float32)
    out[0] = 1
    with pytest.raises(PtxError, match=MISTAKES[name]):
        launch(name, *[out] * (2 if name.startswith("reads") else 1), n=64)


@pytest.mark.parametrize("stride, conflicts", [(1, 1), (2, 2), (32, 32), (33, 1)])
def test_wavefronts_of_strides_are_counted(stride, conflicts, launch):
    counters = Counters()
    with running(counters):
        launch("strides", np.zeros(32, np.float32), np.int32(stride), n=32)
    counts = counters.kernels["strides"]
    assert counts["wavefronts"] == 2 * conflicts
    assert counts["instructions"] >= 10


def test_wide_accesses_go_by_parts_of_a_warp():
    lane = np.arange(32)
    assert wavefronts(16 * lane, 16) == 4
    assert wavefronts(128 * lane, 16) == 32, "eight lanes of a quarter warp want the same four banks"
    assert wavefronts(0 * lane, 16) == 4, "one word for all lanes is read once"
    assert wavefronts(8 * lane, 8) == 2
    assert wavefronts(np.where(lane < 8, 4 * lane, -1), 4) == 1
    assert wavefronts(np.full(32, -1), 4) == 0


def test_denormals_are_flushed_and_bfloat16_is_rounded():
    x = np.array([0.0, -0.0, 1e-39, -1e-39, 1.2e-38, 1.0, np.inf], np.float32)
    np.testing.assert_array_equal(np.signbit(flushed(x)), np.signbit(x))
    np.testing.assert_array_equal(flushed(x), [0, 0, 0, 0, np.float32(1.2e-38), 1, np.inf])
    halves = from_bfloat16_bits(bfloat16_bits(np.array([1.0, 1.00390625, 1.01171875, np.nan], np.float32)))
    np.testing.assert_array_equal(halves, [1.0, 1.0, 1.015625, np.nan])


@pytest.mark.parametrize(
    "line, message", [("frob.u32 %r1, 3;", "no opcode 'frob.u32'"), ("mov.u32 %q1, 3;", "%q1 is not declared")]
)
def test_unknown_ptx_is_refused(line, message):
    with pytest.raises(PtxError, match=message):
        parse(f".visible .entry k(\n)\n{{\n\t.reg .b32 \t%r<4>;\n\t{line}\n\tret;\n}}\n")
