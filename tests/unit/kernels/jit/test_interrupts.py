"""SIGINT waits inside a block and is handled at its end, by the handler that was there, once."""

import os
import signal
import sys
import threading

import pytest

from fastmlp.kernels.jit import interrupts

pytestmark = [
    pytest.mark.usefixtures("ctrl_c"),
    pytest.mark.skipif(sys.platform == "win32", reason="os.kill has no SIGINT there, it ends the process"),
]


def press():
    os.kill(os.getpid(), signal.SIGINT)


def test_it_comes_at_the_end(capsys):
    done = []

    def work():
        with interrupts.deferred("wait a moment"):
            press()
            press()
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1]
    assert capsys.readouterr().err == "\nwait a moment\n", "once"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        press()


def test_nothing_comes_where_nobody_presses(capsys):
    with interrupts.deferred("wait a moment"):
        pass
    assert capsys.readouterr().err == ""


def test_the_outermost_block_counts():
    done = []

    def work():
        with interrupts.deferred():
            with interrupts.deferred():
                press()
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1]


def test_it_comes_after_an_error_too():
    def work():
        with interrupts.deferred():
            press()
            raise ValueError("of the block")

    with pytest.raises(KeyboardInterrupt) as caught:
        work()
    assert isinstance(caught.value.__context__, ValueError)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_users_is_called():
    seen = []
    signal.signal(signal.SIGINT, lambda number, frame: seen.append((number, frame.f_code.co_name)))
    with interrupts.deferred():
        press()
        assert seen == []
    assert seen == [(signal.SIGINT, "press")]


@pytest.mark.parametrize("handler", [signal.SIG_IGN, None], ids=["ignored", "from C"])
def test_what_is_no_handler_of_pythons_stays(handler, monkeypatch):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if handler is None:
        monkeypatch.setattr(interrupts.signal, "getsignal", lambda number: None)
    with interrupts.deferred():
        press()
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_another_thread_defers_nothing():
    """Python calls handlers in the main thread."""
    found = []

    def work():
        with interrupts.deferred():
            found.append(signal.getsignal(signal.SIGINT))
            interrupts.deliver_pending()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


def test_where_nothing_is_half_done_it_may_come():
    done = []
    with interrupts.deferred():
        interrupts.deliver_pending()
        press()
        with pytest.raises(KeyboardInterrupt):
            interrupts.deliver_pending()
        interrupts.deliver_pending()
        done.append(1)
    assert done == [1]


def test_a_closed_stderr_does_no_harm(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(KeyboardInterrupt), interrupts.deferred("wait a moment"):
        press()
