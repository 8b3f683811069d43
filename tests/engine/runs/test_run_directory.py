"""The directory: layout, lock, log, damage, and what belongs to whom."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from unseen.core.coreset import Coreset
from unseen.core.files import read_parquet
from unseen.core.table import ScoreTable
from unseen.engine.runs import RunDirectory
from unseen.engine.runs.base import EventLog, seal, unseal
from unseen.engine.runs.directory import owner_of, read_arrays, write_arrays
from unseen.errors import CorruptFileError, RunError, RunLockedError, RunMismatchError

MANIFEST = {"seed": 0, "plan": {"plan": "folds", "k": 5}}
FILES = [
    "manifest.json",
    "command.json",
    "scores.parquet",
    "coreset.parquet",
    "fits/r0f0/result.npz",
    "fits/r0f1/checkpoint.npz",
]


def fill(path, manifest=MANIFEST):
    with RunDirectory(path) as run:
        run.open(manifest)
        run.write_json("command.json", {"argv": ["prune", "digits"]})
        run.checkpoints("r0f0").save({"epoch": np.int64(1)})
        run.save_result("r0f0", {"value": np.linspace(0, 1, 7), "name": np.array(["a", "ü"])})
        run.checkpoints("r0f1").save({"epoch": np.int64(2), "w": np.arange(6.0).reshape(2, 3)})
        run.save_table(ScoreTable.of("el2n", np.linspace(0, 1, 20), direction="harder"))
        run.save_coreset(Coreset(ids=np.array([4, 7]), indices=np.array([4, 7]), n=20))
        run.event("epoch", fit="r0f1", epoch=2)
    return path


def read(run, file):
    """What the run gives of that file; None where it has to be done again."""
    return {
        "command.json": lambda: run.read_json("command.json"),
        "scores.parquet": run.table,
        "coreset.parquet": run.coreset,
        "fits/r0f0/result.npz": lambda: run.result("r0f0"),
        "fits/r0f1/checkpoint.npz": lambda: run.checkpoints("r0f1").load(),
    }[file]()


def files_in(path):
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("filled") / "run")


@pytest.fixture
def path(filled, tmp_path):
    shutil.copytree(filled, tmp_path / "run")
    return tmp_path / "run"


# Layout


def test_the_layout_is_as_documented(path):
    assert files_in(path) == sorted([*FILES, "events.jsonl", "lock", "outputs.json"])
    text = (path / "manifest.json").read_text()
    manifest = json.loads(text)
    assert text == json.dumps(manifest, sort_keys=True, indent=2) + "\n"
    assert manifest.pop("seal")
    assert manifest == MANIFEST, "neither time, host nor retries"


def test_files_depend_on_content_alone(path, tmp_path):
    time.sleep(2.1)  # zip files know times by two seconds
    again = fill(tmp_path / "again", dict(reversed(MANIFEST.items())))
    for file in [*FILES, "outputs.json"]:
        assert (path / file).read_bytes() == (again / file).read_bytes(), file


def test_arrays_are_npz_that_numpy_reads_without_pickle(path):
    with np.load(path / "fits/r0f0/result.npz", allow_pickle=False) as arrays:
        assert arrays["value"].tolist() == np.linspace(0, 1, 7).tolist()


def test_a_finished_run_opened_again_has_everything(path):
    before = {file: ((path / file).read_bytes(), (path / file).stat().st_mtime_ns) for file in FILES}
    with RunDirectory(path) as run:
        run.open(MANIFEST)
        assert all(read(run, file) is not None for file in FILES[1:])
        assert [e["kind"] for e in run.events()] == ["epoch"]
    assert before == {file: ((path / file).read_bytes(), (path / file).stat().st_mtime_ns) for file in FILES}


def test_reading_needs_no_lock_and_changes_nothing(path):
    with RunDirectory(path) as worker:
        worker.open(MANIFEST)
        reader = RunDirectory(path)
        assert reader.manifest() == MANIFEST
        assert reader.table().column("el2n")[-1] == 1
        assert reader.coreset().ids.tolist() == [4, 7]
        (path / "scores.parquet").write_bytes(b"PAR1 damaged")
        with pytest.raises(CorruptFileError, match=r"scores\.parquet is damaged"):
            reader.table()
        assert (path / "scores.parquet").exists()
        assert worker.table() is None
        assert not (path / "scores.parquet").exists()


def test_a_directory_without_a_run_says_so(tmp_path):
    with pytest.raises(RunError, match="holds no run"):
        RunDirectory(tmp_path).manifest()
    (tmp_path / "table.csv").write_text("a,label")
    with pytest.raises(RunError, match=r"table\.csv holds no run: it is a file, and a run is a directory$"):
        RunDirectory(tmp_path / "table.csv").manifest()


def test_the_checkpoint_store_goes_to_another_process(path):
    with RunDirectory(path) as run:
        run.open(MANIFEST)
        store = run.checkpoints("r0f1")
        code = (
            f"from pathlib import Path; from unseen.engine.runs.directory import *; store = {store!r}".replace(
                "PosixPath", "Path"
            )
            + "; a = store.load(); a['epoch'] += 1; store.save(a)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
        assert store.load()["epoch"] == 3


def test_a_checkpoint_left_beside_a_result_is_dropped(path):
    write_arrays(path / "fits/r0f0/checkpoint.npz", {"epoch": np.int64(1)}, owner_of(path / "fits/r0f0/result.npz"))
    with RunDirectory(path) as run:
        run.open(MANIFEST)
        assert run.result("r0f0") is not None
    assert not (path / "fits/r0f0/checkpoint.npz").exists()


def test_temporary_files_of_killed_writers_are_removed(path):
    strays = [path / ".scores.parquet.0badf00d.tmp", path / "fits/r0f1/.checkpoint.npz.0badf00d.tmp"]
    for stray in strays:
        stray.write_bytes(b"half")
    with RunDirectory(path) as run:
        run.open(MANIFEST)
    assert not any(stray.exists() for stray in strays)


# Lock

HOLD = """
    import os, sys, time
    from unseen.engine.runs import RunDirectory
    run = RunDirectory(sys.argv[1])
    run.open(dict(seed=0, plan=dict(plan="folds", k=5)))
    {then}
"""


def holder(path, then):
    code = textwrap.dedent(HOLD).format(then=then)
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


def test_one_of_two_processes_gets_the_lock_and_the_other_is_told_who_has_it(path):
    process = holder(path, "print(flush=True); time.sleep(60)")
    with RunDirectory(path) as run:
        with pytest.raises(RunLockedError, match=rf"{path} is in use by process {process.pid} on \S+; wait for it"):
            run.open(MANIFEST)
        with pytest.raises(RunError, match="not open"):
            run.save_result("r0f0", {})
        process.kill()
        process.communicate()
        run.open(MANIFEST)  # the kernel has released it
        with pytest.raises(RunLockedError, match=f"process {os.getpid()} on"):
            RunDirectory(path).open(MANIFEST)
    with RunDirectory(path) as run:
        run.open(MANIFEST)


def test_a_child_forked_by_the_holder_does_not_keep_the_lock(path):
    process = holder(path, "os.fork() or print('forked', flush=True); time.sleep(60)")
    process.kill()
    process.wait()
    with RunDirectory(path) as run:
        run.open(MANIFEST)
    process.stdout.close()


def test_many_at_once_never_work_side_by_side(tmp_path):
    # Each of four processes, as often as it gets in, raises a counter that only an exclusive holder can keep right.
    code = textwrap.dedent(
        """
        import sys, time
        from unseen.errors import RunLockedError
        from unseen.engine.runs import RunDirectory
        done = 0
        while done < 8:
            with RunDirectory(sys.argv[1]) as run:
                try:
                    run.open({})
                except RunLockedError:
                    time.sleep(0.001)
                    continue
                count = (run.read_json("count.json") or {"n": 0})["n"]
                time.sleep(0.001)
                run.write_json("count.json", {"n": count + 1})
                done += 1
        """
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(4)]
    assert [process.wait(30) for process in processes] == [0] * 4
    assert RunDirectory(tmp_path).read_json("count.json") == {"n": 32}


def test_a_refused_configuration_releases_the_lock_and_changes_nothing(path):
    before = {file: (path / file).read_bytes() for file in files_in(path)}
    run = RunDirectory(path)
    with pytest.raises(RunMismatchError, match=r"plan\.k: 5 \(run\) != 3 \(now\)"):
        run.open({"seed": 0, "plan": {"plan": "folds", "k": 3}})
    assert before == {file: (path / file).read_bytes() for file in files_in(path)}
    run.open(MANIFEST)
    run.close()


# Log


def test_a_run_in_which_no_work_was_begun_takes_another_configuration(tmp_path):
    for seed in (0, 1):
        with RunDirectory(tmp_path) as run:
            run.open({**MANIFEST, "seed": seed})
    assert run.manifest()["seed"] == 1
    assert files_in(tmp_path) == ["lock", "manifest.json"]


def test_an_incomplete_last_line_is_skipped_and_cut_off_before_the_next(path):
    log = path / "events.jsonl"
    whole = log.read_bytes()
    for cut in range(1, len(whole)):
        log.write_bytes(whole + whole[:cut])
        assert len(EventLog(log).read()) == (1 if cut < len(whole) - 1 else 2)
    with RunDirectory(path) as run:
        log.write_bytes(whole + whole[:-20])
        run.open(MANIFEST)
        run.event("after")
        assert [e["kind"] for e in run.events()] == ["epoch", "after"]
    assert log.read_bytes().startswith(whole)
    assert all(json.loads(line) for line in log.read_bytes().splitlines())


def test_a_damaged_line_is_left_out(path):
    log = path / "events.jsonl"
    line = log.read_bytes()
    log.write_bytes(line + b'{"kind": \xff}\n' + b"[1]\n" + line)
    assert len(RunDirectory(path).events()) == 2


# Damage


def flipped(raw, bit):
    damaged = bytearray(raw)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def test_any_flipped_bit_and_any_cut_of_an_array_file_is_found(path, tmp_path):
    raw = (path / "fits/r0f0/result.npz").read_bytes()
    target = tmp_path / "x.npz"
    rng = random.Random(0)
    damaged = [flipped(raw, rng.randrange(8 * len(raw))) for _ in range(200)] + [raw[:n] for n in range(len(raw))]
    for content in damaged:
        target.write_bytes(content)
        with pytest.raises(CorruptFileError, match=r"x\.npz is damaged"):
            owner_of(target)


@pytest.mark.parametrize("header", [b"{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000,)}", b"(((((("])
def test_a_header_with_wrong_values_is_damage(tmp_path, header):
    """Of a file whose digest somebody made anew: no MemoryError, and no error of a parser."""
    header += b"\n"
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(40))
    with pytest.raises(CorruptFileError, match=r"x\.npz is damaged"):
        read_arrays(tmp_path / "x.npz")


def test_any_flipped_bit_and_any_cut_of_sealed_json_is_found():
    raw = seal(MANIFEST)
    assert unseal(raw) == MANIFEST
    assert not any(unseal(flipped(raw, bit)) for bit in range(8 * len(raw)))
    assert not any(unseal(raw[:n]) for n in range(len(raw)))
    assert unseal(raw + b" ") is None


@pytest.mark.parametrize("file", ["scores.parquet", "coreset.parquet"])
def test_a_flipped_bit_in_parquet_is_found_or_changes_nothing(path, file):
    kind = file.removesuffix(".parquet")
    raw = (path / file).read_bytes()
    expected, about = read_parquet(path / file, kind)
    rng = random.Random(1)
    found = 0
    for i in range(400):
        cut = rng.randrange(len(raw))
        (path / file).write_bytes(raw[:cut] if i % 8 == 0 else flipped(raw, rng.randrange(8 * len(raw))))
        try:
            columns, read_about = read_parquet(path / file, kind)
        except CorruptFileError:
            found += 1
            continue
        assert read_about == about
        assert list(columns) == list(expected)
        assert all(np.array_equal(columns[name], values) for name, values in expected.items())
    assert found > 200


@pytest.mark.parametrize("file", FILES[1:])
@pytest.mark.parametrize("how", ["bit", "cut", "empty", "other"])
def test_a_damaged_file_is_moved_aside_with_an_event_and_its_part_done_again(path, file, how):
    raw = (path / file).read_bytes()
    damaged = {
        "bit": flipped(raw, 0),
        "cut": raw[: len(raw) // 2],
        "empty": b"",
        "other": b"PK\x03\x04" * 99,
    }
    (path / file).write_bytes(damaged[how])
    with RunDirectory(path) as run:
        run.open(MANIFEST)
        assert read(run, file) is None
        event = next(e for e in run.events() if e["kind"] == "damaged")
        assert event["file"] == file
        assert (path / f"{file}.damaged").read_bytes() == damaged[how]
        assert read(run, file) is None
        assert sum(e["kind"] == "damaged" for e in run.events()) == 1
        for other in FILES[1:]:
            assert other == file or read(run, other) is not None
    fill(path)
    assert (path / file).read_bytes() == raw


def test_a_worker_moves_a_damaged_checkpoint_aside_too(path):
    with RunDirectory(path) as run:
        run.open(MANIFEST)
        store = run.checkpoints("r0f1")
        (path / FILES[-1]).write_bytes(b"x")
        assert store.load() is None
    assert (path / f"{FILES[-1]}.damaged").exists()


# A folder of somebody else


@pytest.mark.parametrize("name", ["scores.parquet", "report.html", "manifest.json", "events.jsonl", "lock"])
def test_a_new_run_replaces_no_file_that_is_not_of_a_run(tmp_path, name):
    (tmp_path / name).write_text("mine\n")
    with pytest.raises(RunError, match=rf"holds no run, but {re.escape(name)}, which a run would replace; choose"):
        RunDirectory(tmp_path).open(MANIFEST)
    assert files_in(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "mine\n"


def test_a_new_run_may_begin_beside_other_files_and_after_a_kill_behind_its_lock(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "lock").write_text('{"pid": 1, "host": "x"}')
    (tmp_path / "events.jsonl").write_text("")
    fill(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_run_that_was_copied_without_its_lock_continues(path):
    (path / "lock").unlink()
    with RunDirectory(path) as run:
        run.open(MANIFEST)
        assert run.table() is not None


# A damaged manifest


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}\n", b"null", b"\xff", None])
def test_a_damaged_or_lost_manifest_is_rebuilt_by_the_original_command(path, content):
    raw = (path / "manifest.json").read_bytes()
    (path / "manifest.json").unlink() if content is None else (path / "manifest.json").write_bytes(content)
    if content is not None:
        with pytest.raises(CorruptFileError, match=r"manifest\.json is damaged .* repeat the original command"):
            RunDirectory(path).manifest()
    with pytest.raises(RunMismatchError, match=r"r0f0/result\.npz belongs to another configuration"):
        RunDirectory(path).open({**MANIFEST, "seed": 1})
    assert not (path / "manifest.json").exists() if content is None else True
    with RunDirectory(path) as run:
        run.open(MANIFEST)
        assert all(read(run, file) is not None for file in FILES[1:])
    assert (path / "manifest.json").read_bytes() == raw


def test_an_edited_manifest_does_not_let_another_configuration_in(path):
    text = (path / "manifest.json").read_text()
    (path / "manifest.json").write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(RunMismatchError, match="damaged or lost"):
        RunDirectory(path).open({**MANIFEST, "seed": 1})


def test_files_of_another_run_are_ignored_with_an_event(path, tmp_path):
    other = fill(tmp_path / "other", {"seed": 1})
    for file in [*FILES[2:], "outputs.json"]:
        shutil.copy(other / file, path / file)
    with RunDirectory(path) as run:
        run.open(MANIFEST)
        assert [read(run, file) for file in FILES[2:]] == [None] * 4
        assert [e["file"] for e in run.events() if e["kind"] == "ignored"] == FILES[2:]
        run.save_result("r0f0", {"v": np.ones(1)})
        assert run.result("r0f0")["v"] == 1
        run.save_coreset(Coreset(ids=np.array([1]), indices=np.array([1]), n=20))
        assert run.coreset().ids.tolist() == [1]
        assert run.table() is None


def test_a_replaced_table_is_found(path, tmp_path):
    with RunDirectory(path) as run:
        run.open(MANIFEST)
        ScoreTable.of("el2n", np.zeros(20), direction="harder").save(path / "scores.parquet")
        assert run.table() is None
        assert run.coreset() is not None


def test_tables_whose_digests_are_lost_are_made_again(path):
    (path / "outputs.json").write_bytes(b"{}")
    with RunDirectory(path) as run:
        run.open(MANIFEST)
        assert run.table() is None
        assert run.coreset() is None
        assert [e["file"] for e in run.events() if e["kind"] == "damaged"] == ["outputs.json"]


def test_tables_of_another_run_are_not_taken_when_all_else_is_lost(path):
    (path / "manifest.json").unlink()
    shutil.rmtree(path / "fits")
    with RunDirectory(path) as run:
        run.open({"seed": 1})
        assert run.table() is None
        assert run.coreset() is None


def test_a_file_with_a_correct_digest_that_is_no_zip_is_damaged(tmp_path):
    target = tmp_path / "x.npz"
    target.write_bytes(b"no zip")
    with pytest.raises(CorruptFileError, match="damaged"):
        read_arrays(Path(target))
