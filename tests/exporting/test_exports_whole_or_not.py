"""An export is there whole or not at all: killed, out of room, where it cannot be written, or where something is."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time

import numpy as np
import pytest
from small_exports import coreset_of, left, photos, pictures_table

import unseen
from unseen.core.coreset import Coreset
from unseen.data import from_arrays, from_folder
from unseen.errors import ArgumentError, RunLockedError, StorageError
from unseen.exporting import images
from unseen.exporting.api import KINDS

CORESET = Coreset(np.arange(4), np.arange(4), 8)
DATA = from_arrays(np.eye(8), np.arange(8) % 2)
PLAIN = ["parquet", "huggingface", "webdataset", "npy"]  # of vectors, without a run


def forked(work):
    """A process of its own that does this; its id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


def ended(pid):
    status = os.waitpid(pid, 0)[1]
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


@pytest.mark.parametrize("link", ["hard", "copy"])
def test_a_killed_export_leaves_no_name_and_is_repeated(tmp_path, monkeypatch, link):
    source = photos(tmp_path / "photos", per_class=30)
    before, place = left(source), tmp_path / "kept"
    data = from_folder(source)
    put, done = images._LINKS[link], []

    def until_45(*paths):
        if len(done) == 45:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(put(*paths))

    def export():
        unseen.export(coreset_of(data, range(90)), "folder", place, data=source, link=link)

    monkeypatch.setitem(images._LINKS, link, until_45)
    assert ended(forked(export)) == -signal.SIGKILL
    assert not place.exists()
    assert len(list((tmp_path / ".kept.part").rglob("*.png"))) == 45
    monkeypatch.undo()
    assert ended(forked(export)) == 0
    assert left(place) == before == left(source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "photos"]


def test_a_process_killed_at_any_time_leaves_no_name(tmp_path):
    source = photos(tmp_path / "photos", per_class=200)
    coreset = coreset_of(from_folder(source), range(600))
    outcomes = set()
    for trial in range(12):
        place = tmp_path / f"kept{trial}"
        pid = forked(lambda place=place: unseen.export(coreset, "folder", place, data=source, link="copy"))
        time.sleep(0.01 * trial)
        os.kill(pid, signal.SIGKILL)
        outcomes.add(ended(pid))
        if place.exists():
            assert left(place) == left(source)
    assert -signal.SIGKILL in outcomes


@pytest.mark.parametrize("to", sorted(KINDS))
@pytest.mark.parametrize("taken", ["file", "folder", "dangling link"])
def test_what_is_there_is_left_alone(tmp_path, to, taken):
    place = tmp_path / "taken"
    if taken == "file":
        place.write_text("mine")
    elif taken == "folder":
        place.mkdir()
        (place / "mine").touch()
    else:
        place.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ArgumentError, match="exists already, and exports overwrite nothing"):
        unseen.export(CORESET, to, place, data=DATA)
    assert left(tmp_path) == (["taken", "taken/mine"] if taken == "folder" else ["taken"])
    assert taken != "file" or place.read_text() == "mine"


@pytest.mark.parametrize("to", PLAIN)
def test_a_place_that_cannot_be_written_is_named(tmp_path, to):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*file/kept"):
        unseen.export(CORESET, to, tmp_path / "file" / "kept", data=DATA)
    assert left(tmp_path) == ["file"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("to", PLAIN)
def test_a_read_only_place_is_named(tmp_path, to):
    (tmp_path / "closed").mkdir(mode=0o555)
    with pytest.raises(StorageError, match=r"cannot write .*closed/kept.*: Permission denied"):
        unseen.export(CORESET, to, tmp_path / "closed" / "kept", data=DATA)


@pytest.mark.parametrize("to", [*PLAIN, "folder"])
def test_no_room_is_told_and_nothing_is_left(tmp_path, to, monkeypatch):
    """The limit of a file's size stands for the end of the disk: both are found where bytes are written."""
    n = 4000
    if to == "folder":
        data = from_arrays(np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8), np.arange(8) % 2)
    else:
        data = from_arrays(np.random.default_rng(0).normal(size=(n, 20)), np.arange(n) % 2)
    coreset = coreset_of(data, range(len(data)))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # the limit would cut off what Python keeps of modules, too
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot write .*kept.*: .*free some space"):
            unseen.export(coreset, to, tmp_path / "kept", data=data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert left(tmp_path) == []


def test_a_second_export_to_one_place_waits_its_turn(tmp_path):
    from unseen.core.files import LOCK, Lock

    path = pictures_table(tmp_path / "t.parquet")
    lock = Lock(tmp_path / ".kept.part" / LOCK)
    with pytest.raises(RunLockedError, match="is in use by process"):
        unseen.export(CORESET, "webdataset", tmp_path / "kept", data=DATA)
    lock.release()
    unseen.export(CORESET, "webdataset", tmp_path / "kept", data=DATA)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept", path.name]
