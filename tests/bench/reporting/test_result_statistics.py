"""Statistics of benchmark results."""

import pytest
from bench_example import example, result, row
from reporting import result_statistics as stats


def test_ratio_is_the_median_within_rounds():
    """Disturbed rounds slow both rows alike, so that ratios within rounds stay exact."""
    fast, slow = row("a", [1.0, 9.0, 1.0, 8.0]), row("b", [2.0, 18.0, 2.0, 16.0])
    assert stats.ratio(slow, fast) == (2.0,) * 5


def test_best_peer_limit_and_verdict_of_an_example():
    won, lost = example()["results"]
    assert stats.ours(won)["name"] == "fastmlp"
    assert stats.best_peer(won)["name"] == "jax tuned"
    assert stats.limit(won)["name"] == "products gemm", "the best of the products, not the lower arithmetic floor"
    assert stats.to_best_peer(won).median == pytest.approx(2.0)
    assert stats.to_limit(won).median == pytest.approx(1.25)
    assert (stats.verdict(won), stats.verdict(lost)) == ("ahead", "behind")
    assert stats.limit(lost) is None
    assert stats.to_limit(lost) is None


def test_floor_beaten_by_a_measurement_is_no_limit():
    """A library's matrix products are a floor unless a competitor is faster."""
    floors = (
        row("products gemm", [2.0], "limit"),
        row("products np.dot", [2.5], "limit"),
        row("arithmetic", [1.0], "limit"),
    )
    for ours, name in ((3.0, "products gemm"), (1.98, "products gemm"), (1.5, "arithmetic")):
        assert stats.limit(result("x", *floors, row("fastmlp", [ours], "ours")))["name"] == name
    assert stats.limit(result("x", *floors, row("fastmlp", [3.0], "ours"), row("jax", [1.5])))["name"] == "arithmetic"
    assert stats.limit(result("x", *floors[:2], row("fastmlp", [1.0], "ours")))["name"] == "products gemm"


def test_results_with_unsteady_rounds_are_marked():
    steady = result("x", row("fastmlp", [1.0, 1.1], "ours"), row("jax", [2.0, 2.2]), row("numpy", [5.0, 50.0]))
    assert not stats.is_unsteady(steady)
    assert stats.is_unsteady(result("x", row("fastmlp", [1.0, 1.0], "ours"), row("jax", [2.0, 3.1])))
    chosen = row("jax", [2.0, 2.0]) | {"threads": 2, "tried": {"1": 1.0, "2": 2.0}}
    assert not stats.is_unsteady(result("x", row("fastmlp", [1.0], "ours"), chosen))
    assert stats.is_unsteady(result("x", row("fastmlp", [1.0], "ours"), chosen | {"tried": {"2": 1.2}}))


def test_result_without_competitors_has_no_verdict():
    assert stats.verdict(result("x", row("fastmlp", [1.0], "ours"))) == ""
    assert stats.verdict(result("x", row("numpy", [1.0]))) == ""
    assert stats.verdict(result("x", row("fastmlp", [1.0], "ours"), row("numpy", [1.01]))) == "level"


def test_missing_competitors_are_listed_once():
    absent = [row(name, [], status="missing", reason="JAX is not installed") for name in ("jax scan", "jax tuned")]
    found = stats.missing([result("a", *absent), result("b", absent[0], row("numpy", [1.0]))])
    assert found == {"JAX is not installed": ["jax scan", "jax tuned"]}
