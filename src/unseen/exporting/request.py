"""The request of an export: a coreset, its scores where they are known, and the data set of both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa

from unseen.core.arrays import IntArray
from unseen.core.coreset import Coreset
from unseen.core.table import ScoreTable
from unseen.data.formats import Format
from unseen.data.sources import find_format
from unseen.engine import runs
from unseen.engine.runs.commands import read_by
from unseen.engine.runs.manifest import differences
from unseen.errors import ArgumentError, DataError, RunError, RunMismatchError, some

Report: TypeAlias = Callable[..., None]
T = TypeVar("T")

_REPORTED = 500  # samples between reports


@dataclass(frozen=True, eq=False)
class ExportRequest:
    """A coreset to export. The data set is opened when it is first needed, and must be the one that was scored.

    Args:
        chosen: the coreset, or None.
        table: the scores, or None.
        run: the directory of the run, or None.
        named: the data set, as `unseen.data.resolve` takes it; None for the one that the run read.
        options: options of its reader; None for those by which the run read it.
        report: called with (kind, **fields) as work goes on: `"exported"`, with `done` samples of `n`.
    """

    chosen: Coreset | None
    table: ScoreTable | None
    run: Path | None
    named: Any = None
    options: Mapping[str, Any] | None = None
    report: Report | None = None

    @property
    def coreset(self) -> Coreset:
        """The coreset to export.

        Raises:
            ArgumentError: there is no coreset.
        """
        if self.chosen is None:
            raise ArgumentError(f"{self.run} holds no coreset; choose one with `unseen select`, and name its file")
        return self.chosen

    @cached_property
    def source(self) -> Format:
        """The data set as it is stored, checked against the one that was scored.

        Raises:
            ArgumentError: the data set is not known.
            RunMismatchError: it is not the one that was scored; the message lists what differs.
        """
        named, options = self._find_data()
        source = find_format(named, **options)
        self._check(source)
        return source

    @cached_property
    def rows(self) -> IntArray:
        """The rows of the coreset in the source, int64 (m,), ascending.

        Raises:
            ArgumentError: the coreset is not in the order of the data set, or holds a sample twice.
            DataError: the data set lacks samples of the coreset.
        """
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
            self._report(done)

    def report_each(self, samples: Iterable[T]) -> Iterator[T]:
        """Yield one item for each sample of the coreset, and report the progress."""
        for done, sample in enumerate(samples, 1):
            yield sample
            if done % _REPORTED == 0 or done == len(self.coreset):
                self._report(done)

    def _report(self, done: int) -> None:
        if self.report is not None:
            self.report("exported", done=done, n=len(self.coreset))

    def _find_data(self) -> tuple[Any, Mapping[str, Any]]:
        """Return the data set and the options of its reader: as given, else as the run read it."""
        if self.named is None and self.run is None:
            raise ArgumentError("a coreset alone does not say which data set it is of; pass data=")
        if self.named is not None and not isinstance(self.named, (str, Path)):
            return self.named, self.options or {}
        try:
            named, options = read_by(self.run) if self.run is not None else (None, {})
        except RunError:
            if self.named is None:
                raise
            named, options = None, {}
        return (named if self.named is None else self.named), (options if self.options is None else self.options)

    def _check(self, source: Format) -> None:
        """Refuse a data set other than the one that was scored."""
        known = self._fingerprint()
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
        differing = differences(*({k: v for k, v in about.items() if k not in ignored} for about in (known, now)))
        if differing:
            head = "the data set is not the one that was scored; pass the one it was, as data= (--data):"
            if all(line.startswith("stamps") for line in differing):
                head = "names, sizes or times of files are not those that were scored; if it is a copy, say so by data="
            raise RunMismatchError("\n  ".join([head, *differing]))

    def _fingerprint(self) -> dict[str, Any]:
        """Return the fingerprint of the data set that was scored; empty where it is not known."""
        if self.table is not None and "fingerprint" in self.table.provenance:
            return dict(self.table.provenance["fingerprint"])
        about = {} if self.chosen is None else self.chosen.provenance.get("scores") or {}
        return dict(about.get("fingerprint", {}))


def make_request(
    source: Any,
    data: Any = None,
    options: Mapping[str, Any] | None = None,
    coreset: Any = None,
    report: Report | None = None,
) -> ExportRequest:
    """Make the request to export a run, the result of a verb, a coreset, or a coreset file.

    Args:
        source: a directory, a `Pruned`, `Scored` or `Grown`, a `Coreset`, or a coreset file.
        data: the data set, if not the one that the run read.
        options: options of its reader.
        coreset: another coreset of the same data set, as `unseen select` writes it, instead of the coreset of the run.
        report: see `ExportRequest`.
    """
    run = None
    if isinstance(source, (str, Path)):
        run = Path(source) if Path(source).is_dir() else None
        from unseen.pruning import load  # imports every verb, which takes seconds

        source = runs.load_file(Path(source)) if run is None else load(run)
    request = ExportRequest(*_coreset_and_scores(source), run, data, options, report)
    if coreset is None:
        return request
    other = runs.load_file(Path(coreset)) if isinstance(coreset, (str, Path)) else coreset
    if not isinstance(other, Coreset):
        raise ArgumentError(f"coreset must be a Coreset, or the file of one, got {type(other).__name__}")
    table = request.table
    if table is not None and (
        other.n != len(table) or not np.array_equal(table.ids[other.indices].tolist(), other.ids.tolist())
    ):
        raise RunMismatchError("the coreset is of other samples than the run; name the run whose scores chose it")
    return replace(request, chosen=other)


def _coreset_and_scores(source: Any) -> tuple[Coreset | None, ScoreTable | None]:
    if isinstance(source, Coreset):
        return source, None
    scores = getattr(source, "scores", None)
    if isinstance(scores, ScoreTable):
        return source.coreset, scores
    if isinstance(source, ScoreTable):
        return None, source
    raise ArgumentError(
        f"there is no coreset to export in a {type(source).__name__}; name a run of prune or grow, or the file of a "
        "coreset"
    )
