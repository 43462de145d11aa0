"""The kernel families of a processor, for tests that every one of them must pass."""

import fastmlp.execution.dispatch

FAMILIES = ("batch_simd_4", "batch_simd_16", "batch_simd_data_parallel", "layerwise", "layerwise_data_parallel")


def use(family, monkeypatch):
    """Every net from here on trains in this family, whatever its size; replicas on their two threads."""
    evaluation = {"layerwise_data_parallel": "layerwise", "batch_simd_data_parallel": "batch_simd_16"}.get(
        family, family
    )
    monkeypatch.setattr(fastmlp.execution.dispatch, "choose_family", lambda network, rows: family)
    monkeypatch.setattr(fastmlp.execution.dispatch, "choose_evaluation_family", lambda network, rows: evaluation)
    if family.endswith("layerwise_data_parallel"):
        for name in ("choose_threads", "choose_evaluation_threads"):
            monkeypatch.setattr(fastmlp.execution.dispatch, name, lambda *_: 2)
