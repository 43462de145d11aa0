"""Damaged model files: `load` returns the saved net, or raises a ValueError with a full sentence.

Bits are flipped; bytes are overwritten, cut off, inserted and removed, from a seed. Files whose content is well-formed
and wrong are for tests/fuzz.
"""

import warnings

import numpy as np
import pytest

import fastmlp


def subjects(folder):
    """Yield (path, saved net or population)."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3))
    net = fastmlp.MLP((3, 5, 2), loss="softmax_cross_entropy", dropout=0.1, random_state=1, device="cpu")
    net.fit(X, X[:, 0] > 0, epochs=6, batch_size=8, validation_fraction=0.2, early_stopping=3, verbose=0)
    pop = fastmlp.Population((3, 4, 1), 6, l2=np.linspace(0, 0.1, 6), random_state=2, device="cpu")
    pop.fit(X, X[:, 0], epochs=5, optimizer=fastmlp.SGD(np.linspace(0.01, 0.1, 6)), verbose=0)
    plain = fastmlp.MLP((4, 2), random_state=3, device="cpu")
    pd = pytest.importorskip("pandas")
    from fitted_tables import fitted as preprocessing_of

    table = pd.DataFrame({"a": [1.0, 2.0, None], "b": ["x", "y", "x"], "y": ["no", "yes", "no"]})
    plain.preprocessing = preprocessing_of(table, "y")
    for k, made in enumerate((net, pop, plain)):
        made.save(folder / f"{k}.safetensors")
        yield folder / f"{k}.safetensors", made


def mutated(data, rng):
    """Return data with some bytes changed, inserted or removed."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 5, 50])):
        if not data:
            break
        at, length = int(rng.integers(len(data))), int(rng.integers(1, 9))
        # Half of the mutations are in the first 2,000 bytes, since the header is short compared with the arrays.
        at = at if rng.random() < 0.5 else at % 2000
        kind = rng.integers(8)
        if kind <= 2:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 6:
            del data[at:]
        else:
            removed = 0 if kind == 5 else length
            data[at : at + removed] = b"" if kind == 4 else bytes(length) if kind == 7 else rng.bytes(length)
    return bytes(data)


def test_mutated_files_are_refused_or_load_unchanged(tmp_path, is_long, count):
    rng, outcomes = np.random.default_rng(20), {"refused": 0, "the same": 0}
    files = [(made, path.read_bytes()) for path, made in subjects(tmp_path)]
    path = tmp_path / "mutated.safetensors"
    n = 20_000 if is_long else 1_000
    for k in range(n):
        net, data = files[k % len(files)]
        path.write_bytes(mutated(data, rng))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                back = fastmlp.load(path, device="cpu")
        except ValueError as error:
            outcomes["refused"] += str(error).startswith(f"{str(path)!r} should be a net saved by fastmlp, but ")
            continue
        back = getattr(back, "net_", back)  # of a table's estimator
        assert type(back) is type(net)
        assert back.params.tobytes() == net.params.tobytes(), f"mutation {k} was loaded as another net"
        assert (back.get_settings(), back.preprocessing) == (net.get_settings(), net.preprocessing)
        outcomes["the same"] += 1
    assert sum(outcomes.values()) == n, "another message"
    assert outcomes["refused"] > 0.9 * n
    for name, number in outcomes.items():
        count(f"mutated files {name}", number)
