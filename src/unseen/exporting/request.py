"""What is asked to be exported: a coreset, its scores where they are known, and the data set that both are of."""

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
from unseen.engine import runs
from unseen.engine.runs.commands import read_by
from unseen.engine.runs.manifest import differences
from unseen.errors import ArgumentError, RunError, RunMismatchError
from unseen.exporting.sources import Source, rows_of, source_of

__all__ = ["Asked", "Report", "asked"]

Report: TypeAlias = Callable[..., None]
T = TypeVar("T")

_TOLD = 500  # samples between reports


@dataclass(frozen=True, eq=False)
class Asked:
    """A coreset to export; the data set is opened when it is first asked for, and must be the one that was scored.

    Args:
        chosen: the coreset, or None.
        table: the scores, or None.
        run: the directory of the run, or None.
        named: the data set, as `unseen.data.resolve` takes it; None: the one that the run read.
        options: of its reader; None: those by which the run read it.
        report: called with (kind, **fields) as work goes on: `"exported"`, with how many samples of how many.

    """

    chosen: Coreset | None
    table: ScoreTable | None
    run: Path | None
    named: Any = None
    options: Mapping[str, Any] | None = None
    report: Report | None = None

    @property
    def coreset(self) -> Coreset:
        """What is exported.

        Raises:
            ArgumentError: there is none.

        """
        if self.chosen is None:
            raise ArgumentError(f"{self.run} holds no coreset; choose one with `unseen select`, and name its file")
        return self.chosen

    @cached_property
    def source(self) -> Source:
        """The data set where it lies, checked.

        Raises:
            ArgumentError: it is not known which one.
            RunMismatchError: it is not the one that was scored; the message lists what differs.

        """
        named, options = self._named()
        source = source_of(named, options)
        self._check(source)
        return source

    @cached_property
    def rows(self) -> IntArray:
        """int64 (m,) rows of the coreset in the source, ascending.

        Raises:
            ArgumentError: the coreset is not in the order of the data set, or holds a sample twice.

        """
        rows = rows_of(self.coreset.ids, self.source)
        if (np.diff(rows) <= 0).any():
            raise ArgumentError("the ids of a coreset must be in the order of the data set, each once; sort its rows")
        return rows

    @property
    def labels(self) -> IntArray:
        """int64 (m,) labels of the coreset."""
        labels: IntArray = self.source.labelling.labels[self.rows]
        return labels

    def tables(self) -> Iterator[pa.Table]:
        """The rows of the coreset with all columns, piece by piece; told as they are taken."""
        done = 0
        for table in self.source.tables(self.rows):
            yield table
            done += len(table)
            self._tell(done)

    def counted(self, samples: Iterable[T]) -> Iterator[T]:
        """One thing for each sample of the coreset; told as they are taken."""
        for done, sample in enumerate(samples, 1):
            yield sample
            if done % _TOLD == 0 or done == len(self.coreset):
                self._tell(done)

    def _tell(self, done: int) -> None:
        if self.report is not None:
            self.report("exported", done=done, n=len(self.coreset))

    def _named(self) -> tuple[Any, Mapping[str, Any]]:
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

    def _check(self, source: Source) -> None:
        known = self._fingerprint()
        files = source.files
        # Files with the names, sizes and times that they had are not read again to see that they are the same.
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
        ignored = {"groups"}  # of a run, that says what was held together
        if self.named is not None:
            ignored.add("stamps")  # copies of files have other times
        differing = differences(*({k: v for k, v in about.items() if k not in ignored} for about in (known, now)))
        if differing:
            head = "the data set is not the one that was scored; pass the one it was, as data= (--data):"
            if all(line.startswith("stamps") for line in differing):
                head = "names, sizes or times of files are not those that were scored; if it is a copy, say so by data="
            raise RunMismatchError("\n  ".join([head, *differing]))

    def _fingerprint(self) -> dict[str, Any]:
        """Of the data set that was scored; empty where it is not known."""
        if self.table is not None and "fingerprint" in self.table.provenance:
            return dict(self.table.provenance["fingerprint"])
        about = {} if self.chosen is None else self.chosen.provenance.get("scores") or {}
        return dict(about.get("fingerprint", {}))


def asked(
    source: Any,
    data: Any = None,
    options: Mapping[str, Any] | None = None,
    coreset: Any = None,
    report: Report | None = None,
) -> Asked:
    """What `source` asks to export: a run, what a verb gave, a coreset, or the file of one.

    Args:
        source: a directory, a `Pruned`, `Scored` or `Grown`, a `Coreset`, or the file of one.
        data: the data set, if not the one that the run read.
        options: of its reader.
        coreset: another one of the same data set, as `unseen select` writes it, in place of that of the run.
        report: see `Asked`.

    """
    run = None
    if isinstance(source, (str, Path)):
        run = Path(source) if Path(source).is_dir() else None
        source = runs.load_file(Path(source)) if run is None else _loaded(run)
    found = Asked(*_chosen_and_scores(source), run, data, options, report)
    if coreset is None:
        return found
    other = runs.load_file(Path(coreset)) if isinstance(coreset, (str, Path)) else coreset
    if not isinstance(other, Coreset):
        raise ArgumentError(f"coreset must be one, or the file of one, got {type(other).__name__}")
    if found.table is not None:
        _check_same_samples(other, found.table)
    return replace(found, chosen=other)


def _loaded(run: Path) -> Any:
    from unseen.pruning import load  # which knows every verb, and takes seconds to import

    return load(run)


def _chosen_and_scores(source: Any) -> tuple[Coreset | None, ScoreTable | None]:
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


def _check_same_samples(coreset: Coreset, table: ScoreTable) -> None:
    if coreset.n != len(table) or not np.array_equal(table.ids[coreset.indices].tolist(), coreset.ids.tolist()):
        raise RunMismatchError("the coreset is of other samples than the run; name the run whose scores chose it")
