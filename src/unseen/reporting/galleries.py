"""Which samples are worth a look: rows chosen from scores, coreset and history, nothing read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from unseen.growing.history import History
from unseen.reporting.facts import Facts
from unseen.reporting.numbers import Cut, order_of, scored
from unseen.scores.label_quality import LABEL_ISSUE
from unseen.types import IntArray, ScoreTable

__all__ = ["Gallery", "galleries"]

_CLASSES = 16  # largest classes of which the hardest are shown
_STEPS = 6  # of a history


@dataclass(frozen=True)
class Gallery:
    """Some samples and why they are shown.

    Args:
        key: its name in the page.
        title: its heading.
        text: what they are.
        rows: of the score table, in the order in which they are shown.

    """

    key: str
    title: str
    text: str
    rows: tuple[int, ...]


def galleries(facts: Facts, cut: Cut | None, most: int) -> list[Gallery]:
    """Up to `most` samples of each kind; kinds of which there is none are left out."""
    if facts.table is None or facts.score is None or most == 0:
        return []
    order = _hard_first(facts.table, facts.score)
    found = [
        *_ends(facts.table, facts.score, order, most),
        *_label_errors(facts.table, most),
        *_at_cut(facts, cut, most),
        *_cross_sections(facts, order, most),
        *_by_class(facts.table, order, most),
        *([] if facts.history is None else _steps(facts.history, most)),
    ]
    return [gallery for gallery in found if gallery.rows]


def _hard_first(table: ScoreTable, score: str) -> IntArray:
    order = order_of(scored(table, score))
    return order if table.direction(score) == "easier" else order[::-1]


def _ends(table: ScoreTable, score: str, order: IntArray, most: int) -> Iterator[Gallery]:
    if table.direction(score) == "worth":
        words = (("Worth most", "what the score values most"), ("Worth least", "what the score values least"))
    else:
        words = (
            ("Hardest", "rare or unusual samples, and wrong labels: look before you keep them all"),
            ("Easiest", "what models that never saw them are surest of: often redundant"),
        )
    yield Gallery("hardest", words[0][0], words[0][1], _rows(order[:most]))
    yield Gallery("easiest", words[1][0], words[1][1], _rows(order[::-1][:most]))


def _label_errors(table: ScoreTable, most: int) -> Iterator[Gallery]:
    if LABEL_ISSUE not in table.values:
        return
    flagged = scored(table, LABEL_ISSUE)
    confidence = np.zeros(len(table)) if table.mean_confidence is None else table.mean_confidence
    suspects = np.flatnonzero(flagged > 0)
    ranked = suspects[np.lexsort((confidence[suspects], -flagged[suspects]))]
    share = f"{len(suspects):,} of {len(table):,} samples"
    text = (
        f"{share} whose label models that never saw them contradict with confidence: wrong labels, hard samples, or a "
        "weak model; the surest first"
    )
    yield Gallery("label-errors", "Contradicted labels", text, _rows(ranked[:most]))


def _at_cut(facts: Facts, cut: Cut | None, most: int) -> Iterator[Gallery]:
    if cut is None or facts.table is None or facts.score is None:
        return
    order, half = order_of(scored(facts.table, facts.score)), most // 2
    text = (
        f"on both sides of {facts.score} {cut.value:.3g}, where choosing changes most: of those just below "
        f"{cut.below:.0%} were kept, of those just above {cut.above:.0%}"
    ).replace("%", " %")
    yield Gallery("threshold", "Near the threshold", text, _rows(order[max(0, cut.at - half) : cut.at + half]))


def _cross_sections(facts: Facts, order: IntArray, most: int) -> Iterator[Gallery]:
    if facts.coreset is None:
        return
    inside = facts.coreset.mask[order]
    for key, title, rows in (("kept", "Kept", order[inside]), ("pruned", "Pruned", order[~inside])):
        at = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64))
        text = "a cross-section, evenly spaced from the hard end of the score to the easy one"
        yield Gallery(key, title, text, _rows(rows[at]) if len(rows) else ())


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
    yield Gallery("classes", "Hardest of each class", f"of {of}, side by side", tuple(rows))


def _steps(history: History, most: int) -> Iterator[Gallery]:
    for step in range(1, min(len(history), _STEPS + 1)):
        came = np.flatnonzero(history.steps == step)  # in the order of their entry
        yield Gallery(
            f"step{step}-entered", f"Entered at step {step}", f"{len(came):,} in all; those worth most first",
            _rows(history.rows[came[:most]]),
        )  # fmt: skip


def _rows(rows: Sequence[int] | IntArray) -> tuple[int, ...]:
    return tuple(np.asarray(rows, np.int64).tolist())
