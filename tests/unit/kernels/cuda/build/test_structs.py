"""Structs packed on the host, whose bytes a C++ compiler reads as the same fields."""

import re
from pathlib import Path

import numpy as np
import pytest

import fastmlp.kernels.cuda
from fastmlp.kernels.cuda.build.structs import ProgressCounter, ProgressScalar, Struct

PER_NET = Path(fastmlp.kernels.cuda.__file__).parent / "population" / "per_net.cuh"


def test_fields_of_progress_are_in_the_order_of_their_positions():
    """load_progress initialises the struct field by field."""
    body = re.search(r"struct Progress \{(.*?)\};", re.sub("//.*", "", PER_NET.read_text(encoding="utf-8")), re.S)[1]
    declared = [
        (kind, name) for kind, names in re.findall(r"(double|long long) ([^;]*);", body) for name in names.split(", ")
    ]
    expected = [("double", place) for place in ProgressScalar] + [("long long", place) for place in ProgressCounter]
    assert declared == [(kind, place.name.lower()) for kind, place in expected]
    assert [*map(int, ProgressScalar)] == [*range(6)]
    assert [*map(int, ProgressCounter)] == [*range(4)]


def test_missing_and_unknown_fields_raise():
    pair = Struct("Pair", "double* values; long long n")
    with pytest.raises(TypeError, match=r"Pair needs exactly its fields.*\['values'\]"):
        pair.pack(n=3)
    with pytest.raises(TypeError, match=r"\['m'\]"):
        pair.pack(values=None, n=3, m=4)


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
