"""Structs shared by host and kernels: one list of fields gives both the C++ declaration and the packed bytes.

Every field has eight bytes, so that there is no padding. Also here: positions in small arrays, which formula_printer.py
prints as constants.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any

FORMATS = {"long long": "q", "double": "d"}  # any other C type is a pointer


class Struct:
    """A C++ struct of 8-byte fields.

    >>> pair = Struct("Pair", "double* values; long long n")
    >>> pair.source
    'struct Pair {\\n  double* values;\\n  long long n;\\n};\\n'
    >>> len(pair.pack(n=3))
    16
    """

    def __init__(self, name: str, fields: str):
        declarations = [" ".join(text.split()) for text in fields.replace("\n", " ").split(";") if text.strip()]
        self.name, self.types = name, {}
        for text in declarations:
            kind, _, field = text.rpartition(" ")
            self.types[field] = kind
        lines = "".join(f"  {text};\n" for text in declarations)
        self.source = f"struct {name} {{\n{lines}}};\n"
        self._format = "=" + "".join(FORMATS.get(kind, "Q") for kind in self.types.values())

    def pack(self, **values: Any) -> bytes:
        """Return the bytes of one struct; fields without a value are 0.

        values : value of a field; for a pointer, a device array that must outlive the kernel, or None

        Raises
        ------
        TypeError
            If a value is of no field.
        """
        if odd := sorted(values.keys() - self.types.keys()):
            raise TypeError(f"{self.name} has no fields {odd}")
        return struct.pack(self._format, *(self._number(kind, values.get(name)) for name, kind in self.types.items()))

    @staticmethod
    def _number(kind: str, value: Any) -> float | int:
        if kind in FORMATS:
            return float(value or 0) if kind == "double" else int(value or 0)
        return 0 if value is None else value.data.ptr


class ProgressScalar(IntEnum):
    """Positions of a net's float64 numbers in Job.scalars."""

    POWER1 = 0  # of Adam's betas
    POWER2 = 1
    LAST_LOSS = 2  # objective at the last step
    BEST_VALUE = 3  # lowest monitored value so far
    LOSS = 4  # sums of the epoch so far, at its end of the whole epoch
    N_CORRECT = 5


class ProgressCounter(IntEnum):
    """Positions of a net's integers in Job.counters."""

    STEPS = 0  # steps done
    BEST_EPOCH = 1  # counted from 1; 0 for none
    NEXT_RECORD = 2  # index of the next record
    STATUS = 3


class ChunkSum(IntEnum):
    """Positions of the sums over a chunk of rows in the last dimension of `sums`."""

    EPOCH_LOSS = 0  # of the epoch so far
    EPOCH_N_CORRECT = 1
    BATCH_LOSS = 2  # of this batch
    BATCH_N_CORRECT = 3


class Squares(IntEnum):
    """Positions of the sums of squares, per block of threads, that a step of a large net needs before its update."""

    OF_GRADIENT = 0
    OF_SCALED_GRADIENT = 1  # times HUGE_SCALE, so that it does not overflow
    OF_WEIGHTS = 2


POSITIONS = {
    "N_CHUNK_SUMS": len(ChunkSum),
    **{f"SUM_{place.name}": place.value for place in ChunkSum},
    "N_SQUARES": len(Squares),
    **{f"SQUARES_{place.name}": place.value for place in Squares},
}

JOB = Struct(
    "Job",
    """
    T* params; T* state; T* safe_params; T* best_params; T* grads;
    const double* hyper; const double* dropout; const long long* seeds;
    const double* layer_factors;
    const T* X; const T* Y; const T* weight; const T* held_out_X; const T* held_out_Y; const T* held_out_weight;
    int* order; int* lists; const long long* owners; const long long* active;
    double* scalars; long long* counters;
    const double* factors; const long long* record_epochs; double* records; double* accuracy_records;
    T* workspace; T* sums_of_threads;
    long long n_active; long long n_slots; long long n_samples; long long n_held_out; long long batch_size;
    long long n_batches; long long n_steps; long long n_epochs; long long first_factor; long long n_factors;
    long long n_records; long long patience; long long monitor;
    long long hyper_stride; long long dropout_stride; long long X_stride; long long Y_stride; long long weight_stride;
    long long workspace_stride;
    double stop_loss; double stop_n_correct; double min_delta; double bound; double loss_constant
""",
)

# The step counter, and what differs from step to step; kernels read it, and a step's last kernel advances it.
#   step, first, end   the number of this step, of the call's first one, and of the one after its last
#   n_batches          number of batches in an epoch
#   arrived            number of blocks of a step's last kernel that have read the step
#   settings           (n_steps, len(StepSettings._fields)), a row for each step of the call
#   records            (n_epochs, 2), sums of losses and correct samples of every epoch that has a step in the call
CLOCK = Struct(
    "Clock",
    """
    long long step; long long first; long long end; long long n_batches; long long arrived;
    const T* settings; double* records
""",
)

# What the nets of layers/passes.cu are trained on, and their dropout. `owners` has a net's row in these arrays.
NET_INPUTS = Struct(
    "NetInputs",
    """
    const T* X; const T* Y; const T* weight; const double* dropout; const long long* seeds; const long long* owners;
    long long X_stride; long long Y_stride; long long weight_stride; long long dropout_stride;
    long long n_samples; long long batch_size
""",
)
