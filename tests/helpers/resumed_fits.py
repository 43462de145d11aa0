"""Fits that end after a number of checkpoints, as by a kill, and fits that go on from the file."""

import numpy as np

import fastmlp.persistence.checkpoint_files
from fastmlp import Checkpoint


class Killed(BaseException):
    """Stands for a kill: what the process would have done afterwards does not count."""


def kill_after_writes(n_writes, monkeypatch):
    """Make the n-th write of a checkpoint the last thing that a fit does; later ones are as before."""
    write, count = fastmlp.persistence.checkpoint_files.write, [0]

    def counted(*arguments, **names):
        write(*arguments, **names)
        count[0] += 1
        if count[0] == n_writes:
            raise Killed

    monkeypatch.setattr(fastmlp.persistence.checkpoint_files, "write", counted)


def checkpoint(path, every="5 min", resume=False):
    """Return the Checkpoint for a path, None for none."""
    return None if path is None else Checkpoint(path, every, resume)


def train(net, data, path=None, every="5 min", resume=False, **arguments):
    """Fit, and return (net, record of the fit); silently unless told otherwise."""
    return net, net.fit(*data, checkpoint=checkpoint(path, every, resume), **{"verbose": 0, **arguments})


def killed(n_writes, monkeypatch, net, data, path, **arguments):
    """Fit until the n-th checkpoint is written."""
    with monkeypatch.context() as patches:
        kill_after_writes(n_writes, patches)
        try:
            train(net, data, path, **arguments)
        except Killed:
            return
    raise AssertionError("the fit had fewer checkpoints")


def resumed(make, data, path, n_writes, monkeypatch, every=2, **arguments):
    """Return (net, record) of a fit that was killed after n_writes checkpoints, and then went on.

    make : function that returns the untrained net or population
    """
    killed(n_writes, monkeypatch, make(), data, path, every=every, **arguments)
    net = make()
    net.params[:] = 7.0  # a fit that does not go on from the file ends elsewhere
    return train(net, data, path, every=every, resume=True, **arguments)


def assert_same_fit(found, expected):
    """Assert that two nets, or populations, and the records of their fits have the same bits."""
    (net, record), (expected_net, expected_record) = found, expected
    np.testing.assert_array_equal(net.params, expected_net.params)
    arrays = lambda record: record.arrays() if hasattr(record, "arrays") else record.records()
    assert arrays(record).keys() == arrays(expected_record).keys()
    for name, values in arrays(expected_record).items():
        np.testing.assert_array_equal(arrays(record)[name], values, err_msg=name)
    for name in ("epochs", "best_epoch", "stopped_by", "converged"):
        np.testing.assert_array_equal(getattr(record, name, 0), getattr(expected_record, name, 0), err_msg=name)
    assert (net.seed, net.fits) == (expected_net.seed, expected_net.fits)


def assert_extended_fit(found, expected):
    """Assert that a population that was extended has the bits of one that had as many epochs from the start.

    Losses of epochs that the shorter fit has not recorded are missing; of others both have the same.
    """
    (pop, result), (whole, wanted) = found, expected
    np.testing.assert_array_equal(pop.params, whole.params)
    arrays, others = result.arrays(), wanted.arrays()
    assert arrays.keys() == others.keys()
    for name in arrays.keys() - {"record_epochs", "records"}:
        np.testing.assert_array_equal(arrays[name], others[name], err_msg=name)
    epochs, mine, theirs = np.intersect1d(result.record_epochs, wanted.record_epochs, return_indices=True)
    assert (np.diff(result.record_epochs) > 0).all()
    assert {1, wanted.record_epochs[-1]} <= {*epochs.tolist()}
    np.testing.assert_array_equal(result.records[mine], wanted.records[theirs])
    np.testing.assert_array_equal(result.stopped_by, wanted.stopped_by)
    assert (pop.seed, pop.fits) == (whole.seed, whole.fits)
