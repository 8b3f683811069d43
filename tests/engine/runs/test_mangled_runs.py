"""Runs in which something is not what unseen writes: one line that names the file, never an error of another library.

Every value of every JSON file is made another type, null, a list, or taken away. As the files are sealed, each is then
sealed anew, or nothing behind the seal would be tried.
"""

from __future__ import annotations

import copy
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import unseen
from unseen.engine.runs.base import seal, unseal
from unseen.errors import CorruptFileError, UnseenError

GOLDEN = Path(__file__).with_name("golden") / "format2"
GONE = object()
VALUES = (None, "x", -1, 0.5, True, [], [None], {}, GONE)


def places(content: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every value, those inside others too; of a list only the first."""
    if isinstance(content, dict):
        inside: Any = content.items()
    else:
        inside = list(enumerate(content))[:1] if isinstance(content, list) else []
    for key, value in inside:
        yield (*at, key)
        yield from places(value, (*at, key))


def put(content: Any, place: tuple[Any, ...], value: object) -> Any:
    changed = copy.deepcopy(content)
    inside = changed
    for key in place[:-1]:
        inside = inside[key]
    if value is GONE:
        del inside[place[-1]]
    else:
        inside[place[-1]] = value
    return changed


def program(*argv: str) -> None:
    from unseen.cli._app import app

    app(list(argv), standalone_mode=False)


def loaded(run: Path) -> None:
    repr(unseen.load(run))


def reported(run: Path) -> None:
    unseen.report(run, images=0)


def looked_at(run: Path) -> None:
    program("resume", str(run), "--dry-run", "--json")


def resumed(run: Path) -> None:
    program("resume", str(run), "--json")


def only_ours(work: Callable[[Path], None], run: Path, what: object) -> None:
    """Success, or one line of ours."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            work(run)
    except UnseenError as error:
        told = str(error)
    except Exception as error:
        raise AssertionError(f"{work.__name__} after {what}: {type(error).__name__}: {error}") from error
    else:
        return
    assert told, what
    assert "Traceback" not in told, what


def mangled(name: str, file: str, tmp_path: Path, *works: Callable[[Path], None], every: int = 1) -> int:
    shutil.copytree(GOLDEN / name, tmp_path / name)
    shutil.copy2(GOLDEN / "digits.npz", tmp_path)
    path = tmp_path / name / file
    whole = unseal(path.read_bytes())
    assert whole is not None
    tried = [(place, value) for place in places(whole) for value in VALUES][::every]
    for place, value in tried:
        path.write_bytes(seal(put(whole, place, value)))
        for work in works:
            only_ours(work, tmp_path / name, (file, place, "gone" if value is GONE else value))
    return len(tried)


LOADED = [
    ("prune", "manifest.json"),
    ("prune", "outputs.json"),
    ("prune", "command.json"),
    ("evaluate", "manifest.json"),
    ("sweep", "manifest.json"),
    ("advise", "advice.json"),
    ("advise", "manifest.json"),
]


@pytest.mark.parametrize(("name", "file"), LOADED)
def test_load_survives_a_change_at_each_place_of_any_json(name: str, file: str, tmp_path: Path) -> None:
    every = len(VALUES) + 1  # another value at each place
    assert mangled(name, file, tmp_path, loaded, every=every) > 30 // every


@pytest.mark.slow
@pytest.mark.parametrize(("name", "file"), LOADED)
def test_load_survives_any_value_in_any_json(name: str, file: str, tmp_path: Path) -> None:
    assert mangled(name, file, tmp_path, loaded) > 30


MANY = [("prune", "manifest.json"), ("prune", "command.json"), ("evaluate", "command.json"), ("advise", "advice.json")]


@pytest.mark.parametrize(("name", "file"), MANY)
def test_every_command_survives_some_of_them(name: str, file: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    every = 251 if name == "advise" else 61  # a page is drawn each time
    assert mangled(name, file, tmp_path, reported, looked_at, resumed, every=every) > 3


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "file"), [*MANY, ("grow", "manifest.json"), ("sweep", "manifest.json")])
def test_every_command_survives_all_of_them(name: str, file: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    every = 4 if name == "advise" else 1  # a page is drawn each time
    assert mangled(name, file, tmp_path, loaded, reported, looked_at, resumed, every=every) > 40 // every


def exported(run: Path) -> None:
    shutil.rmtree(run.parent / "out", ignore_errors=True)
    unseen.export(run, "npy", run.parent / "out" / "a.npy")


def evaluated(run: Path) -> None:
    program("evaluate", str(run), "--seeds", "1", "--baseline", "random", "--out", str(run.parent / "e"), "--no-report",
            "--quiet")  # fmt: skip


def selected(run: Path) -> None:
    (run.parent / "s.parquet").unlink(missing_ok=True)
    program("select", str(run), "--keep", "5", "--out", str(run.parent / "s.parquet"), "--json")


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").touch()


def to_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def to_other_parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1, 2]}), path)


def to_other_kind(path: Path) -> None:
    coreset = path.with_name("coreset.parquet").read_bytes()
    path.write_bytes(coreset if path.name != "coreset.parquet" else path.with_name("scores.parquet").read_bytes())


def to_number(path: Path) -> None:
    path.write_text("3")


def to_nothing(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = (Path.unlink, to_folder, to_pipe, to_nothing, to_number, to_other_parquet, to_other_kind)
FILES = ("manifest.json", "outputs.json", "command.json", "scores.parquet", "coreset.parquet", "events.jsonl")


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("file", FILES)
def test_every_command_survives_any_content_of_a_file(
    file: str, damage: Callable[[Path], None], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for work in (loaded, reported, looked_at, exported, selected):
        run = tmp_path / work.__name__ / "prune"
        shutil.copytree(GOLDEN / "prune", run)
        shutil.copy2(GOLDEN / "digits.npz", run.parent)
        damage(run / file)
        monkeypatch.chdir(run.parent)
        only_ours(work, run, (file, damage.__name__))


@pytest.mark.parametrize("file", ["manifest.json", "outputs.json", "scores.parquet"])
def test_a_folder_in_place_of_a_file_is_named_with_the_remedy(file: str, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "prune", tmp_path / "run")
    to_folder(tmp_path / "run" / file)
    with pytest.raises(CorruptFileError, match=rf"{file} must be a file of the run, but it is a folder; move it away"):
        unseen.load(tmp_path / "run")


def test_a_damaged_file_of_an_open_run_that_is_a_folder_is_moved_aside(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "prune", tmp_path / "run")
    to_folder(tmp_path / "run" / "scores.parquet")
    run = unseen.engine.runs.RunDirectory(tmp_path / "run")
    run.open(run.manifest())
    assert run.table() is None
    run.close()
    assert (tmp_path / "run" / "scores.parquet.damaged" / "inside").exists()


STRANGE = (
    b"[]",
    b"3",
    b"\xff",
    b'{"kind": 1}',
    b'{"kind": "epoch"}',
    b'{"kind": "fit_end", "fit": [], "seconds": 1}',
    b'{"kind": "epoch", "fit": "r0f0", "epoch": 1, "seconds": "x"}',
    b'{"kind": "choosing"}',
)


@pytest.mark.parametrize("name", ["prune", "evaluate", "sweep"])
def test_a_strange_line_in_the_log_is_left_out(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(GOLDEN / name, tmp_path / name)
    log = tmp_path / name / "events.jsonl"
    whole = log.read_bytes()
    for line in STRANGE:
        log.write_bytes(whole + line + b"\n")
        unseen.load(tmp_path / name)
    log.write_bytes(whole + b"\n".join(STRANGE) + b"\n")
    unseen.report(tmp_path / name, images=0)  # which takes much longer
