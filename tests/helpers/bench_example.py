"""Small made-up benchmark results."""

from reporting.result_files import SCHEMA


def row(name, seconds, kind="peer", **others):
    base = {
        "name": name,
        "kind": kind,
        "status": "timed",
        "reason": "",
        "seconds": list(seconds),
        "prepare_seconds": 0.5,
        "threads": 1,
        "tried": {},
        "peak_memory": 2**20,
        "products": "openblas 0.3",
        "verified": {},
        "notes": {},
    }
    return base | others


def result(name, *rows, group="xor", curve=None, **others):
    base = {
        "name": name,
        "group": group,
        "title": f"title of {name}",
        "source": "random",
        "unit": "step",
        "costs": {"FLOP": 2e6},
        "curve": curve,
        "others_busy": 0.0,
        "slow_starts": 0,
        "rows": list(rows),
    }
    return base | others


def results(*members, **others):
    base = {
        "schema": SCHEMA,
        "machine": {
            "processor": "P",
            "cpus": 2,
            "memory": 2**33,
            "system": "Linux",
            "versions": {"numpy": "2"},
            "cleared": [],
            "slowed_by": [],
        },
        "options": {"device": "cpu", "quick": False, "rounds": 3},
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:10:00+00:00",
        "how": "By hand.",
        "missing": {"Keras is not installed": ["keras jax"]},
        "results": list(members),
    }
    return base | others


def example():
    """Results of two benchmark cases: in one, fastmlp is ahead of its competitors; in the other, it is behind."""
    return results(
        result(
            "won",
            row("products np.dot", [1e-6, 1.2e-6, 1e-6], "limit"),
            row("products gemm", [0.9e-6, 0.8e-6, 0.8e-6], "limit"),
            row("arithmetic", [0.5e-6] * 3, "limit"),
            row("fastmlp", [1e-6, 1.5e-6, 1e-6], "ours", threads=None),
            row("jax tuned", [2e-6, 3e-6, 2.2e-6]),
            row("jax scan", [5e-6] * 3),
            row("keras jax", [], status="missing", reason="Keras is not installed"),
            row("torch eager", [], status="wrong", reason="loss off by 2 (at most 0.1)"),
        ),
        result(
            "lost",
            row("fastmlp", [4e-3] * 3, "ours"),
            row("numpy", [1e-3] * 3),
            row("fastmlp, own stopping", [5e-3] * 3, "part"),
            group="predict",
        ),
    )
