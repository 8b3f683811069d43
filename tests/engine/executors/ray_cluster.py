"""One Ray for the tests of a module, and the processes that are there.

Workers start in a second where they need no torch, and in five or more where they do; so tests take learners without it
unless torch is what they are about. Nothing waits without an end.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent
STORE = 80 * 2**20  # bytes; about the least that Ray takes


def descendants(pid):
    """Every process below this one, with its command line."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if stat[0] != "Z":
                parents[int(folder.name)] = (int(stat[1]), command)
    found, edge = {}, {pid}
    while edge:
        edge = {child for child, (parent, _) in parents.items() if parent in edge}
        found |= {child: parents[child][1] for child in edge}
    return found


def soon(condition, within=60):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def gone(pids):
    return not any(Path(f"/proc/{pid}").exists() and "Z" not in _state(pid) for pid in pids)


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


def training():
    """The processes in which a task is at work."""
    tasks = ("ray::train", "ray::_")
    return [pid for pid, command in descendants(os.getpid()).items() if command.startswith(tasks)]


@contextmanager
def started(**options):
    """A Ray of one node, to which others can be added; no process of it is left at the end."""
    import ray
    from ray.cluster_utils import Cluster

    before = set(descendants(os.getpid()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)  # workers import the learners of these tests
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        head = {"include_dashboard": False, "object_store_memory": STORE, **options}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
            yield cluster
        finally:
            ours = set(descendants(os.getpid())) - before
            ray.shutdown()
            cluster.shutdown()
    assert ours
    assert soon(lambda: gone(ours)), "processes of Ray were left behind"


@pytest.fixture(name="cluster", scope="module")
def cluster_fixture():
    """Four processors, as Ray sees it."""
    with started(num_cpus=4) as cluster:
        yield cluster
