"""`DeviceStruct`: numbers and arrays that kernels read at a fixed address."""

import numpy as np
import pytest

LOOK = """
extern "C" __global__ void look(Clock* clock, T* setting, long long* numbers) {
  *setting = clock->settings[1];
  numbers[0] = clock->step, numbers[1] = clock->first, numbers[2] = clock->n_batches, numbers[3] = clock->arrived;
  clock->records[0] = 7.0;
}
"""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_read_the_host_values_at_a_fixed_address(cuda, dtype):
    from fastmlp.kernels.cuda.build.compiled_module import compiled
    from fastmlp.kernels.cuda.build.structs import CLOCK
    from fastmlp.kernels.cuda.runtime.device_struct import DeviceStruct

    number = {"float32": "float", "float64": "double"}[dtype]
    look = compiled(f"typedef {number} T;\n{CLOCK.source}{LOOK}")["look"]
    clock = DeviceStruct(CLOCK)
    address = clock.array.data.ptr
    for first in (0, 40):
        records = cuda.zeros((3, 2))
        settings = cuda.asarray(np.array([0.5, 1.5 + first]), dtype)
        clock.set(step=first, first=first, end=first + 2, n_batches=4, settings=settings, records=records)
        setting, numbers = cuda.zeros(1, dtype), cuda.zeros(4, np.int64)
        look((1,), 1, clock.array, setting, numbers)
        assert numbers.tolist() == [first, first, 4, 0]
        assert setting.tolist() == [1.5 + first]
        assert records.tolist()[0][0] == 7.0
        assert clock.array.data.ptr == address
    clock.set(settings=settings, records=records)
    look((1,), 1, clock.array, setting, numbers)
    assert numbers.tolist() == [0, 0, 0, 0], "fields that are not given are 0, whatever they were"
