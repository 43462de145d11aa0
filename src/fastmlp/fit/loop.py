"""The fit loop: kernel calls, as long as the hooks of the fit allow, and what a fit ends with.

A net is trained on one block of rows after another; nets in lanes are trained together, on one block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext, suppress
from typing import Any, Protocol

from ..runtime.ctrl_c import StopFlag
from .divergence import warn_of_divergence
from .hooks.hook import Fit, Hook
from .one_net import OneNet


class Engine(Protocol):
    """What the loop needs of an engine: OneNet or Lanes."""

    @property
    def steps_left(self) -> int:
        """Steps until the end of the present block, or epochs of nets in lanes; 0 at the end."""

    def run(self, n: int) -> str:
        """Train n steps; return why the fit ends, or ""."""


def run_calls(engine: Engine, hooks: Sequence[Hook], flag: StopFlag) -> str:
    """Call the kernels until the end of the block; return why the fit ends before it, or "".

    flag : ends the fit before the next call: set by Ctrl-C, or by another thread
    """
    limiting, looking = own_methods(hooks, "limit"), own_methods(hooks, "after")
    while n := engine.steps_left:
        if flag.is_set():
            return "interrupt"
        for limit in limiting:
            n = limit(n)
            if not n:
                return "time_limit"
        if reason := engine.run(n):
            return reason
        for after in looking:
            if reason := after():
                return reason
    return ""


def own_methods(hooks: Sequence[Hook], name: str) -> list[Callable[..., Any]]:
    """Return this method of the hooks that have one of their own."""
    return [getattr(hook, name) for hook in hooks if getattr(type(hook), name) is not getattr(Hook, name)]


def fit_net(fit: Fit, flag: StopFlag, warns: bool = True) -> None:
    """Train one net to its end: its parameters are trained in place, and its history is filled.

    fit : Fit     engine OneNet and its hooks

    flag : StopFlag     ends the fit once it is set
    warns : whether to warn of divergence; a population warns once, for all its nets

    Raises
    ------
    BaseException
        That of a hook, such as of a callback, or a second Ctrl-C. The net then has the parameters that it has reached
        or, with early stopping, those of its best epoch.
    """
    net, hooks = fit.engine, fit.hooks
    history = net.records.history
    history.stopped_by = "error"
    try:
        with closing(net), fit.progress or nullcontext():
            _end(net, hooks, _train(net, hooks, flag))
            if history.stopped_by == "divergence" and warns:
                warn_of_divergence(net.epoch_of_divergence(), net.n_epochs, net.optimizer)
    finally:
        for close in reversed(own_methods(hooks, "close")):
            close()


def _train(net: OneNet, hooks: Sequence[Hook], flag: StopFlag) -> str:
    """Train on all blocks, or until the fit ends before; return why it ended."""
    try:
        with closing(net.task.rows.blocks(net)) as blocks:
            for block in blocks:
                net.set_block(block)
                if reason := run_calls(net, hooks, flag):
                    return reason
    except BaseException as error:
        with suppress(Exception):
            net.undo_call()
            net.make_finite()
            _end(net, hooks, "interrupt" if isinstance(error, KeyboardInterrupt) else "error")
        raise
    return "epochs"


def _end(net: OneNet, hooks: Sequence[Hook], reason: str) -> None:
    """Give the net the parameters that the fit ends with, and its history the records of all finished epochs."""
    # Backwards: a checkpoint has the state before the search for the best epoch ends.
    for end in reversed(own_methods(hooks, "end")):
        reason = end(reason)
    net.copy_to_host()
    net.records.publish(net.records.n_recorded(net.epochs_done) if net.n_final is None else net.n_final)
    net.records.history.stopped_by = reason
    if reason == "divergence" and net.optimizer_state is not None:
        net.optimizer_state.reset()  # it may be anything
