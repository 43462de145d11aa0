"""Tests that are `thinned(k)`: which combinations of their parameters run by default."""

from itertools import product
from types import SimpleNamespace

import pytest
from thinning import thin_out


def cases(k, full=(), **parameters):
    """Return the cases of a test, in pytest's order, as far as thinning looks at them."""
    found = []
    for values in product(*parameters.values()):
        markers = {"thinned": SimpleNamespace(args=(k,))} | ({"full": True} if values in full else {})
        callspec = SimpleNamespace(params=dict(zip(parameters, values, strict=True)))
        case = SimpleNamespace(nodeid=f"test_it[{values}]", callspec=callspec, markers=markers)
        case.get_closest_marker = markers.get
        case.add_marker = lambda name, markers=markers: markers.update({name: True})
        found.append(case)
    return found


def kept(cases):
    thin_out(cases)
    assert all(("thinned_out" in case.markers) <= ("full" in case.markers) for case in cases)
    return [tuple(case.callspec.params.values()) for case in cases if "thinned_out" not in case.markers]


@pytest.mark.parametrize("k", [1, 2, 3, 5, 16, 100])
def test_every_value_of_every_parameter_occurs(k):
    parameters = {"a": "abcdefg", "b": (1, 2, 3), "c": (True, False)}
    found = kept(cases(k, **parameters))
    for values, occur in zip(parameters.values(), zip(*found, strict=True), strict=True):
        assert {*occur} == {*values}
    assert 42 / k <= len(found) <= 42 / k + 7
    assert kept(cases(k, **parameters)) == found, "each process of pytest-xdist chooses the same"


def test_a_value_of_long_cases_alone_need_not_occur():
    found = kept(cases(9, a="abc", b=(1, 2), full=[("c", 1), ("c", 2)]))
    assert {a for a, _ in found} == {"a", "b"}
    assert {b for _, b in found} == {1, 2}
