"""Threads of a fit: what is done side by side, and what libraries may use meanwhile."""

import signal
import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from unseen.core.machine import ahead, for_each, limited_threads, one_thread_each


def libraries():
    return {each["num_threads"] for each in threadpool_info()}


def test_each_part_is_done_once_and_by_no_more_threads_than_are_allowed():
    met, done = threading.Barrier(2, timeout=30), []

    def work(part):
        met.wait()  # so that no thread can do both
        done.append((part, threading.get_ident()))

    with limited_threads(2):
        for_each(work, range(2))
    assert sorted(part for part, _ in done) == [0, 1]
    assert len({thread for _, thread in done} - {threading.get_ident()}) == 2
    done.clear()
    with limited_threads(1):
        for_each(lambda part: done.append((part, threading.get_ident())), range(3))
    assert done == [(part, threading.get_ident()) for part in range(3)]


def test_a_single_part_is_done_where_it_is_asked_for():
    done = []
    with limited_threads(2):
        for_each(lambda _: done.append(threading.get_ident()), [0])
    assert done == [threading.get_ident()]


def test_work_inside_of_work_has_one_thread():
    inner = []

    def work(part):
        for_each(lambda _: inner.append((part, threading.get_ident())), range(3))

    with limited_threads(2):
        for_each(work, range(2))
    assert all(len({thread for at, thread in inner if at == part}) == 1 for part in range(2))


def test_an_error_of_a_part_is_raised():
    with limited_threads(2), pytest.raises(ZeroDivisionError):
        for_each(lambda part: 1 / part, [1, 0, 2])


def test_libraries_have_one_thread_each_where_for_each_has_more():
    with limited_threads(2):
        before = libraries()
        with one_thread_each():
            assert libraries() == {1}
            met = threading.Barrier(2, timeout=30)
            for_each(lambda _: met.wait(), range(2))
        assert libraries() == before


@pytest.mark.parametrize("threads", [1, 3])
def test_parts_are_made_one_at_a_time_and_no_more_of_them_than_threads(threads):
    made, done, most, making = [], [], [], threading.Lock()

    def parts():
        for part in range(20):
            assert making.acquire(blocking=False)
            most.append(len(made) - len(done))
            made.append(part)
            making.release()
            yield part

    with limited_threads(threads):
        for_each(done.append, parts())
    assert made == list(range(20))
    assert sorted(done) == made
    assert max(most) < threads


def test_of_several_errors_that_of_the_first_part_is_raised_and_no_more_are_made():
    made, second = [], threading.Event()

    def parts():
        for part in range(100):
            made.append(part)
            yield part

    def work(part):
        if part == 1:
            second.set()
        assert second.wait(30)
        raise ValueError(f"part {part}")

    with limited_threads(2), pytest.raises(ValueError, match="part 0"):
        for_each(work, parts())
    assert made == [0, 1]


def test_an_interrupt_ends_it_with_the_parts_under_way():
    made = []

    def parts():
        for part in range(10_000):
            made.append(part)
            yield part

    def work(part):
        if part == 5:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.002)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for jobs in the background
    try:
        with limited_threads(2), pytest.raises(KeyboardInterrupt):
            for_each(work, parts())
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(made) < 5_000


def test_an_error_in_making_a_part_is_raised_after_the_work_on_those_before():
    done = []

    def parts():
        yield 0
        raise OSError("gone")

    with limited_threads(2), pytest.raises(OSError, match="gone"):
        for_each(done.append, parts())
    assert done == [0]


@pytest.mark.parametrize("threads", [1, 3])
def test_items_come_in_order(threads):
    made = []

    def items():
        for item in range(7):
            made.append(threading.get_ident())
            yield item

    with limited_threads(threads):
        assert list(ahead(items())) == list(range(7))
    assert (threading.get_ident() in made) == (threads == 1)


def test_the_next_item_is_made_while_the_last_is_worked_on():
    begun = threading.Event()

    def items():
        yield 0
        begun.set()
        yield 1

    with limited_threads(2):
        coming = ahead(items())
        assert next(coming) == 0
        assert begun.wait(30)
        assert list(coming) == [1]


def test_an_error_in_making_an_item_is_raised_after_those_before():
    def items():
        yield 0
        raise OSError("gone")

    with limited_threads(2):
        coming = ahead(items())
        assert next(coming) == 0
        with pytest.raises(OSError, match="gone"):
            next(coming)


def test_work_keeps_the_settings_of_numpy_for_overflows():
    def work(_):
        np.exp(np.full(3, 1000.0))

    with limited_threads(2), np.errstate(over="ignore"):
        for_each(work, range(4))
