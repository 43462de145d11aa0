"""Structs packed on the host, whose bytes a C++ compiler reads as the same fields."""

import numpy as np
import pytest

from fastmlp.kernels.cuda.build.structs import Struct


def test_missing_fields_are_zero_and_unknown_ones_raise():
    pair = Struct("Pair", "double* values; long long n")
    assert pair.pack(n=3) == pair.pack(values=None, n=3)
    with pytest.raises(TypeError, match=r"Pair has no fields \['m'\]"):
        pair.pack(n=3, m=4)


def test_kernel_reads_packed_fields(cuda):
    """A field of each type, read with the layout of the C++ compiler."""
    fields = Struct("Fields", "double* values; long long n; double share; const long long* numbers; long long last")
    text = fields.source + (
        'extern "C" __global__ void unpack(const Fields* f, double* out) {'
        "  out[0] = f->values[1]; out[1] = double(f->n); out[2] = f->share;"
        "  out[3] = double(f->numbers[2]); out[4] = double(f->last); out[5] = sizeof(Fields); }"
    )
    values, numbers, out = cuda.asarray([1.5, 2.5]), cuda.asarray(np.array([4, 5, 6], np.int64)), cuda.zeros(6)
    packed = fields.pack(values=values, n=-7, share=0.25, numbers=numbers, last=2**53)
    given = cuda.asarray(np.frombuffer(packed, np.uint8))
    cuda.RawModule(code=text, backend="nvrtc").get_function("unpack")((1,), (1,), (given, out))
    assert out.get().tolist() == [2.5, -7.0, 0.25, 6.0, 2.0**53, float(len(packed))]
