"""Deferred interrupts: SIGINT within a block is handled once at its end, by the handler installed before."""

import os
import signal
import sys

import pytest

from fastmlp.kernels.system import interrupts

pytestmark = [
    pytest.mark.usefixtures("ctrl_c"),
    pytest.mark.skipif(sys.platform == "win32", reason="os.kill has no SIGINT there, it ends the process"),
]


def send_sigint():
    os.kill(os.getpid(), signal.SIGINT)


def test_deferred_interrupt_is_raised_at_the_end_of_the_block(capsys):
    done = []

    def work():
        with interrupts.deferred("wait a moment"):
            send_sigint()
            send_sigint()
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1]
    assert capsys.readouterr().err == "\nwait a moment\n", "the message must be printed once"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        send_sigint()


def test_user_handler_is_called_at_the_end():
    seen = []
    signal.signal(signal.SIGINT, lambda number, frame: seen.append((number, frame.f_code.co_name)))
    with interrupts.deferred():
        send_sigint()
        assert seen == []
    assert seen == [(signal.SIGINT, "send_sigint")]


def test_deliver_pending_raises_a_deferred_interrupt():
    done = []
    with interrupts.deferred():
        interrupts.deliver_pending()
        send_sigint()
        with pytest.raises(KeyboardInterrupt):
            interrupts.deliver_pending()
        interrupts.deliver_pending()
        done.append(1)
    assert done == [1]
