"""Threads of a fit: what is done side by side, and what libraries may use meanwhile."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from unseen.core import threads
from unseen.core.threads import ahead, count_cores, default_threads, for_each, limited_threads, one_thread_each


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

    with limited_threads(2), pytest.raises(KeyboardInterrupt):
        for_each(work, parts())
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


@pytest.fixture
def eight_cores(monkeypatch, tmp_path):
    """A process that may run on eight cores, in the control groups that a test writes below `groups`."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "_MEMBERSHIP", tmp_path / "cgroup")
    monkeypatch.setattr(threads, "_CGROUPS", tmp_path / "groups")
    return tmp_path


def write_groups(where, membership, files):
    (where / "cgroup").write_text(membership)
    for name, text in files.items():
        file = where / "groups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


V1 = "5:memory:/job\n3:cpu,cpuacct:/job\n"


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "300000 100000\n"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "250000 100000\n"}, 2),  # of the parent, a part cut
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),  # half a core
        ("0::/a\n", {"a/cpu.max": "max 100000\n"}, 8),
        ("0::/a\n", {"a/cpu.max": "9900000 100000\n"}, 8),  # above the affinity
        ("0::/of/the/host\n", {"cpu.max": "400000 100000\n"}, 4),  # in a container only the root is seen
        (V1, {"cpu/job/cpu.cfs_quota_us": "200000\n", "cpu/job/cpu.cfs_period_us": "100000\n"}, 2),
        (V1, {"cpu/job/cpu.cfs_quota_us": "-1\n", "cpu/job/cpu.cfs_period_us": "100000\n"}, 8),
        (V1, {"cpu/cpu.cfs_quota_us": "600000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 6),
        (V1 + "0::/\n", {"cpu/job/cpu.cfs_quota_us": "nonsense\n"}, 8),
    ],
)
def test_a_quota_of_the_control_group_bounds_the_cores(eight_cores, membership, files, cores):
    write_groups(eight_cores, membership, files)
    assert count_cores() == cores
    assert [default_threads(jobs) for jobs in (1, 2, 100)] == [cores, max(1, cores // 2), 1]


def test_without_control_groups_the_affinity_counts(eight_cores):
    assert count_cores() == 8


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("3", (3, 3, 2)), ("1", (1, 1, 1)), ("64", (8, 4, 2)), ("2,1", (2, 2, 2)), ("0", (8, 4, 2)), ("many", (8, 4, 2))],
)
def test_omp_num_threads_bounds_each_fit_and_all_fits_share_the_cores(eight_cores, monkeypatch, setting, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert tuple(default_threads(jobs) for jobs in (1, 2, 4)) == expected
    assert count_cores() == 8


def test_the_smallest_of_affinity_quota_and_setting_counts(eight_cores, monkeypatch):
    write_groups(eight_cores, "0::/a\n", {"a/cpu.max": "500000 100000\n"})
    assert default_threads() == 5
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert default_threads() == 4
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert default_threads() == 2
