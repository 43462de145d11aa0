"""CPU kernel families of single nets, for tests that run on each of them."""

import fastmlp.execution.dispatch

FAMILIES = ("batch_simd_4", "batch_simd_16", "batch_simd_data_parallel", "layerwise", "layerwise_data_parallel")


MOST_ROWS = {"batch_simd_4": 4}  # samples in a batch, of families that have a limit


def rows_for(family, n):
    """Return n, or the most samples that a batch of this family can have."""
    return min(n, MOST_ROWS.get(family, n))


def use(family, monkeypatch):
    """Make every net train in this family from now on, whatever its size; batch_simd_4 batches of up to 4 samples only.

    layerwise_data_parallel runs on two threads.
    """
    evaluation = {"layerwise_data_parallel": "layerwise", "batch_simd_data_parallel": "batch_simd_16"}.get(
        family, family
    )
    larger = "batch_simd_16" if family == "batch_simd_4" else family
    choose = lambda network, rows: family if rows <= MOST_ROWS.get(family, rows) else larger
    monkeypatch.setattr(fastmlp.execution.dispatch, "choose_family", choose)
    monkeypatch.setattr(fastmlp.execution.dispatch, "choose_evaluation_family", lambda network, rows: evaluation)
    if family.endswith("layerwise_data_parallel"):
        for name in ("choose_threads", "choose_evaluation_threads"):
            monkeypatch.setattr(fastmlp.execution.dispatch, name, lambda *_: 2)
