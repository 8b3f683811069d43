"""What every kind of export gets: the request, files that appear whole or not at all, and safe names.

An `ExportRequest` is a coreset, its scores where they are known, and the data set of both. An export is written under a
temporary name until it is complete, and overwrites nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path, PurePath
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from unseen.core.arrays import IntArray
from unseen.core.coreset import Coreset
from unseen.core.files import NewFolder, storage_error
from unseen.core.table import ScoreTable
from unseen.data.formats import Format
from unseen.data.sources import find_format
from unseen.engine import runs
from unseen.engine.runs.base import differ_in_labels, differences
from unseen.engine.runs.commands import data_of_run, ignore_reading_warnings
from unseen.errors import ArgumentError, DataError, RunError, RunMismatchError, UnseenError, some

Report: TypeAlias = Callable[..., None]


@dataclass(frozen=True, eq=False)
class ExportRequest:
    """A coreset to export. The data set is opened when it is first needed, and must be the one that was scored."""

    chosen: Coreset | None
    table: ScoreTable | None
    run: Path | None
    named: Any  # the data set, as `unseen.data.resolve` takes it; None for the one that the run read
    options: Mapping[str, Any] | None  # options of its reader; None for those by which the run read it
    report: Report | None  # called with (kind, **fields) as work goes on: `"exported"`, with `done` samples of `n`

    @property
    def coreset(self) -> Coreset:
        """The coreset to export; refused if there is none."""
        if self.chosen is None:
            what = self.run or "a score table"
            raise ArgumentError(f"{what} holds no coreset; choose one with `unseen select`, and name its file")
        return self.chosen

    @cached_property
    def source(self) -> Format:
        """The data set as it is stored; refused if it is not known, or is not the one that was scored."""
        named, options = self.named, dict[str, Any]()
        if named is not None:
            if self.run is not None and isinstance(named, (str, Path)):
                with suppress(RunError):  # a run that does not say how it read its data
                    _, options = data_of_run(self.run)
        elif self.run is None:
            raise ArgumentError(
                "a coreset alone does not say which data set it is of: name the run whose scores chose it, as in "
                "`unseen export RUN --coreset FILE` (in Python, data= and how it is read)"
            )
        else:
            named, options = data_of_run(self.run)
            if Path(named).is_absolute() and not os.path.lexists(named):
                raise DataError(
                    f"{self.run} read {named}, which is not there any more; name where it is now (--data, or data=)"
                )
        with ignore_reading_warnings() if self.named is None else nullcontext():
            source = find_format(named, **(options if self.options is None else self.options))
            self._check(source)
        return source

    @cached_property
    def rows(self) -> IntArray:
        """The rows of the coreset in the source, int64 (m,), ascending; refused if the data set lacks one."""
        rows = self.source.labelling.rows_of(self.coreset.ids)
        if (lost := self.coreset.ids[rows < 0]).size:
            raise DataError(f"the data set lacks {len(lost):,} samples of the coreset: {some(lost.tolist())}")
        if (np.diff(rows) <= 0).any():
            raise ArgumentError("the ids of a coreset must be in the order of the data set, each once; sort its rows")
        return rows

    @property
    def labels(self) -> IntArray:
        """The labels of the coreset, int64 (m,)."""
        labels: IntArray = self.source.labelling.labels[self.rows]
        return labels

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows of the coreset with all columns, piece by piece, and report the progress."""
        done = 0
        for table in self.source.stored(self.rows):
            yield table
            done += len(table)
            self.report_done(done)

    def report_done(self, done: int) -> None:
        """Report the number of samples exported so far."""
        if self.report is not None:
            self.report("exported", done=done, n=len(self.coreset))

    def _check(self, source: Format) -> None:
        """Refuse a data set other than the one that was scored, as far as its fingerprint is known."""
        scored = None if self.table is None else self.table.provenance.get("fingerprint")
        if scored is None and self.chosen is not None:
            scored = (self.chosen.provenance.get("scores") or {}).get("fingerprint")
        known: dict[str, Any] = dict(scored or {})
        files = source.files
        # Files whose names, sizes and times are unchanged are not read again.
        if files is not None and files.digest == known.get("stamps"):
            return
        if not known:
            if len(source.data) != self.coreset.n:
                raise RunMismatchError(
                    f"the coreset is of {self.coreset.n:,} samples, but the data set has {len(source.data):,}; pass "
                    "the one it was chosen from"
                )
            return
        now = source.data.fingerprint(full="content" in known)
        ignored = {"groups"}  # depends on the options of the run, not on the data
        if self.named is not None:
            ignored.add("stamps")  # copies of files have other times
            if "embedding" in known and "embedding" not in now:  # what was embedded: other inputs of the same samples
                ignored |= {*known, *now} - _SAMPLES
        differing = differences(*({k: v for k, v in about.items() if k not in ignored} for about in (known, now)))
        if differing:
            head = "the data set is not the one that was scored; pass that one as data= (--data):"
            if all(line.startswith("stamps") for line in differing):
                head = "names, sizes or times of files are not those that were scored; if it is a copy, say so by data="
            raise RunMismatchError("\n  ".join([head, *differing]))


_SAMPLES = {"n", "ids", "classes", "labels", "targets"}  # of a fingerprint: all but the inputs


def make_request(
    source: Any, data: Any, options: Mapping[str, Any] | None, coreset: Any, report: Report | None
) -> ExportRequest:
    """Make the request to export a run, the result of a verb, a coreset or its file; arguments as of `export`."""
    run = None
    if isinstance(source, (str, Path)):
        run = Path(source) if Path(source).is_dir() else None
        from unseen.pruning import load  # imports every verb, which takes seconds

        source = runs.load_file(Path(source)) if run is None else load(run)
    if isinstance(source, Coreset):
        chosen, table = source, None
    elif isinstance(source, ScoreTable):
        chosen, table = None, source
    elif isinstance(getattr(source, "scores", None), ScoreTable):
        chosen, table = source.coreset, source.scores
    else:
        raise ArgumentError(
            f"an object of {type(source).__name__} holds no coreset to export; name a run of prune or grow, or the "
            "file of a coreset"
        )
    request = ExportRequest(chosen, table, run, data, options, report)
    if coreset is None:
        return request
    other = runs.load_file(Path(coreset)) if isinstance(coreset, (str, Path)) else coreset
    if not isinstance(other, Coreset):
        raise ArgumentError(f"coreset must be a Coreset, or the file of one, got {type(other).__name__}")
    if table is not None:
        remedy = "name the run whose scores chose it"
        if other.n != len(table) or not np.array_equal(table.ids[other.indices].tolist(), other.ids.tolist()):
            raise RunMismatchError(f"the coreset is of other samples than the run; {remedy}")
        mine = table.provenance.get("fingerprint")
        scored = (other.provenance.get("scores") or {}).get("fingerprint")
        if mine and scored and differ_in_labels(mine, scored):
            raise RunMismatchError(f"the coreset is of other data than the run: the labels differ; {remedy}")
    return replace(request, chosen=other)


# ---- files -----------------------------------------------------------------------------------------------------------


def refuse_existing(out: Path) -> None:
    """Refuse a place where something exists already, even a broken link."""
    if os.path.lexists(out):
        raise ArgumentError(f"out {out} exists already, and exports overwrite nothing; choose another name")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Open a folder to write in. It gets the name `out` when the block succeeds, and is removed when it fails.

    Raises:
        RunLockedError: another process exports to this place.
        StorageError: the folder cannot be written.
    """
    with NewFolder(out) as part:
        try:
            yield part
            refuse_existing(out)
        except OSError as error:
            if isinstance(error, UnseenError):
                raise
            raise storage_error(out, error) from error


_MOST = 180  # bytes; file systems allow 255, and a suffix is added
_UNSAFE = re.compile(r'[%/\\:*?"<>|\x00-\x1f\x7f\ud800-\udfff]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # by Windows, with any suffix


def safe_name(text: str) -> str:
    """Make a plain file name of a text in any script, valid on any system; different texts get different names.

    Characters that a name must not have are written as `%` and their code: separators, control characters, a dot or an
    underscore in front (`..`, hidden files, which readers leave out), dots and spaces at the end. A text that is too
    long is cut and ends in its digest.

    >>> [safe_name(text) for text in ("cat", "a/b", "..", "_x", "", "nul", "100 %", "кот")]
    ['cat', 'a%2Fb', '%2E%2E', '%5Fx', '%', '%6Eul', '100 %25', 'кот']
    """
    name = _UNSAFE.sub(_escape, text)
    name = re.sub(r"^[.\s~_-]|[.\s]+$", _escape, name) or "%"
    if _RESERVED.fullmatch(name):
        name = re.sub("^.", _escape, name)
    if len(name.encode()) > _MOST:
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        name = name.encode()[: _MOST - len(digest) - 1].decode("utf-8", "ignore") + "~" + digest
    return name


def _escape(match: re.Match[str]) -> str:
    return "".join(f"%{ord(sign):02X}" for sign in match[0])


_STARTS = {
    b"\xff\xd8\xff": "jpg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"GIF8": "gif",
    b"BM": "bmp",
    b"II*\x00": "tif",
    b"MM\x00*": "tif",
    b"P4": "pbm",
    b"P5": "pgm",
    b"P6": "ppm",
}


def suffix(content: bytes, path: str | None) -> str:
    r"""Return the suffix of a file by its first bytes, else by its path; `"bin"` where neither is known.

    >>> suffix(b"\x89PNG\r\n\x1a\n...", "a.jpg"), suffix(b"?", "sound.flac"), suffix(b"?", None)
    ('png', 'flac', 'bin')
    """
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    for start, name in _STARTS.items():
        if content.startswith(start):
            return name
    end = PurePath(path or "").suffix.lower().removeprefix(".")
    return end if end.isalnum() else "bin"
