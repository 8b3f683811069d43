"""Awkward files, folders, images and columns through every way in that takes them: one verdict everywhere.

A verdict is either the ids of the samples that are used, with a note on what was left out, or a refusal: one line, an
error of `unseen`, that names what is wrong. No way in may let through what another refuses, none ends in an error of
another library, and none waits for ever.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import unseen
from unseen.data import resolve
from unseen.data.sources import find_format

N = 24
RNG = np.random.default_rng(0)
LABELS = np.arange(N) % 2
PATIENCE = 60  # seconds
QUICK = {"plan": unseen.folds(2), "threads": 1}
GROWN = {"keep": 0.75, "start": 0.5, "steps": 1, "threads": 1}
TEXTS = [f"{'good' if label else 'bad'} film {at}" for at, label in enumerate(LABELS)]
SHUFFLED = np.random.default_rng(1).permutation(N)


class Refused(unseen.UnseenError):
    """What the program said on stderr."""


@pytest.fixture(autouse=True)
def _impatient():
    """Whoever hangs is stopped."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"no answer in {PATIENCE} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def learner_of(source: Any) -> str:
    """A quick one that learns from this."""
    if "text" in str(source):
        return "tfidf"
    return "extra_trees:n_estimators=5" if "photos" in str(source) else "logistic"


def opened(source: Any, options: dict[str, Any]) -> Any:
    """What a verb is given."""
    return resolve(source, **options) if options else source


# The ways in: each gives the ids of the samples that it uses.


def by_resolve(source, options, tmp_path, capfd):
    return resolve(source, **options).ids


def by_score(source, options, tmp_path, capfd):
    return unseen.score(opened(source, options), learner=learner_of(source), **QUICK).ids


def by_prune(source, options, tmp_path, capfd):
    data = opened(source, options)
    return unseen.prune(data, keep=0.5, rule="random", learner=learner_of(source), **QUICK).scores.ids


def by_grow(source, options, tmp_path, capfd):
    return unseen.grow(opened(source, options), learner=learner_of(source), **GROWN).scores.ids


def by_embed(source, options, tmp_path, capfd):
    return unseen.embed(opened(source, options), threads=1).ids


def by_command(source, options, tmp_path, capfd):
    """`unseen prune`, whose one line on stderr is what it raises."""
    given = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
    said = program(["prune", str(source), "--keep", "0.5", "--rule", "random", "--out", str(tmp_path / "run"), *given,
                    "--learner", learner_of(source), "--folds", "2", "--threads", "1", "--no-report"],
                   capfd)  # fmt: skip
    assert "columns used as inputs: " in said or not str(source).endswith("parquet")
    return unseen.load(tmp_path / "run").scores.ids


def by_look(source, options, tmp_path, capfd):
    samples = find_format(source, **{name: value for name, value in options.items() if name != "on_error"})
    samples.known()
    return samples.labelling.ids


def by_export(source, options, tmp_path, capfd):
    return find_format(source, **options).labelling.ids


READERS = [by_resolve, by_score, by_prune, by_command]
FULL = [*READERS, by_grow, by_embed]


def program(arguments: list[str], capfd: Any) -> str:
    from unseen.cli import main

    capfd.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["unseen", *arguments])
        patch.setenv("COLUMNS", "1000")
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise Refused(refusal(end.code, capfd.readouterr().err)) from None
    said = capfd.readouterr()
    return f"{said.out}{said.err}"


def refusal(code: object, error: str) -> str:
    """What the one message says."""
    assert code == 1
    assert "Traceback" not in error
    assert error.startswith("error: ")
    return error.removeprefix("error: ").strip()


@dataclass
class Case:
    """An awkward source, and what is right.

    Args:
        make: writes it below a folder, and gives what is handed in.
        ids: of the samples to be used; None where it is to be refused.
        note: on what was left out.
        refusal: what the one line says, where it is refused.
        options: of the reader.
        unread: whether the fault is only in what is read of images, of which exports and pages read nothing.

    """

    make: Callable[[Path], Any]
    ids: list[Any] | None = None
    note: str = ""
    refusal: str = ""
    options: dict[str, Any] | None = None
    unread: bool = False


def photos(root: Path) -> Path:
    """Twelve images, a dark class and a bright one."""
    for name, low in (("cat", 0), ("dog", 128)):
        (root / "photos" / name).mkdir(parents=True)
        for at in range(6):
            pixels = np.random.default_rng(low + at).integers(low, low + 128, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "photos" / name / f"{at}.png")
    return root / "photos"


PHOTOS = [f"{name}/{at}.png" for name in ("cat", "dog") for at in range(6)]


def vectors(rows: int = N) -> dict[str, Any]:
    return {"a": RNG.normal(size=rows) + LABELS[:rows], "b": RNG.normal(size=rows)}


def table(root: Path, columns: dict[str, Any] | pa.Table | None = None, name: str = "table/a.parquet") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    written = {**vectors(), "label": LABELS} if columns is None else columns
    pq.write_table(written if isinstance(written, pa.Table) else pa.table(written), path)
    return root / name.split("/")[0]


def arrays(root: Path, x: str = "x.npy", y: str = "y.npy") -> Path:
    folder = root / "arrays"
    folder.mkdir()
    for name, values in ((x, np.stack([*vectors().values()], 1)), (y, LABELS)):
        with (folder / name).open("wb") as file:
            np.save(file, values)
    return folder


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def lost(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("nowhere")


def latin(path: Path) -> None:
    """Another name for the file, which is no UTF-8."""
    try:
        path.rename(Path(os.fsdecode(os.fsencode(path.parent) + b"/\xe9" + os.fsencode(path.suffix))))
    except OSError:
        pytest.skip("this file system takes no such names")


def after(make: Callable[..., Path], change: Callable[[Path], object], *arguments: Any) -> Callable[[Path], Path]:
    def made(root: Path) -> Path:
        source = make(root, *arguments)
        change(source)
        return source

    return made


def hidden_images(source: Path) -> None:
    for name in ("cat/.ipynb_checkpoints/0-checkpoint.png", "dog/_thumbs/1.png", "._junk/2.png"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes((source / "cat" / "0.png").read_bytes())


def systems(source: Path) -> None:
    for name in ("cat/@eaDir/0.png", "$RECYCLE.BIN/0.png", "lost+found/0.png", "__MACOSX/cat/._0.png"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((source / "cat" / "0.png").read_bytes())


def socket_at(path: Path) -> None:
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:  # whose names are short
        made.bind(path.name)


def hidden_tables(source: Path) -> None:
    for name in ("_metadata.parquet", ".hidden.parquet", ".cache/a.parquet"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes((source / "a.parquet").read_bytes())
    (source / "._a.parquet").write_bytes(b"\x00\x05\x16\x07")


def hive(root: Path) -> Path:
    half = N // 2
    for split in ("test", "train"):
        for code, label in enumerate("ab"):
            columns = {"a": RNG.normal(size=half) + code, "b": RNG.normal(size=half)}
            table(root, columns, f"table/split={split}/label={label}/0.parquet")
    return root / "table"


ALL = list(range(N))
SKIP = {"on_error": "skip"}

FOLDERS = {
    "as it should be": Case(photos, PHOTOS),
    "loop": Case(after(photos, lambda p: (p / "cat/loop").symlink_to("..")), PHOTOS, "cat/loop"),
    "hidden": Case(after(photos, hidden_images), PHOTOS, "as hidden: 3 files or folders"),
    "one class twice": Case(after(photos, lambda p: (p / "kitten").symlink_to("cat")), refusal="kitten is cat"),
    "of systems": Case(after(photos, systems), PHOTOS, "own files there: $RECYCLE.BIN, lost+found, cat/@eaDir"),
    "a link beside the image": Case(
        after(photos, lambda p: (p / "cat/z.png").symlink_to("0.png")), PHOTOS, "cat/z.png (is cat/0.png)"
    ),
    "one image in two classes": Case(
        after(photos, lambda p: (p / "dog/z.png").symlink_to("../cat/0.png")), refusal="dog/z.png is cat/0.png; remove"
    ),
    "socket": Case(after(photos, lambda p: socket_at(p / "cat/s.png")), refusal="(a socket, not a file)", unread=True),
    "device": Case(
        after(photos, lambda p: (p / "cat/d.png").symlink_to("/dev/zero")),
        refusal="(a device, not a file)",
        unread=True,
    ),
    "device skipped": Case(
        after(
            photos,
            lambda p: lost(p / "cat/0.png") or (p / "cat/0.png").unlink() or (p / "cat/0.png").symlink_to("/dev/zero"),
        ),
        PHOTOS[1:],
        "a device, not a file",
        "",
        SKIP,
        True,
    ),
    "empty file": Case(
        after(photos, lambda p: (p / "cat/z.png").write_bytes(b"")), refusal="not an image", unread=True
    ),
    "folder named as an image": Case(after(photos, lambda p: (p / "cat/z.png").mkdir()), PHOTOS),
    "pipe": Case(after(photos, lambda p: pipe(p / "cat/p.png")), refusal="cat/p.png (a pipe, not a file)", unread=True),
    "pipe skipped": Case(after(photos, lambda p: pipe(p / "cat/0.png")), PHOTOS[1:], "dropped 1 image", "", SKIP, True),
    "lost": Case(after(photos, lambda p: lost(p / "cat/l.png")), refusal="cat/l.png (a link to nowhere", unread=True),
    "lost skipped": Case(after(photos, lambda p: lost(p / "cat/0.png")), PHOTOS[1:], "dropped 1 image", "", SKIP, True),
    "latin": Case(after(photos, lambda p: latin(p / "cat/0.png")), refusal="cat/\\xe9.png (its name is", unread=True),
    "latin skipped": Case(after(photos, lambda p: latin(p / "cat/0.png")), PHOTOS[1:], "\\xe9.png", "", SKIP, True),
    "latin class": Case(after(photos, lambda p: latin(p / "cat")), refusal="photos/\\xe9 is not UTF-8; rename it"),
    "a pipe": Case(after(photos, lambda p: pipe(p / "cat/0.png")), refusal="a pipe, not a file", unread=True),
}
FILES = {
    "pipe": Case(after(arrays, lambda p: pipe(p / "x.npy")), refusal="x.npy cannot be read: a pipe, not a file"),
    "lost": Case(after(arrays, lambda p: lost(p / "y.npy")), refusal="y.npy cannot be read: a link to nowhere"),
    "objects": Case(after(arrays, lambda p: np.save(p / "y.npy", LABELS.astype(object))), refusal="holds Python obj"),
    "capitals": Case(lambda root: arrays(root, "X.npy", "Y.NPY"), ALL),
    "capital shards": Case(lambda root: arrays(root, "X-00000.npy", "y-00000.npy"), ALL),
    "hidden": Case(after(arrays, lambda p: (p / "._x.npy").write_bytes(b"\x00\x05\x16\x07")), ALL),
    "pipe of parquet": Case(after(table, lambda p: pipe(p / "b.parquet")), refusal="b.parquet cannot be read: a pipe"),
    "lost parquet": Case(after(table, lambda p: lost(p / "b.parquet")), refusal="b.parquet cannot be read: a link to"),
    "latin parquet": Case(after(table, lambda p: latin(p / "a.parquet")), refusal="\\xe9.parquet cannot be read: its"),
    "hidden parquet": Case(after(table, hidden_tables), ALL, "as hidden: 4 files or folders"),
    "loop": Case(after(table, lambda p: (p / "loop").symlink_to(".")), ALL, "loop (is the folder itself)"),
    "a link beside the file": Case(
        after(table, lambda p: (p / "z.parquet").symlink_to("a.parquet")), ALL, "z.parquet (is a.parquet)"
    ),
    "folders' columns": Case(hive, ALL, options={"split": "train"}),
    "a pipe itself": Case(lambda root: pipe(root / "p") or root / "p", refusal="p cannot be read: a pipe, not a file"),
    "a lost link itself": Case(lambda root: lost(root / "l") or root / "l", refusal="l cannot be read: a link to now"),
}


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({**vectors(), **columns, "label": LABELS})


TWICE = pa.table([pa.array(RNG.normal(size=N)), pa.array(RNG.normal(size=N)), pa.array(LABELS)], ["a", "a", "label"])
DAYS = [str(day.date()) for day in pd.date_range("2020-01-01", periods=N)]
KEYS = [f"{37 * at % 101:x}-a" for at in SHUFFLED]
COLUMNS = {
    "pandas' index": (pa.Table.from_pandas(frame().sample(frac=1, random_state=0)), ["a", "b"], "an index that pandas"),
    "a named index": (pa.Table.from_pandas(frame(c=RNG.normal(size=N)).set_index("c")), ["a", "b"], "an index that pa"),
    "numbers in order": (pa.Table.from_pandas(frame(n=np.arange(N))), ["a", "b"], "in the order of the rows"),
    "numbers in disorder": (pa.Table.from_pandas(frame(n=SHUFFLED)), ["a", "b"], "row numbers in another order"),
    "by name": (pa.Table.from_pandas(frame(idx=3 * SHUFFLED)), ["a", "b"], "under a usual name for row numbers"),
    "numbers as text": (
        pa.Table.from_pandas(frame(n=[str(at) for at in range(N)])),
        ["a", "b"],
        "the order of the rows",
    ),
    "names of rows": (
        pa.Table.from_pandas(frame(n=[f"img{at}.png" for at in range(N)])),
        ["a", "b"],
        "names in the order",
    ),
    "dates in order": (pa.Table.from_pandas(frame(n=DAYS)), ["a", "b"], "names in the order of the rows"),
    "some are missing": (
        pa.Table.from_pandas(frame(n=pd.array([None, *range(1, N)], dtype="Int64"))),
        ["a", "b"],
        "the order of the rows",
    ),
    "anew in each part": (
        pa.table({**vectors(), "Unnamed: 0": np.arange(N) % (N // 2), "label": LABELS}),
        ["a", "b"],
        "start again",
    ),
    "text beside text": (pa.table({"sentence": TEXTS, "label": LABELS, "key": KEYS}), ["sentence"], "beside text"),
    "an index as text": (
        pa.table({"sentence": TEXTS, "label": LABELS, "idx": (3 * SHUFFLED).astype(str)}),
        ["sentence"],
        "beside text",
    ),
    "of GLUE": (pa.table({"sentence": TEXTS, "label": LABELS, "idx": 3 * SHUFFLED}), ["sentence"], "beside text"),
    "two of one name": (TWICE, None, "two columns of one name"),
}


def verdict(case: Case, way: Any, tmp_path: Path, capfd: Any) -> None:
    source, options = case.make(tmp_path), case.options or {}
    if case.ids is not None:
        assert way(source, options, tmp_path, capfd).tolist() == case.ids
        if way is by_resolve:
            assert case.note in " ".join(resolve(source, **options).notes)
        return
    with pytest.raises(unseen.UnseenError) as caught:
        way(source, options, tmp_path, capfd)
    assert case.refusal in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def ways_into(case: Case, *ways: Any) -> list[Any]:
    """Those that read what is awkward; growing, which takes long, where nothing is skipped."""
    blind = {by_look, by_export} if case.unread else set()
    slow = {by_grow} if case.options == SKIP else set()
    return [way for way in ways if way not in blind | slow]


@pytest.mark.parametrize(
    ("name", "way"),
    [(name, way) for name, case in FOLDERS.items() for way in ways_into(case, *FULL, by_look, by_export)],
)
def test_folders_of_images(name, way, tmp_path, capfd):
    verdict(FOLDERS[name], way, tmp_path, capfd)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        (name, way)
        for name, case in FILES.items()
        for way in ways_into(case, *READERS, by_grow, by_export, *([by_embed] if case.refusal else []))
    ],
)
def test_files_of_arrays_and_tables(name, way, tmp_path, capfd):
    verdict(FILES[name], way, tmp_path, capfd)


def latin_text(n: int = N) -> pa.Array:
    """Text of another encoding, which some writers put where UTF-8 should be."""
    buffers = pa.array(["ab"] * n).buffers()
    return pa.Array.from_buffers(pa.string(), n, [*buffers[:2], pa.py_buffer(b"a\xe9" * n)])


@pytest.mark.parametrize("form", ["file", "folder"])
@pytest.mark.parametrize(
    ("column", "options"),
    [
        ("label", {}),
        ("text", {"text": "text"}),
        ("c", {}),
        ("key", {"id": "key"}),
        ("split", {}),
        ("g", {"group": "g"}),
    ],
)
def test_text_that_is_no_utf8_is_refused(form, column, options, tmp_path):
    columns = {**vectors(), "label": LABELS, column: latin_text()}
    where = {"file": in_file, "folder": in_folder}[form](pa.table(columns), tmp_path)
    with pytest.raises(
        unseen.DataError, match=f"column '{column}' must hold text in UTF-8, but does not .*write it anew"
    ):
        resolve(where, **options)


@pytest.mark.parametrize(
    "columns",
    [
        {"hour": np.arange(N) % 12, "b": RNG.normal(size=N)},  # begins anew, and is no index by its name
        {"word": [f"w{at:02}" for at in range(N)]},  # the only input, in order as in a dictionary
        {"colour": [("red", "blue", "green")[at % 3] for at in range(N)], "b": RNG.normal(size=N)},
        {"time": np.arange(N) + 0.5, "b": RNG.normal(size=N)},
    ],
    ids=["hours", "words", "categories", "fractions"],
)
def test_what_only_looks_like_row_numbers_is_used(columns, tmp_path):
    data = resolve(in_file(pa.table({**columns, "label": LABELS}), tmp_path))
    assert f"columns used as inputs: {', '.join(columns)}" in data.notes


# Of columns: the forms in which a table is handed in.


def in_file(columns: pa.Table, tmp_path: Path) -> Any:
    name = "text" if "sentence" in columns.column_names else "table"
    return table(tmp_path, columns, f"{name}/a.parquet") / "a.parquet"


def in_folder(columns: pa.Table, tmp_path: Path) -> Any:
    half = len(columns) // 2
    table(tmp_path, columns.slice(0, half))
    return table(tmp_path, columns.slice(half), "table/b.parquet")


def in_store(columns: pa.Table, tmp_path: Path) -> Any:
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open(f"memory://{tmp_path.name}/a.parquet", "wb") as file:
        pq.write_table(columns, file)
    return f"memory://{tmp_path.name}/a.parquet"


def in_datasets(columns: pa.Table, tmp_path: Path) -> Any:
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    return datasets.Dataset(columns)


def in_saved_datasets(columns: pa.Table, tmp_path: Path) -> Any:
    in_datasets(columns, tmp_path).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


FORMS = [in_file, in_folder, in_store, in_datasets, in_saved_datasets]
# The library `datasets` makes no data set of two columns of one name, and forgets which column was an index.
NOT_OF_DATASETS = ("two of one name", "a named index")


@pytest.mark.parametrize(
    ("name", "form"), [(n, form) for n in COLUMNS for form in (FORMS[:3] if n in NOT_OF_DATASETS else FORMS)]
)
def test_columns_of_tables(name, form, tmp_path):
    columns, used, said = COLUMNS[name]
    if used is None:
        with pytest.raises(unseen.DataError, match=said):
            resolve(form(columns, tmp_path))
        return
    data = resolve(form(columns, tmp_path))
    assert data.kind == ("text" if used == ["sentence"] else "vector")
    assert f"columns used as inputs: {', '.join(used)}" in data.notes
    assert sum(said in note for note in data.notes) == 1


@pytest.mark.parametrize("way", [by_score, by_prune, by_grow, by_command, by_look, by_export])
@pytest.mark.parametrize("name", COLUMNS)
def test_columns_through_every_verb(name, way, tmp_path, capfd):
    columns, used, said = COLUMNS[name]
    if used is None:
        case = Case(lambda root: in_file(columns, root), refusal=said)
    else:
        case = Case(lambda root: in_file(columns, root), ALL)
    verdict(case, way, tmp_path, capfd)
