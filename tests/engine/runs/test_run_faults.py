"""Kills at every boundary, disks without space, directories that cannot be written."""

import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from killed_writer import MANIFEST, NEW, OLD, work

from unseen.core.files import replace_file
from unseen.core.table import ScoreTable
from unseen.engine.runs import RunDirectory
from unseen.engine.runs.base import EventLog
from unseen.errors import StorageError

KEPT = ["manifest.json", "outputs.json", "scores.parquet", "coreset.parquet", "fits/r0f0/result.npz"]


def equal(found, expected):
    return found is not None and all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.fixture
def quick_tmp():
    # Thousands of fsyncs take a minute on a slow disk, and a SIGKILL does not tell disk from memory.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        yield Path(folder)


def test_a_kill_at_any_boundary_leaves_old_or_new_and_the_work_goes_on_to_the_same_bytes(quick_tmp):
    writer = Path(__file__).with_name("killed_writer.py")
    done = subprocess.run([sys.executable, writer, quick_tmp], check=True, capture_output=True, text=True, timeout=60)
    places = done.stdout.splitlines()
    unbroken = quick_tmp / str(len(places) + 1)
    assert len(places) > 40
    for name in ("replace", "fsync", "write", "write_array", "unlink"):
        assert {place.split()[0] for place in places if place.split()[1] == name} == {"before", "after"}
    seen = set()
    for moment, place in enumerate(places, 1):
        path = quick_tmp / str(moment)
        raw = {file: (path / file).read_bytes() for file in KEPT if (path / file).exists()}
        for file, content in raw.items():
            # The list of outputs is written twice; every other file has one content.
            assert file == "outputs.json" or content == (unbroken / file).read_bytes(), (place, file)
        with RunDirectory(path) as run:
            run.open(MANIFEST)
            assert not list(path.rglob("*.tmp")), place
            result, checkpoint = run.result("r0f0"), run.checkpoints("r0f0").load()
            assert result is None or equal(result, NEW), place
            assert checkpoint is None or equal(checkpoint, OLD) or equal(checkpoint, NEW), place
            assert not [e for e in run.events() if e["kind"] in ("damaged", "ignored")], place
            seen.add((result is not None, None if checkpoint is None else int(checkpoint["epoch"])))
        work(path)
        for file in KEPT:
            assert (path / file).read_bytes() == (unbroken / file).read_bytes(), (place, file)
        assert not (path / "fits/r0f0/checkpoint.npz").exists()
    assert seen == {(False, None), (False, 1), (False, 2), (True, None)}, "every phase was hit"


@pytest.fixture
def run(tmp_path):
    with RunDirectory(tmp_path / "run") as run:
        run.open(MANIFEST)
        run.checkpoints("r0f0").save(OLD)
        run.save_result("r0f1", NEW)
        yield run


def assert_all_kept(run):
    assert equal(run.checkpoints("r0f0").load(), OLD)
    assert equal(run.result("r0f1"), NEW)
    assert not list(run.path.rglob("*.tmp"))


FULL = r"cannot write .*{}: .*; free some space, then repeat the command: what was finished is kept"


def test_a_file_too_large_is_an_error_that_keeps_everything(run, monkeypatch):
    big = {"w": np.zeros(1 << 18)}
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # the limit would cut off what Python keeps of modules, too
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(StorageError, match=FULL.format("checkpoint.npz")):
            run.checkpoints("r0f0").save(big)
        with pytest.raises(StorageError, match=FULL.format("result.npz")):
            run.save_result("r0f0", big)
        with pytest.raises(StorageError, match=FULL.format("scores.parquet")):
            run.save_table(ScoreTable.of("el2n", np.random.default_rng(0).random(1 << 18), direction="harder"))
        assert_all_kept(run)
        run.event("still writing")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    run.save_result("r0f0", big)
    assert equal(run.result("r0f0"), big)


@pytest.mark.parametrize("function", ["replace", "fsync"])
@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOSPC, FULL), (errno.EROFS, r"cannot write .*{}: Read-only .*; choose a folder that")],
)
def test_no_space_and_read_only_at_every_step(run, monkeypatch, function, number, message):
    def fails(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fails)
        with pytest.raises(StorageError, match=message.format("checkpoint.npz")):
            run.checkpoints("r0f0").save(NEW)
        with pytest.raises(StorageError, match=message.format("command.json")):
            run.write_json("command.json", {"a": 1})
        assert_all_kept(run)
    assert run.read_json("command.json") is None


def test_a_full_disk_under_the_log():
    with pytest.raises(StorageError, match=FULL.format("/dev/full")):
        EventLog(Path("/dev/full")).append({"kind": "epoch"})


def test_a_log_line_that_fails_half_way_is_taken_back(tmp_path, monkeypatch):
    log, write = EventLog(tmp_path / "events.jsonl"), os.write
    log.append({"kind": "one"})

    def half(handle, data):
        if len(data) < 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, data[: len(data) - 5])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(StorageError, match="No space left"):
            log.append({"kind": "two", "more": "x" * 50})
    log.append({"kind": "three"})
    assert [e["kind"] for e in log.read()] == ["one", "three"]
    assert len(log.path.read_bytes().splitlines()) == 2


def test_a_path_under_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StorageError, match=r"cannot write .*/file/run/lock: Not a directory; choose a folder that can be"
    ):
        RunDirectory(tmp_path / "file" / "run").open(MANIFEST)
    with pytest.raises(StorageError, match="file is a file, and a run is a directory; choose another out="):
        RunDirectory(tmp_path / "file").open(MANIFEST)
    with pytest.raises(StorageError, match="cannot write"):
        ScoreTable.of("el2n", [0.1], direction="harder").save(tmp_path / "file" / "s.parquet")


def test_a_read_only_directory_is_named(tmp_path, monkeypatch):
    def refuses(path, *args):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuses)
    with pytest.raises(StorageError, match=r"cannot write .*/run/lock: Permission denied; choose a folder that can be"):
        RunDirectory(tmp_path / "run").open(MANIFEST)


def test_a_file_that_cannot_be_read_is_not_taken_for_a_damaged_one(run, monkeypatch):
    def refuses(path, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuses)
        with pytest.raises(StorageError, match=r"cannot read .*result\.npz: Permission denied"):
            run.result("r0f1")
    assert_all_kept(run)


def test_an_interrupted_write_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")

    def interrupted(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(path, interrupted)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_deleted_folder_of_a_fit_is_made_again(run):
    shutil.rmtree(run.path / "fits")
    assert run.result("r0f1") is None
    run.save_result("r0f1", NEW)
    assert equal(run.result("r0f1"), NEW)
