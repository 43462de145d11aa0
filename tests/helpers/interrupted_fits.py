"""Fits that Ctrl-C ends: of populations before all nets have begun, of rows on disk, in functions that they call."""

import signal
from contextlib import contextmanager

import fastmlp.fit.hooks.lane_calls
from fastmlp.fit.lanes import Lanes
from fastmlp.fit.one_net import OneNet


def interrupt_populations(monkeypatch):
    """Send SIGINT after the first call of the kernel for the nets of each block of lanes: after one epoch."""
    run, begun = Lanes.run, []

    def ran(self, n):
        reason = run(self, n)
        if self not in begun:
            begun.append(self)
            signal.raise_signal(signal.SIGINT)
        return reason

    monkeypatch.setattr(Lanes, "run", ran)
    monkeypatch.setattr(fastmlp.fit.hooks.lane_calls, "FIRST_CALL", 1)


def with_sigint(function, n=1):
    """Return a function that does what the given one does, after SIGINT at its n-th call."""
    calls = []

    def called(*arguments, **settings):
        calls.append(arguments)
        if len(calls) == n:
            signal.raise_signal(signal.SIGINT)
        return function(*arguments, **settings)

    return called


def at_blocks(monkeypatch, call):
    """Call a function with the block after each block of rows on disk that is trained."""
    end_block = OneNet._end_block

    def ended(self):
        end_block(self)
        call(self.block)

    monkeypatch.setattr(OneNet, "_end_block", ended)


@contextmanager
def interrupted_epochs(n, monkeypatch, of_blocks=False):
    """Send SIGINT at the end of epoch number n of fits to rows on disk, or of block number n."""
    ended = []

    def count(block):
        if of_blocks or block.is_last:
            ended.append(block)
            if len(ended) == n:
                signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        at_blocks(patch, count)
        yield
