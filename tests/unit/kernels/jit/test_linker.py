"""Linked helpers and tables: object files of their own, which are compiled once and found by every process."""

from typing import NamedTuple

import numpy as np
import pytest

from fastmlp.kernels.jit import call, compiler, object_cache
from fastmlp.kernels.jit.decorators import helper, kernel, linked_helper, linked_table
from fastmlp.kernels.jit.linker import Link
from fastmlp.kernels.simd.load_store import load_scalar, offset


class Codes(NamedTuple):
    used: np.ndarray


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


powers = linked_table(f"{__name__}.powers", _make_power, range(4), "Codes.used", float)


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


def test_helper_is_compiled_once_for_each_type(compiled_links, as_a_new_process):
    """It takes positional and named arguments."""
    for dtype in ("float32", "float64", "float64"):
        as_a_new_process()
        x, out = np.arange(5, dtype=dtype), np.zeros(2)
        call.call(sums, dtype, x, out)
        np.testing.assert_array_equal(out, [10.0, 10.0])
    assert len(compiled_links) == len(set(compiled_links)) == 2


def test_rows_are_compiled_when_a_call_uses_them(compiled_links, as_a_new_process):
    """Codes below zero need none."""

    def run(*used):
        x, out = np.array([3.0, 5.0, 7.0]), np.zeros(len(used))
        call.call(powers_of, "powers", Codes(np.array(used)), x, out)
        np.testing.assert_array_equal(out, [x[i] ** code for i, code in enumerate(used)])
        rows = sorted(int(symbol[-1]) for symbol in compiled_links if "power" in symbol and symbol[-2:-1] == "_")
        compiled_links.clear()
        return rows

    assert [run(2, 2), run(2, 1), run(1, 2, 3), run(3, 3, 1)] == [[2], [1], [3], []]
    table = call.Table(Link("fastmlp_test_negative", powers.name, powers.codes, b""))
    assert list(table.missing(Codes(np.array([-1, 2, 2])))) == [2]
    table.set(2, 0)
    assert not table.missing(Codes(np.array([-1, 2, 2])))
