"""Linked helpers and tables: object files of their own, which are compiled once and found by every process."""

import pickle
import signal
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest

from fastmlp.kernels.jit import call, compiler, linked_types, linker, object_cache
from fastmlp.kernels.jit.decorators import helper, kernel, linked_helper, linked_table
from fastmlp.kernels.jit.linker import Link, ObjectFile
from fastmlp.kernels.jit.references import dereference, reference
from fastmlp.kernels.simd.lanes import Lanes, with_lanes
from fastmlp.kernels.simd.load_store import as_pointers, load, load_scalar, offset, store

FOUR = Lanes(4)


class Codes(NamedTuple):
    used: np.ndarray
    last: int


@linked_helper(float)
def total(x, n):
    found = 0.0
    for i in range(n):
        found += load_scalar(x, i)
    return found


def _make_power(exponent):
    @helper
    def power(x, i):
        return float(load_scalar(x, i)) ** exponent

    return power


powers = linked_table(f"{__name__}.powers", [_make_power(exponent) for exponent in range(4)], "Codes.used", float)
more_powers = linked_table(
    f"{__name__}.more_powers", [_make_power(exponent) for exponent in range(4)], "Codes.last", float
)


@linked_helper()
def write_power(code, x, i, out):
    out[i] = powers(code, x, i)


@kernel
def sums(x, out):
    out[0] = total(offset(x, 0), x.size)
    out[1] = total(x=offset(x, 1), n=x.size - 1)


@kernel
def powers_of(codes, x, out):
    for i in range(codes.used.size):
        write_power(codes.used[i], offset(x, 0), i, offset(out, 0))
    out[codes.used.size] = more_powers(codes.last, offset(x, 0), 0)


class Band(NamedTuple):
    x: np.ndarray
    is_closed: bool
    lanes: int
    factor: float


@linked_helper(float)
def scaled_sum(band, n):
    band, found = dereference(band), 0.0
    for i in range(0, n, band.lanes):
        store(band.x, i, load(band.x, i, band.lanes) * 2.0)
    for i in range(n):
        found += load_scalar(band.x, i)
    return found * band.factor if band.is_closed else -found


@kernel
def sums_by_reference(band, n, out):
    pointers = reference(with_lanes(as_pointers(band), FOUR))
    for i in range(out.size):
        out[i] = scaled_sum(pointers, n)


@pytest.fixture
def compiled_links(monkeypatch):
    """Symbols of the functions that are compiled while a test runs."""
    found = []
    original = compiler.machine_code_of_link

    def recorded(link):
        found.append(link.symbol)
        return original(link)

    monkeypatch.setattr(compiler, "machine_code_of_link", recorded)
    return found


@pytest.fixture
def as_a_new_process(monkeypatch, tmp_path):
    monkeypatch.setattr(object_cache, "cache_folder", lambda: tmp_path)

    def forget():
        monkeypatch.setattr(call, "_functions", {})
        monkeypatch.setattr(call, "_entries", {})

    forget()
    return forget


def test_linked_helper_takes_positional_and_named_arguments():
    x, out = np.arange(5.0), np.zeros(2)
    call.call(sums, "float64", x, out)
    np.testing.assert_array_equal(out, [10.0, 10.0])


@pytest.mark.parametrize("is_closed, factor", [(True, 3.0), (False, -1.0)])
def test_linked_helper_takes_a_struct_by_reference(is_closed, factor):
    x, out = np.arange(8.0), np.zeros(2)
    call.call(sums_by_reference, "float64", Band(x, is_closed, 4, 3.0), 8, out)
    np.testing.assert_array_equal(out, [factor * 56.0, factor * 112.0])


def test_helper_is_compiled_once_for_each_type(compiled_links, as_a_new_process):
    for dtype in ("float32", "float64", "float64"):
        as_a_new_process()
        x, out = np.arange(5, dtype=dtype), np.zeros(2)
        call.call(sums, dtype, x, out)
        np.testing.assert_array_equal(out, [10.0, 10.0])
    assert len(compiled_links) == len(set(compiled_links)) == 2


def test_rows_are_compiled_when_a_call_uses_them(compiled_links, as_a_new_process):
    def run(used, last):
        x, out = np.array([3.0, 5.0, 7.0]), np.zeros(len(used) + 1)
        call.call(powers_of, "powers", Codes(np.array(used), last), x, out)
        np.testing.assert_array_equal(out, [*(x[i] ** code for i, code in enumerate(used)), 3.0**last])
        rows = [symbol.rpartition("_") for symbol in compiled_links if "power" in symbol and symbol[-2:-1] == "_"]
        compiled_links.clear()
        return sorted((table.removeprefix(linked_types.PREFIX)[:4], int(row)) for table, _, row in rows)

    assert run([2, 2], 0) == [("more", 0), ("powe", 2)]
    assert run([2, 1], 0) == [("powe", 1)]
    assert run([1, 2, 3], 2) == [("more", 2), ("powe", 3)]
    assert run([3, 3, 1], 0) == []


def test_codes_below_zero_need_no_row(compiled_links):
    table = linker.Table(Link("fastmlp_test_negative", powers.name, powers.codes, b""))
    assert list(table.missing(Codes(np.array([-1, 2, 2]), 0))) == [2]
    table.set(2, 0)
    for _ in range(2):
        assert not table.missing(Codes(np.array([-1, 2, 2]), 0))
    assert list(table.missing(Codes(np.array([2, 1]), 0))) == [1]


def test_call_of_a_missing_row_ends_with_a_sentence():
    program = (
        "import ctypes; from llvmlite import binding; from fastmlp.kernels.jit.linker import Link, Table\n"
        "table = Table(Link('fastmlp_test_missing', 'module.name', 'Codes.used', b''))\n"
        "row = ctypes.c_void_p.from_address(binding.address_of_symbol('fastmlp_test_missing') + 8 * 3)\n"
        "ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(row.value)(1.0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -signal.SIGABRT
    assert done.stderr.startswith("fastmlp: a kernel called a function that is not loaded.")


def test_object_file_keeps_its_links():
    file = ObjectFile(b"code", (Link("symbol", "module.name", "", pickle.dumps(())),))
    assert ObjectFile.from_bytes(file.to_bytes()) == file


@pytest.mark.full
def test_symbols_are_the_same_in_every_process():
    program = (
        "import numpy as np; from fastmlp.kernels.jit.compiler import library\n"
        "from fastmlp.kernels.cpu.single_net.optimizer_step import squares_of_gradient\n"
        "from fastmlp.kernels.jit.decorators import kernel\n"
        "from fastmlp.kernels.simd.load_store import offset, scalar_like\n"
        "def run(p, g, out):\n"
        "    out[0] = squares_of_gradient(offset(p, 0), offset(g, 0), 0, 4, scalar_like(p, 0.5))\n"
        "x = np.zeros(4, np.float32)\n"
        "print(*[link.symbol for link in library(kernel(run), (x, x, np.zeros(1))).object_code.links])\n"
    )
    done = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in range(2)
    ]
    assert done[0].stdout == done[1].stdout
    assert done[0].stdout.startswith(f"{linked_types.PREFIX}squares_of_gradient_")


def test_functions_that_modules_do_not_name_are_refused():
    @linked_helper()
    def local(x):
        pass

    @kernel
    def calls(x):
        local(x)

    with pytest.raises(Exception, match="no attribute"):
        compiler.machine_code(calls, (np.zeros(1),))
