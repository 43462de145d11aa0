"""Thinned tests, which run for some combinations of their parameters by default."""

from collections import defaultdict


def thin_out(items):
    """Mark most combinations of the parameters of a test that is `thinned(k)` as `thinned_out` and `full`.

    What stays is one in each k that follow each other, by the sum of its number's digits to the base k, so that it is
    not always the same value of a parameter; and others, until every value of every parameter occurs.
    """
    tests = defaultdict(list)
    for item in items:
        if item.get_closest_marker("thinned"):
            tests[item.nodeid.partition("[")[0]].append(item)
    for cases in tests.values():
        (k,) = cases[0].get_closest_marker("thinned").args
        kept = {i for i in range(len(cases)) if sum(i // k**place % k for place in range(16)) % k == 0}
        values = [_parameter_values(case) for case in cases]
        missing = set().union(*values) - set().union(*(values[i] for i in kept))
        while missing:
            best = max(range(len(cases)), key=lambda i: len(values[i] & missing))
            kept.add(best)
            missing -= values[best]
        for i in {*range(len(cases))} - kept:
            cases[i].add_marker("thinned_out")
            cases[i].add_marker("full")


def _parameter_values(item):
    """Return {(name, identity of the value)} of the parameters of a case; none of one that is `full` anyway."""
    if item.get_closest_marker("full") or not hasattr(item, "callspec"):
        return set()
    return {(name, id(value)) for name, value in item.callspec.params.items()}
