"""Damaged model files: `load` returns the saved net, or raises a ValueError with a full sentence.

Files with and without a checksum are mutated, from a seed: bits are flipped; bytes are overwritten, cut off, inserted
and removed; values in the description are replaced, also by sizes that fit into no memory; arrays are renamed, reshaped
and converted to other dtypes.
"""

import json
import math
import warnings

import numpy as np
import pytest
from safetensors.numpy import save as to_bytes

import fastmlp
from fastmlp.loading import _read
from fastmlp.persistence import KEY

VALUES = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    3.5,
    -0.0,
    1e308,
    2**31,
    2**62,
    2**63,
    2**64,
    10**400,
    "",
    "x",
    "auto",
    "relu",
    "float64",
    "Normal(std=1)",
    "Normal(std=1e999)",
    "Uniform()",
    "\ud800",
    [],
    [0],
    [1, 2],
    [[1]],
    [2**62, 2**62],
    {},
    {"a": 1},
    [None],
    ["relu"],
    [-1, 3],
    "params",
    1e-320,
    [3] * 1000,
]
NAMES = ["params", "result.settings", "result.", "history.loss", "seeds", "x"]
DTYPES = ["?", "u1", "i1", "i4", "i8", "f2", "f4", "f8", "u8"]


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


def mutated_bytes(data, rng):
    """Return data with some bytes changed, inserted or removed."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 5, 50])):
        at, length = int(rng.integers(len(data))), int(rng.integers(1, 9))
        # Half of the mutations are in the first 2,000 bytes, since the header is short compared with the arrays.
        at = at if rng.random() < 0.5 else at % 2000
        kind = rng.integers(8)
        if kind <= 2:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 3:
            data[at : at + length] = rng.bytes(length)
        elif kind == 4:
            del data[at : at + length]
        elif kind == 5:
            data[at:at] = rng.bytes(length)
        elif kind == 6:
            del data[at:]
        else:
            data[at : at + length] = bytes(length)
        if not data:
            return b""
    return bytes(data)


def mutated_value(value, rng):
    """Return a JSON value with a random part of it replaced."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = list(value)[rng.integers(len(value))]
        changed = dict(value)
        if rng.random() < 0.15:
            changed[f"{name}x" if rng.random() < 0.5 else "name"] = changed.pop(name)
        else:
            changed[name] = mutated_value(value[name], rng)
        return changed
    if isinstance(value, list) and value and rng.random() < 0.7:
        k = rng.integers(len(value))
        return [*value[:k], mutated_value(value[k], rng), *value[k + 1 :]]
    return VALUES[rng.integers(len(VALUES))]


def mutated_content(text, arrays, rng, with_checksum):
    """Return a well-formed file with a mutated description or mutated arrays."""
    description, arrays = json.loads(text), dict(arrays)
    if not with_checksum:
        del description["checksum"], description["version"]
    if rng.random() < 0.6:
        description = mutated_value(description, rng)
    else:
        name = list(arrays)[rng.integers(len(arrays))]
        array = arrays[name]
        kind = rng.integers(6)
        if kind == 0:
            arrays[name] = array.reshape(-1, 1) if rng.random() < 0.5 else array.reshape(1, *array.shape)
        elif kind == 1:
            arrays[name] = np.zeros(array.shape, DTYPES[rng.integers(len(DTYPES))])
        elif kind == 2:
            arrays[name] = np.concatenate([array, array])
        elif kind == 3:
            arrays[name] = array[:-1].copy()
        elif kind == 4:
            arrays[("params", "result.settings", "result.", "history.loss", "seeds", "x")[rng.integers(6)]] = (
                arrays.pop(name)
            )
        else:
            arrays[name] = np.array(rng.normal()) if rng.random() < 0.5 else np.zeros(0)
    try:
        encoded = json.dumps(description)
    except (ValueError, RecursionError):
        encoded = "{}"
    return to_bytes(arrays, {KEY: encoded}) if arrays else b""


def mutated_header(data, rng):
    """Return data with a mutated header: other shapes, dtypes and offsets of the arrays."""
    length = int.from_bytes(data[:8], "little")
    text = json.dumps(mutated_value(json.loads(data[8 : 8 + length]), rng)).encode()
    announced = len(text) if rng.random() < 0.8 else int(rng.integers(2**62))
    return announced.to_bytes(8, "little") + text + data[8 + length :]


def loaded(path):
    """Return the loaded net, or the message of the ValueError, which is the only allowed error."""
    try:
        found = fastmlp.load(path, device="cpu")
        return getattr(found, "net_", found)  # of a table's estimator
    except ValueError as error:
        return str(error)


def is_same(net, other):
    """Return whether two nets agree in everything that determines predictions."""
    return (
        type(net) is type(other)
        and net.params.tobytes() == other.params.tobytes()
        and net.get_settings() == other.get_settings()
        and net.preprocessing == other.preprocessing
    )


def use(net):
    """Use a net that was loaded from a damaged file: this must not raise an error."""
    repr(net)
    for fitted in (getattr(net, "history", None), getattr(net, "result", None)):
        if fitted is not None:
            repr(fitted)
    if getattr(net, "result", None) is not None:
        net.result.summary()
        net.best()
    assert math.prod(net.predict(np.zeros((2, net.network.n_features))).shape) > 0


def test_mutated_files_are_refused_or_load_unchanged(tmp_path, is_long, count):
    rng, outcomes = np.random.default_rng(20), {"refused": 0, "the same": 0, "accepted without a checksum": 0}
    files = [(*made, made[0].read_bytes(), *_read(made[0])) for made in subjects(tmp_path)]
    path = tmp_path / "mutated.safetensors"
    for k in range(20_000 if is_long else 1_000):
        _, net, data, text, arrays = files[k % len(files)]
        with_checksum = True
        kind = k // len(files) % 4
        if kind <= 1:
            changed = mutated_bytes(data, rng)
        elif kind == 2:
            changed = mutated_header(data, rng)
        else:
            with_checksum = rng.random() < 0.3
            changed = mutated_content(text, arrays, rng, with_checksum)
        path.write_bytes(changed)
        with warnings.catch_warnings():
            warnings.simplefilter("error" if with_checksum else "ignore")
            back = loaded(path)
        if isinstance(back, str):
            assert back.startswith(f"{str(path)!r} should be a net saved by fastmlp, but ")
            outcomes["refused"] += 1
            continue
        if with_checksum:
            assert is_same(net, back), f"mutation {k} was loaded as another net"
            outcomes["the same"] += 1
        else:  # without a checksum, every well-formed and consistent file is a net
            use(back)
            outcomes["accepted without a checksum"] += 1
    assert outcomes["refused"] > 0.6 * sum(outcomes.values())
    for name, number in outcomes.items():
        count(f"mutated files {name}", number)
