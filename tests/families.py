"""The kernel families of a processor, for tests that every one of them must pass."""

import fastmlp.execution.dispatch

FAMILIES = ("per_sample_narrow", "per_sample_wide", "per_sample_replicas", "per_layer", "replicas")


def use(family, monkeypatch):
    """Every net from here on trains in this family, whatever its size; replicas on their two threads."""
    evaluation = {"replicas": "per_layer", "per_sample_replicas": "per_sample_wide"}.get(family, family)
    monkeypatch.setattr(fastmlp.execution.dispatch, "choose_family", lambda network, rows: family)
    monkeypatch.setattr(fastmlp.execution.dispatch, "choose_evaluation_family", lambda network, rows: evaluation)
    if family.endswith("replicas"):
        for name in ("choose_threads", "choose_evaluation_threads"):
            monkeypatch.setattr(fastmlp.execution.dispatch, name, lambda *_: 2)
