"""The samples of a report: which ones are worth a look, and how the page shows them.

Rows are chosen from scores, coreset and history without reading the data set. Then only the chosen samples are read:
they become small pictures within a budget of bytes, short texts, or a few entries of a row.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unseen.core.arrays import IntArray
from unseen.core.coreset import Coreset, History
from unseen.core.table import Direction, ScoreTable
from unseen.core.words import percent
from unseen.data.formats import Format, Shown
from unseen.data.sources import find_format
from unseen.engine.runs.commands import data_of_run, ignore_reading_warnings
from unseen.errors import UnseenError
from unseen.reporting.facts import Cut, Facts, order_rows, scored
from unseen.scores.label_quality import LABEL_ISSUE

_CLASSES = 16  # largest classes of which the hardest are shown
_STEPS = 6  # of a history that are shown

# ---- which samples are shown -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gallery:
    """Some samples and why they are shown."""

    key: str  # its name in the page
    title: str  # its heading
    text: str  # what they are
    rows: list[int]  # rows of the score table, in the order in which they are shown


def choose_galleries(facts: Facts, cut: Cut | None, most: int) -> list[Gallery]:
    """Choose up to `most` samples of each kind, and leave out the kinds that have none."""
    if facts.table is None or facts.score is None or most == 0:
        return []
    from_low = order_rows(scored(facts.table, facts.score))
    order = from_low if facts.table.direction(facts.score) == "easier" else from_low[::-1]  # the hardest first
    found = [
        *_ends(facts.table.direction(facts.score), order, most),
        *_label_errors(facts.table, most),
        *([] if cut is None else [_at_cut(facts.score, cut, from_low, most)]),
        *([] if facts.coreset is None else _cross_sections(facts.coreset, order, most)),
        *_by_class(facts.table, order, most),
        *([] if facts.history is None else _steps(facts.history, most)),
    ]
    return [gallery for gallery in found if gallery.rows]


def _ends(direction: Direction, order: IntArray, most: int) -> Iterator[Gallery]:
    if direction == "worth":
        first, last = ("Worth most", "what the score values most"), ("Worth least", "what the score values least")
    else:
        first = "Hardest", "rare or unusual samples, and wrong labels: look before you keep them all"
        last = "Easiest", "samples that held-out models are surest of: often redundant"
    yield Gallery("hardest", *first, order[:most].tolist())
    yield Gallery("easiest", *last, order[::-1][:most].tolist())


def _label_errors(table: ScoreTable, most: int) -> Iterator[Gallery]:
    if LABEL_ISSUE not in table.values:
        return
    flagged = scored(table, LABEL_ISSUE)
    confidence = np.zeros(len(table)) if table.mean_confidence is None else table.mean_confidence
    suspects = np.flatnonzero(flagged > 0)
    ranked = suspects[np.lexsort((confidence[suspects], -flagged[suspects]))]
    share = f"{len(suspects):,} of {len(table):,} samples"
    text = (
        f"{share} whose label held-out models contradict with confidence: wrong labels, hard samples, or a "
        "weak model; the surest first"
    )
    yield Gallery("label-errors", "Contradicted labels", text, ranked[:most].tolist())


def _at_cut(score: str, cut: Cut, order: IntArray, most: int) -> Gallery:
    text = (
        f"on both sides of {score} {cut.value:.3g}, where choosing changes most: of those just below "
        f"{percent(cut.below, 0)} were kept, of those just above {percent(cut.above, 0)}"
    )
    around = order[max(0, cut.at - most // 2) : cut.at + most // 2]
    return Gallery("threshold", "Near the threshold", text, around.tolist())


def _cross_sections(coreset: Coreset, order: IntArray, most: int) -> Iterator[Gallery]:
    inside = coreset.mask[order]
    for key, title, rows in (("kept", "Kept", order[inside]), ("pruned", "Pruned", order[~inside])):
        at = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64))
        text = "a cross-section, evenly spaced from the hard end of the score to the easy one"
        yield Gallery(key, title, text, rows[at].tolist())


def _by_class(table: ScoreTable, order: IntArray, most: int) -> Iterator[Gallery]:
    sizes = np.bincount(table.labels, minlength=len(table.class_names))
    largest = np.argsort(-sizes, kind="stable")[:_CLASSES]
    largest = largest[sizes[largest] > 0]
    if len(largest) < 2:
        return
    each = max(1, 2 * most // len(largest))
    labels = table.labels[order]
    rows = [row for c in largest for row in order[np.flatnonzero(labels == c)[:each]].tolist()]
    of = f"the {len(largest)} largest classes" if len(largest) < (sizes > 0).sum() else "each class"
    yield Gallery("classes", "Hardest of each class", f"of {of}, side by side", rows)


def _steps(history: History, most: int) -> Iterator[Gallery]:
    for step in range(1, min(len(history), _STEPS + 1)):
        came = np.flatnonzero(history.steps == step)  # in the order of their entry
        order = "drawn at random" if np.isnan(history.scores[came]).all() else "those worth most first"
        yield Gallery(
            f"step{step}-entered", f"Entered at step {step}", f"{len(came):,} in all; {order}",
            history.rows[came[:most]].tolist(),
        )  # fmt: skip


# ---- how they are shown ------------------------------------------------------------------------------------------

MOST_BYTES = 6 << 20  # of all pictures, before they become text
_SIDE = 144  # pixels of the longer side: twice what the page shows
_TINY = 64  # up to this side pictures stay as they are, without loss
_TEXT, _ENTRIES, _ENTRY = 280, 8, 40
_MOST_NUMBERS = 64  # of a vector whose first ones are shown


@dataclass(frozen=True)
class View:
    """One sample as the page shows it; nothing is set where there is nothing to see."""

    picture: str | None = None  # a data address
    tiny: bool = False  # whether its pixels are to be seen as squares
    text: str | None = None  # the beginning of a text
    entries: tuple[tuple[str, str], ...] = ()  # the first named entries of a row


class Views:
    """Samples of a data set by row of the score table; `places`, int64 (n,), are the rows of these in the data set."""

    def __init__(self, samples: Format, places: IntArray) -> None:
        self._samples, self._places = samples, places
        self.bytes = 0  # of the pictures so far
        self.dropped = 0  # samples without a picture for want of bytes

    def of(self, rows: Sequence[int]) -> dict[int, View]:
        """Read these rows. Once the budget of bytes is spent, the later rows have no picture."""
        unique = list(dict.fromkeys(rows))
        shown = self._samples.show(self._places[np.array(unique, np.int64)]) if unique else []
        return {row: self._view(seen) for row, seen in zip(unique, shown, strict=True)}

    def _view(self, seen: Shown) -> View:
        if isinstance(seen, str):
            return View(text=shorten(seen, _TEXT))
        if isinstance(seen, dict):
            entries = [(str(name), shorten(_entry(value), _ENTRY)) for name, value in seen.items()]
            return View(entries=tuple(entries[:_ENTRIES]))
        return View() if seen is None else self._picture(seen)

    def _picture(self, image: Image.Image) -> View:
        tiny, written = max(image.size) <= _TINY, io.BytesIO()
        if tiny:
            image.save(written, "PNG", optimize=True)
        else:
            image = image.copy()
            image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
            image.save(written, "JPEG", quality=80)
        content = written.getvalue()
        if self.bytes + len(content) > MOST_BYTES:
            self.dropped += 1
            return View()
        self.bytes += len(content)
        kind = "png" if tiny else "jpeg"
        return View(picture=f"data:image/{kind};base64,{base64.b64encode(content).decode()}", tiny=tiny)


def open_views(facts: Facts, data: Any = None) -> Views | str:
    """Open the samples of a run, or return the reason why they cannot be shown.

    `data` is the data set, or another view of it with the same ids and labels (the images that vectors were made of);
    if not given, it is read where the run read it.
    """
    if facts.table is None:
        return "the run holds no scores"
    before = facts.fingerprint
    try:
        if data is None:
            if before.get("kind") == "vector" and int((before.get("sample_shape") or [0])[0]) > _MOST_NUMBERS:
                return "they are vectors, which say nothing to the eye; name the images or texts that they were made of"
            source, options = data_of_run(facts.scoring)
        else:
            source, options = data, _reading_options(facts, data)
        with ignore_reading_warnings():
            samples = find_format(source, **options)
            labelled, known = samples.labelling, samples.known()
    except UnseenError as error:
        return str(error).split("; a data set is one of:")[0]
    except OSError as error:
        return f"the data set cannot be read: {error.strerror or error}"
    places = labelled.rows_of(facts.table.ids)
    if (places < 0).any() or not np.array_equal(labelled.labels[places], facts.table.labels):
        return "the data set is not what was scored: its ids or labels differ"
    # Times of files are left out: a copy of the same files is the same data here.
    names = {"sample": "content", "files": "the number of files", "bytes": "the size of the files"}
    differing = [part for name, part in names.items() if before.get(name) != known.get(name, before.get(name))]
    if samples.kind == before.get("kind") and differing:
        return f"the data set is not what was scored: {', '.join(differing)} changed since"
    return Views(samples, places)


def _reading_options(facts: Facts, data: Any) -> dict[str, Any]:
    """Return how the run read its data, if `data` is a file of the same format in another place; else nothing."""
    if not isinstance(data, (str, Path)):
        return {}
    try:
        source, options = data_of_run(facts.scoring)
    except UnseenError:
        return {}
    return options if Path(source).suffix == Path(data).suffix else {}


def _entry(value: Any) -> str:
    if value is None:
        return "missing"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def shorten(text: str, most: int) -> str:
    """Return a text on one line, cut off after `most` letters."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 3]}..."
