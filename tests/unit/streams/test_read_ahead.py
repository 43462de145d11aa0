"""Reading ahead: the items of a generator in their order, the next one computed while the present one is in use."""

import threading

import pytest

from fastmlp.streams.read_ahead import read_ahead


def test_the_next_item_is_computed_while_one_is_in_use():
    began = threading.Event()

    def items():
        yield 0
        began.set()
        yield 1

    read = read_ahead(items())
    assert next(read) == 0
    assert began.wait(timeout=30), "without a request for the next item"
    assert list(read) == [1]


def test_an_error_is_raised_in_place_of_its_item():
    def items():
        yield 0
        raise ValueError("row 1 is damaged")

    read = read_ahead(items())
    assert next(read) == 0
    with pytest.raises(ValueError, match="row 1 is damaged"):
        next(read)


def test_a_reader_that_stops_early_closes_the_generator():
    ends, before = [], set(threading.enumerate())

    def items():
        try:
            yield from range(5)
        finally:
            ends.append(threading.current_thread())

    read = read_ahead(items())
    assert next(read) == 0
    read.close()
    assert len(ends) == 1
    assert not set(threading.enumerate()) - before
