"""`unseen report`, and the report at the end of other subcommands."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

import unseen
from unseen.cli import _options as o
from unseen.cli._console import Interrupted, aligned, print_json, warn
from unseen.cli._subcommand import subcommand

Data = Annotated[
    Path | None,
    typer.Option(
        metavar="DATA",
        help="The data set whose samples are shown, where it moved, or the images that vectors were made of.",
        show_default="what the run read",
        rich_help_panel=o.DATA,
    ),
]
Beside = Annotated[
    list[Path] | None,
    typer.Option(
        "--beside",
        metavar="RUN",
        help="A further run on the same samples: an evaluation, a sweep, scores by another plan; repeat for several.",
    ),
]
File = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="The file.", show_default="RUN/report.html")]
Images = Annotated[int, typer.Option(metavar="N", help="Samples shown in a gallery; 0 for none.")]


@subcommand("data beside out_file images json")
def command(
    run: o.Run,
    data: Data = None,
    beside: Beside = None,
    out_file: File = None,
    images: Images = 20,
    json: o.Json = False,
) -> None:
    """Write what a run found as one HTML file, to look at and to send on; it needs neither network nor other files.

    Examples:
      unseen report runs/photos
      unseen report runs/photos --beside runs/photos-eval --beside runs/photos-seen --out photos.html
      unseen report runs/vectors --data photos/
    """
    with drawing():
        path = unseen.report(
            run, data=None if data is None else str(data), beside=beside or (), out=out_file, images=images
        )
    if json:
        print_json({"report": str(path), "bytes": path.stat().st_size})
    else:
        aligned([("report", str(path))])


@contextmanager
def drawing() -> Iterator[None]:
    """Have matplotlib loaded without a trace: it would write a list of fonts to HOME, and start `fc-list` for it.

    Only in this program. Elsewhere it is the user's own, with its settings.
    """
    if "matplotlib" not in sys.modules:
        before = {name: os.environ.get(name) for name in ("MPLCONFIGDIR", "PATH")}
        with suppress(ImportError, OSError), TemporaryDirectory(prefix="unseen-") as folder:
            try:
                os.environ.update(dict.fromkeys(before, folder))
                import matplotlib.font_manager  # noqa: F401
            finally:
                for name, value in before.items():
                    if value is None:
                        del os.environ[name]
                    else:
                        os.environ[name] = value
    yield


def written(run: Path, *, skip: bool) -> Path | None:
    """Write the report at the end of a subcommand; what goes wrong is a warning, since the run is finished by then."""
    if skip:
        return None
    try:
        with drawing():
            return unseen.report(run)
    except KeyboardInterrupt:
        raise Interrupted(f"the run is finished, and `unseen report {run}` writes its report") from None
    except Exception as error:
        told = f"the run is finished, but its report could not be written: {error}; `unseen report {run}` tries again"
        warn(told, UserWarning, __file__, 0)  # at once: not even a filter of warnings may make it an error
        return None
