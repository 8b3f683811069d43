"""Samples as the page shows them: small pictures within a budget of bytes, short texts, a few entries of a row."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unseen.data.looking import Look, Seen, look
from unseen.errors import UnseenError
from unseen.reporting.facts import Facts
from unseen.runs.commands import read_by
from unseen.types import IdArray, IntArray

__all__ = ["MOST_BYTES", "View", "Views", "view_of"]

MOST_BYTES = 6 << 20  # of all pictures, before they become text
_SIDE = 144  # pixels of the longer side: twice what the page shows
_TINY = 64  # up to this side pictures stay as they are, without loss
_TEXT, _ENTRIES, _ENTRY = 280, 8, 40
_MOST_NUMBERS = 64  # of a vector whose first ones are shown


@dataclass(frozen=True)
class View:
    """One sample, as it is shown; all None where there is nothing to see.

    Args:
        picture: a data address.
        tiny: whether its pixels are to be seen as squares.
        text: the beginning of a text.
        entries: the first named entries of a row.

    """

    picture: str | None = None
    tiny: bool = False
    text: str | None = None
    entries: tuple[tuple[str, str], ...] = ()


class Views:
    """Samples of a data set by row of the score table.

    Args:
        samples: the data set.
        places: int64 (n,) row in it of each row of the table.

    """

    def __init__(self, samples: Look, places: IntArray) -> None:
        self._samples, self._places = samples, places
        self.bytes = 0  # of the pictures so far
        self.dropped = 0  # samples without a picture for want of bytes

    @property
    def kind(self) -> str:
        """`"image"`, `"text"`, `"table"` or `"vector"`."""
        return self._samples.kind

    def of(self, rows: Sequence[int]) -> dict[int, View]:
        """These rows, in the order in which pictures are given up when the budget is spent."""
        unique = list(dict.fromkeys(rows))
        shown = self._samples.show(self._places[np.array(unique, np.int64)]) if unique else []
        return {row: self._view(seen) for row, seen in zip(unique, shown, strict=True)}

    def _view(self, seen: Seen) -> View:
        if isinstance(seen, str):
            return View(text=_short(seen, _TEXT))
        if isinstance(seen, dict):
            entries = [(str(name), _short(_entry(value), _ENTRY)) for name, value in seen.items()]
            return View(entries=tuple(entries[:_ENTRIES]))
        return View() if seen is None else self._picture(seen)

    def _picture(self, image: Image.Image) -> View:
        tiny = max(image.size) <= _TINY
        content = _encoded(image, tiny=tiny)
        if self.bytes + len(content) > MOST_BYTES:
            self.dropped += 1
            return View()
        self.bytes += len(content)
        kind = "png" if tiny else "jpeg"
        return View(picture=f"data:image/{kind};base64,{base64.b64encode(content).decode()}", tiny=tiny)


def view_of(facts: Facts, data: Any = None) -> Views | str:
    """The samples of a run, or in words why they cannot be shown.

    Args:
        facts: of the run.
        data: the data set, or another view of it with the same ids and labels (the images that vectors were made of);
            where the run read it if not given.

    """
    if facts.table is None:
        return "the run holds no scores"
    try:
        if data is None:
            if _wide(facts):
                return "they are vectors, which say nothing to the eye; name the images or texts that they were made of"
            source, options = read_by(facts.scoring)
            samples = look(source, **options)
        else:
            samples = look(data, **_options(facts, data))
    except UnseenError as error:
        return str(error).split("; a data set is one of:")[0]
    except OSError as error:
        return f"the data set cannot be read: {error.strerror or error}"
    places = _places(facts.table.ids, samples.ids)
    if places is None or not np.array_equal(samples.labels[places], facts.table.labels):
        return "the data set is not what was scored: its ids or labels differ"
    if samples.kind == facts.fingerprint.get("kind") and (differing := _differing(facts.fingerprint, samples)):
        return f"the data set is not what was scored: {', '.join(differing)} changed since"
    return Views(samples, places)


def _wide(facts: Facts) -> bool:
    """Whether the samples are vectors of more numbers than anybody reads."""
    shape = facts.fingerprint.get("sample_shape") or [0]
    return facts.fingerprint.get("kind") == "vector" and int(shape[0]) > _MOST_NUMBERS


def _options(facts: Facts, data: Any) -> dict[str, Any]:
    """The options of the run, for the same data in another place; none for data that is open."""
    if not isinstance(data, (str, Path)):
        return {}
    try:
        source, options = read_by(facts.scoring)
    except UnseenError:
        return {}
    return options if Path(source).suffix == Path(data).suffix else {}


def _places(wanted: IdArray, found: IdArray) -> IntArray | None:
    """Where each wanted id is, or None where one is not there."""
    if len(wanted) == len(found) and np.array_equal(wanted, found):
        return np.arange(len(wanted))
    order = np.argsort(found, kind="stable")
    if (wanted.dtype.kind in "iu") != (found.dtype.kind in "iu"):
        return None
    at = np.searchsorted(found, wanted, sorter=order)
    if (at == len(found)).any():
        return None
    places: IntArray = order[at]
    return places if np.array_equal(found[places], wanted) else None


def _differing(scored: dict[str, Any], samples: Look) -> list[str]:
    # Times of files are left out: a copy of the same files is the same data here.
    names = {"sample": "content", "files": "the number of files", "bytes": "the size of the files"}
    return [told for name, told in names.items() if scored.get(name) != samples.known.get(name, scored.get(name))]


def _encoded(image: Image.Image, *, tiny: bool) -> bytes:
    if not tiny:
        image = image.copy()
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    if tiny:
        image.save(written, "PNG", optimize=True)
    else:
        image.save(written, "JPEG", quality=80)
    return written.getvalue()


def _entry(value: Any) -> str:
    if value is None:
        return "missing"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _short(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 3]}..."
