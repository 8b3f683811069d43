"""`unseen export`: a coreset in a form that other tools read."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text

import unseen
from unseen.cli import _options as o
from unseen.cli._console import aligned, err, print_json
from unseen.cli._subcommand import subcommand

KIND = "Kind"

_MOMENT = 5.0  # seconds

Run = Annotated[
    Path, typer.Argument(metavar="RUN", help="The directory of a run of prune or grow, or the file of a coreset.")
]
To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="KIND",
        help="folder, parquet, huggingface, webdataset, npy, cleanlab or fiftyone; see below.",
    ),
]
Out = Annotated[
    Path, typer.Option("--out", metavar="PLACE", help="The file or folder that is made; it must not exist.")
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="DATA",
        help="The data set, where it has moved or the run does not say; it must be the one that was scored.",
        rich_help_panel=o.DATA,
    ),
]
Coreset = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Another coreset of the same data set, from `unseen select`.",
        show_default="that of the run",
        rich_help_panel=o.DATA,
    ),
]
Link = Annotated[
    Literal["hard", "symlink", "copy"] | None,
    typer.Option(help="folder: what the files are.", show_default="hard links", rich_help_panel=KIND),
]
Column = Annotated[
    Literal["row", "id"] | None,
    typer.Option(help="npy: rows in dataset order, or ids.", show_default="row", rich_help_panel=KIND),
]
Keys = Annotated[
    bool, typer.Option("--keys", help="webdataset: write the ids as keys, and no shards.", rich_help_panel=KIND)
]
Shard = Annotated[
    list[str] | None,
    typer.Option(
        "--shard",
        metavar="TAR",
        help="webdataset: copy from this shard, whose keys are the ids; repeat for several.",
        rich_help_panel=KIND,
    ),
]
ShardBytes = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="webdataset: about how large shards become.",
        show_default="512 MiB",
        rich_help_panel=KIND,
    ),
]


@subcommand("to out data coreset link column keys shard shard_bytes quiet json")
def command(
    run: Run,
    to: To,
    out: Out,
    data: Data = None,
    coreset: Coreset = None,
    link: Link = None,
    column: Column = None,
    keys: Keys = False,
    shard: Shard = None,
    shard_bytes: ShardBytes = None,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Write a coreset where training happens: whole or not at all, over nothing that exists.

    Examples:
      unseen export runs/photos --to folder --out kept/photos
      unseen export runs/t --to parquet --out kept.parquet
      unseen export runs/photos --coreset half.parquet --to npy --out half.npy
    """
    from unseen.exporting.api import KINDS

    options = o.data_options(
        link=link, column=column, keys=keys or None, shards=shard or None, shard_bytes=shard_bytes
    )  # fmt: skip
    report = None if quiet or json else ExportProgress()
    place = unseen.export(run, to, out, data=data, coreset=coreset, report=report, **options)
    kind = KINDS.get(to)
    if json:
        print_json({"run": str(run), "to": to, "out": str(place)})
    else:
        aligned(describe(to, place, kind.summary, kind.use, keys=keys))


class ExportProgress:
    """How far it is, in lines, where it takes longer than a moment."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _MOMENT

    def __call__(self, kind: str, *, done: int, n: int) -> None:
        """Take one report."""
        now = time.monotonic()
        if now >= self._next:
            err.print(Text(f"{done:,} of {n:,} samples"))
            self._next = now + _MOMENT


def describe(to: str, place: Path, summary: str, use: str, *, keys: bool) -> list[tuple[str, str]]:
    """Describe what was made, where it is, and how to go on."""
    if keys:
        summary, use = "the keys of samples, one a line", "set(open({out!r}).read().splitlines())"
    return [("made", f"{to}: {summary}"), ("at", str(place)), ("use", use.format(out=str(place)))]
