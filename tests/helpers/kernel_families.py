"""CPU kernel families of single nets, for tests that run on each of them."""

import fastmlp.execution.dispatch

FAMILIES = ("batch_simd_4", "batch_simd_16", "batch_simd_data_parallel", "layerwise", "layerwise_data_parallel")


def use(family, monkeypatch):
    """Make every net train in this family from now on, whatever its size.

    layerwise_data_parallel runs on two threads.
    """
    evaluation = {"layerwise_data_parallel": "layerwise", "batch_simd_data_parallel": "batch_simd_16"}.get(
        family, family
    )
    monkeypatch.setattr(fastmlp.execution.dispatch, "choose_family", lambda network, rows: family)
    monkeypatch.setattr(fastmlp.execution.dispatch, "choose_evaluation_family", lambda network, rows: evaluation)
    if family.endswith("layerwise_data_parallel"):
        for name in ("choose_threads", "choose_evaluation_threads"):
            monkeypatch.setattr(fastmlp.execution.dispatch, name, lambda *_: 2)
