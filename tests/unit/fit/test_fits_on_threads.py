"""Fits on several threads: how they end together."""

from threading import Event

import pytest

from fastmlp.fit import fits_on_threads


def test_threads_that_have_started_end_where_the_system_refuses_another_one(monkeypatch):
    start, started, ended, stop = fits_on_threads.start_new_thread, [], [], Event()

    def refuse_the_second(function, arguments):
        if started:
            raise RuntimeError("can't start new thread")
        started.append(start(function, arguments))

    def work():
        ended.append(stop.wait(30))

    monkeypatch.setattr(fits_on_threads, "start_new_thread", refuse_the_second)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        fits_on_threads.run_on_threads(work, 2, stop, lambda: None)
    assert ended == [True]
