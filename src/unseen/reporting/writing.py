"""The verb `report`: what a run found, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unseen.atomic import replace_file
from unseen.errors import ArgumentError
from unseen.reporting.facts import gather
from unseen.reporting.page import rendered
from unseen.reporting.viewing import view_of

__all__ = ["FILE", "report"]

FILE = "report.html"  # in the directory of a run
_MOST_IMAGES = 200  # a gallery: a file is to be opened by a browser, and looked at by a person


def report(
    run: str | Path,
    *,
    data: Any = None,
    beside: Sequence[str | Path] = (),
    out: str | Path | None = None,
    images: int = 20,
) -> Path:
    """Write what a run found as one HTML file that needs nothing beside it, neither network nor other files.

    What was done, the verdict, how the score spreads, classes before and after, samples worth a look, and how to use
    the coreset. Nothing is trained. The bytes depend on the run and its data alone.

    Args:
        run: the directory of a run: of `score`, `prune`, `grow`, `evaluate`, `sweep` or `advise`.
        data: the data set whose samples are shown, in any form that `unseen.data.resolve` takes, or another view of it
            with the same ids and labels (the images that vectors were made of). If not given, where the command that
            began the run read it. Where it is gone or not what was scored, the report says so and shows no samples.
        beside: further runs on the same samples, which add what they hold: an evaluation its verdict, a sweep its
            curve, scores by another plan (`unseen.seen()`) their distribution.
        out: the file; `report.html` in the directory of the run if not given. Replaced if it exists.
        images: samples shown in a gallery, 0 for none; pictures are small, and 6 MB in all at most.

    Returns:
        The path of the file.

    Raises:
        RunError: there is no run, it is of a newer format, or holds no result yet.
        ArgumentError: `images` out of range, or a run beside it that is of other samples.
        StorageError: the file cannot be written.

    Example:
        >>> import tempfile, unseen
        >>> folder = tempfile.mkdtemp()
        >>> _ = unseen.prune("digits", keep=0.5, rule="top", learner="logistic", out=folder)
        >>> unseen.report(folder).name
        'report.html'
    """
    if isinstance(images, bool) or not isinstance(images, int) or not 0 <= images <= _MOST_IMAGES:
        raise ArgumentError(f"images must be an integer from 0 to {_MOST_IMAGES}, got {images!r}")
    facts = gather(Path(run), [Path(place) for place in beside])
    views = view_of(facts, data) if images else "none were asked for"
    page = rendered(facts, views, images=images).encode("utf-8", "replace")
    path = Path(run) / FILE if out is None else Path(out)
    replace_file(path, lambda file: file.write(page))
    return path
