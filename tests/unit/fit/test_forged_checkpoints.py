"""Checkpoints with a right checksum, and states that are none of the fit: refused, and the net is unchanged."""

import numpy as np
import pytest
from resumed_fits import killed, train
from small_blocks import BATCH, Rows, X, Y, use_small_blocks

import fastmlp
from fastmlp import EarlyStopping
from fastmlp.persistence.checkpoint_files import read, write
from fastmlp.persistence.parts import Parts

SETTINGS = {"loss": "binary_cross_entropy", "device": "cpu", "random_state": 3}
STREAM = {"batch_size": BATCH, "memory_limit": 1_000_000, "epochs": 4}


def net():
    return fastmlp.MLP((3, 4, 1), **SETTINGS)


def population(n_nets):
    return lambda: fastmlp.Population((3, 4, 1), n_nets, **SETTINGS)


FITS = {  # kind of the file, function that makes nets, data, arguments of fit
    "net": ("net", net, (X, Y), {"epochs": 6, "batch_size": 16, "early_stopping": EarlyStopping(9)}),
    "stream": ("net", net, (Rows(), None), STREAM),
    "nets in lanes": ("population", population(40), (X, Y), {"epochs": 6, "converged": 0.9, "every": 2}),
    "nets one by one": ("population", population(2), (X, Y), {"epochs": 6, "batch_size": 16}),
    "nets, stream": ("population", population(2), (Rows(), None), STREAM),
}


def with_value(array, place, value):
    changed = array.copy()
    changed.reshape(-1)[place] = value
    return changed


STEPS = 5  # place of the steps done among the scalars of a net
FORGED = [  # fit, name of an array or of a number, its new value as a function of the old one, words of the error
    ("net", "params", lambda a: a[:-1], "params should be float32 of shape"),
    ("net", "params", lambda a: a.astype(np.float64), "but it is float64"),
    ("net", "optimizer_state", lambda a: a[:0], "optimizer_state should be"),
    ("net", "scalars", lambda a: a[:3], "scalars should be"),
    ("net", "scalars", lambda a: with_value(a, STEPS, np.nan), "the number of steps should be a whole number"),
    ("net", "scalars", lambda a: with_value(a, STEPS, -5.0), "the number of steps should be a whole number"),
    ("net", "scalars", lambda a: with_value(a, STEPS, 1.0), "the number of steps should be"),
    ("net", "validation", lambda a: np.zeros((2, 2)), "validation should be"),
    ("net", "best_epoch", lambda n: "1", "a state that is none of this fit"),
    ("net", "ended_by", lambda text: "x", "its end or its place"),
    ("net", "n_scored", None, "it lacks 'n_scored'"),
    ("net", "loss", None, "it lacks 'loss'"),
    ("stream", "n_rows", lambda n: n + 1, "n_rows should be a whole number from 24 to 24"),
    ("stream", "n_blocks", lambda n: -1, "n_blocks should be"),
    ("stream", "sums", lambda a: a[:1], "sums should be"),
    ("nets in lanes", "nets.net_index", lambda a: with_value(a, 0, 10**9), "nets.net_index should be from 0 to 39"),
    ("nets in lanes", "nets.net_index", lambda a: with_value(a, 0, a[1]), "should have each net once"),
    ("nets in lanes", "nets.epochs", lambda a: with_value(a, 0, 6), "nets.epochs should be from 0 to 5"),
    ("nets in lanes", "nets.params", lambda a: a[:, :-1], "nets.params should be"),
    ("nets in lanes", "nets.numbers", lambda a: a[:, :3], "nets.numbers should be"),
    ("nets in lanes", "outcome.status", lambda a: with_value(a, 0, 77), "status should be from 0 to 6"),
    ("nets in lanes", "outcome.record_epochs", lambda a: a[:0], "the number of recorded epochs should be"),
    ("nets in lanes", "restarts", lambda a: with_value(a, 0, 30), "restarts should be from 0 to 6"),
    ("nets in lanes", "attempt", lambda n: 1, "attempt"),
    ("nets one by one", "net.0.params", lambda a: a[:-1], "params should be"),
    ("nets one by one", "net.0.loss", lambda a: a[:-1], "should be"),
    ("nets, stream", "net.0.params", lambda a: a[:-1], "params should be"),
    ("nets, stream", "params", lambda a: a[:1], "params should be"),
]


def change(place, name, new):
    """Replace an entry of a dictionary, or remove it without a function."""
    if new is None:
        del place[name]
    else:
        place[name] = new(place[name])


@pytest.mark.parametrize("fit, name, new, words", FORGED)
def test_a_state_of_another_form_is_refused(tmp_path, monkeypatch, fit, name, new, words):
    use_small_blocks(monkeypatch)
    (kind, make, data, arguments), path = FITS[fit], tmp_path / "run.ckpt"
    killed(1, monkeypatch, make(), data, path, **{"every": "0.000001 s"} | arguments)
    found = read(path, kind)
    of_stream = {**found.state.numbers, **found.state.numbers.get("fits", {}).get("0", {})}
    arrays = dict(found.state.arrays)
    array = f"net.0.{name}" if kind == "net" else name
    if array in arrays:
        change(arrays, array, new)
    else:
        holder = found.state.numbers if name in found.state.numbers else found.state.numbers["fits"]["0"]
        assert name in of_stream
        change(holder, name, new)
    write(path, kind, found._replace(state=Parts(arrays, found.state.numbers)), keep_previous=False)
    nets = make()
    before = nets.params.copy()
    with pytest.raises(ValueError, match=words):
        train(nets, data, path, resume=True, **arguments)
    np.testing.assert_array_equal(nets.params, before)
    assert nets.fits == 0


@pytest.mark.parametrize("random", [{}, {"seed": -1, "fits": 0}, {"seed": 3, "fits": "0"}, {"seed": 2**63, "fits": 0}])
def test_random_numbers_that_are_none_are_damage(tmp_path, monkeypatch, random):
    path = tmp_path / "run.ckpt"
    killed(1, monkeypatch, net(), (X, Y), path, every=1, epochs=4)
    write(path, "net", read(path, "net")._replace(random=random), keep_previous=False)
    with pytest.raises(ValueError, match="should be a checkpoint, but it is damaged"):
        train(net(), (X, Y), path, resume=True, epochs=4)
