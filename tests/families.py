"""The kernel families of a processor, for tests that every one of them must pass."""

import fastmlp.plan

FAMILIES = ("per_sample_narrow", "per_sample_wide", "per_layer", "replicas")


def use(family, monkeypatch):
    """Every net from here on trains in this family, whatever its size; replicas on their two threads."""
    evaluation = "per_layer" if family == "replicas" else family
    monkeypatch.setattr(fastmlp.plan, "choose_family", lambda network, rows: family)
    monkeypatch.setattr(fastmlp.plan, "choose_evaluation_family", lambda network, rows: evaluation)
    if family == "replicas":
        monkeypatch.setattr(fastmlp.plan, "choose_threads", lambda *_: 2)
