"""`unseen report` and the page at the end of other subcommands, and `unseen export`: what leaves a run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from rich.text import Text

import unseen
from unseen.cli import _options as o
from unseen.cli._console import err, print_json, print_lines, without_font_cache
from unseen.errors import ArgumentError

KIND = "Kind"
_MOMENT = 5.0  # seconds


@o.subcommand("data beside out_file images json")
def report(
    run: Path = o.RUN,
    data: Path | None = o.option(
        "DATA",
        "The data set to show samples of, if it has moved; or the images that vectors were made of.",
        o.DATA,
        shown="what the run read",
    ),
    beside: list[Path] | None = o.option(
        "RUN", "A further run on the same samples: an evaluation, a sweep, scores by another plan; repeat for several."
    ),
    out_file: Path | None = o.option("FILE", "The file.", names="--out", shown="RUN/report.html"),
    images: int = o.option("N", "Samples shown in a gallery; 0 for none.", default=20),
    json: bool = o.JSON,
) -> None:
    """Write the results of a run as one HTML file, which needs neither network nor other files.

    Examples:
      unseen report runs/photos
      unseen report runs/photos --beside runs/photos-eval --beside runs/photos-seen --out photos.html
      unseen report runs/vectors --data photos/
    """
    with without_font_cache():
        path = unseen.report(
            run, data=None if data is None else str(data), beside=beside or (), out=out_file, images=images
        )
    if json:
        print_json({"report": str(path), "bytes": path.stat().st_size})
    else:
        print_lines([("report", str(path))])


@o.subcommand("to out data label coreset link column keys shard shard_bytes quiet json")
def export(
    *,
    run: Path = o.argument("RUN", "The directory of a run of prune or grow, or the file of a coreset."),
    to: str = o.option(
        "KIND",
        "folder, parquet, csv, huggingface, webdataset, npy, cleanlab or fiftyone; see below.",
        default=o.REQUIRED,
    ),
    out: Path = o.option("PLACE", "The file or folder to make; it must not exist.", default=o.REQUIRED),
    data: str | None = o.option(
        "DATA",
        "The data set, if it has moved or the run does not name it; or what the vectors of the run were made of.",
        o.DATA,
    ),
    reading: o.ReadingOptions,
    coreset: Path | None = o.option(
        "FILE", "Another coreset of the same data set, from `unseen select`.", o.DATA, shown="that of the run"
    ),
    link: Literal["hard", "symlink", "copy"] | None = o.option(
        None, "folder: how files are made.", KIND, shown="hard links"
    ),
    column: Literal["row", "id"] | None = o.option(None, "npy: rows in dataset order, or ids.", KIND, shown="row"),
    keys: bool = o.option(
        None, "webdataset: write the ids as keys, and no shards.", KIND, default=False, names="--keys"
    ),
    shard: list[str] | None = o.option(
        "TAR", "webdataset: copy from this shard, whose keys are the ids; repeat for several.", KIND
    ),
    shard_bytes: int | None = o.option("N", "webdataset: about how large shards become.", KIND, shown="512 MiB"),
    quiet: bool = o.QUIET,
    json: bool = o.JSON,
) -> None:
    """Write a coreset in a format that other tools read; nothing is overwritten.

    Examples:
      unseen export runs/photos --to folder --out kept/photos
      unseen export runs/t --to parquet --out kept.parquet
      unseen export runs/photos --coreset half.parquet --to npy --out half.npy
      unseen export runs/vectors --data photos/ --to folder --out kept/photos
    """
    from unseen.exporting.api import KINDS

    options = o.without_none(link=link, column=column, keys=keys or None, shards=shard or None, shard_bytes=shard_bytes)
    report = None if quiet or json else ExportProgress()
    by = reading.arguments() or None
    if by and data is None:
        raise ArgumentError("--label and other options of reading go with --data; give both, or neither")
    place = unseen.export(run, to, out, data=data, data_options=by, coreset=coreset, report=report, **options)
    kind = KINDS.get(to)
    if json:
        print_json({"run": str(run), "to": to, "out": str(place)})
    else:
        what, use = kind.summary, kind.reading(str(place))
        if keys:
            what, use = "the keys of samples, one a line", f"set(open({str(place)!r}).read().splitlines())"
        if column == "id":
            what, use = "the ids of samples, one array", f"set(numpy.load({str(place)!r}).tolist())"
        print_lines([("made", f"{to}: {what}"), ("at", str(place)), ("use", use)])


class ExportProgress:
    """Prints the progress in lines, where the export takes longer than a moment."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _MOMENT

    def __call__(self, kind: str, *, done: int, n: int) -> None:
        """Take one report."""
        now = time.monotonic()
        if now >= self._next:
            err.print(Text(f"{done:,} of {n:,} samples"))
            self._next = now + _MOMENT
