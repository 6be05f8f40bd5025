"""Work done ahead by a thread: the same items in order, its errors, its end."""

import threading

import pytest

from amie_core.machine import ahead


def test_the_same_items_come_in_order() -> None:
    assert list(ahead(iter(range(100)), depth=3)) == list(range(100))
    assert list(ahead(iter(()))) == []


def test_what_is_raised_in_the_making_is_raised_where_it_is_used() -> None:
    def broken():
        yield 1
        raise OSError("no more")

    made = ahead(broken())
    assert next(made) == 1
    with pytest.raises(OSError, match="no more"):
        next(made)


def test_no_more_is_made_than_may_wait_and_nothing_goes_on_when_the_caller_stops() -> None:
    made: list[int] = []
    enough = threading.Event()

    def endless():
        number = 0
        while True:
            made.append(number)
            if number == 5:
                enough.set()
            yield number
            number += 1

    before = threading.active_count()
    items = ahead(endless(), depth=3)
    assert [next(items), next(items)] == [0, 1]
    assert enough.wait(60)  # two taken, three waiting, one in hand
    assert len(made) == 6
    items.close()
    assert threading.active_count() == before
