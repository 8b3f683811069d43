"""The cores and the memory of a process: affinity, control groups of both versions, and the setting of OpenMP."""

import os

import pytest

from unseen.core import machine
from unseen.core.machine import count_cores, default_threads, free_memory, total_memory


@pytest.fixture
def eight_cores(monkeypatch, tmp_path):
    """A process that may run on eight cores, in the control groups that a test writes below `groups`."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "_MEMBERSHIP", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "groups")
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


MIB = 1 << 20
V2_FILES = {
    "a/memory.max": f"{64 * MIB}\n",
    "a/memory.current": f"{40 * MIB}\n",
    "a/memory.stat": f"anon 1\ninactive_file {10 * MIB}\n",
}
V1_FILES = {
    "memory/job/memory.limit_in_bytes": f"{64 * MIB}\n",
    "memory/job/memory.usage_in_bytes": f"{40 * MIB}\n",
    "memory/job/memory.stat": f"cache 5\ntotal_inactive_file {10 * MIB}\n",
}


@pytest.mark.parametrize(("membership", "files"), [("0::/a/b\n", V2_FILES), (V1, V1_FILES)])
def test_memory_is_that_of_the_control_group(eight_cores, membership, files):
    """What files take of the usage makes room."""
    write_groups(eight_cores, membership, files)
    assert (total_memory(), free_memory()) == (64 * MIB, 34 * MIB)


@pytest.mark.parametrize(
    "files", [{}, {**V2_FILES, "a/memory.max": "max\n"}, {**V2_FILES, "a/memory.max": f"{1 << 60}\n"}]
)
def test_without_a_limit_memory_is_that_of_the_machine(eight_cores, files):
    write_groups(eight_cores, "0::/a\n", files)
    assert total_memory() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert total_memory() // 100 < free_memory() < total_memory()


def test_a_group_that_uses_more_than_its_limit_has_nothing_free(eight_cores):
    write_groups(eight_cores, "0::/a\n", {**V2_FILES, "a/memory.current": f"{90 * MIB}\n"})
    assert free_memory() == 0
