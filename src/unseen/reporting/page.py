"""The page of a run and the verb `report`, which writes it.

Facts become charts and tables, and a template puts them in order. The template escapes whatever it is given.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import unseen
from unseen.core.checks import is_integer
from unseen.core.files import replace_file
from unseen.core.table import meaning
from unseen.core.words import percent
from unseen.errors import ArgumentError
from unseen.reporting import words
from unseen.reporting.charts import draw_charts, scale_quantiles
from unseen.reporting.facts import Facts, find_cut, gather, scored, summarise_classes
from unseen.reporting.galleries import MOST_BYTES, Gallery, Views, choose_galleries, open_views, shorten

FILE = "report.html"  # in the directory of a run
MOST_CLASSES = 60  # in the table of classes, largest first
_LONG = 80  # letters of an id or a class name on a card
_MOST_IMAGES = 200  # in a gallery: a browser has to open the file, and a person to look at it

_TEMPLATES = Path(__file__).parent / "templates"


def render(facts: Facts, views: Views | str, *, images: int) -> str:
    """Render the whole page as HTML, with the samples of the run or the reason why they cannot be shown."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    script = (_TEMPLATES / "script.js").read_text()
    cut = None
    if facts.table is not None and facts.coreset is not None and facts.score is not None:
        cut = find_cut(scored(facts.table, facts.score), facts.coreset.mask)
    walls = [] if isinstance(views, str) else _make_walls(facts, views, choose_galleries(facts, cut, images))
    environment.filters.update(percent=percent)
    table = facts.table
    rows = [] if table is None else summarise_classes(table, facts.score, facts.coreset, MOST_CLASSES)
    class_names = () if table is None else table.class_names
    return environment.get_template("report.html.j2").render(
        facts=facts,
        title=words.write_title(facts),
        done=words.describe(facts),
        figures=words.figures(facts),
        verdicts=words.verdicts(facts),
        arms=[] if facts.evaluation is None else _drop_empty(facts.evaluation.rows()),
        worst=_name_worst_classes(facts),
        charts=draw_charts(facts, cut),
        classes=rows,
        exposure="" if table is None else table.exposure,
        strips=scale_quantiles([row.quantiles for row in rows]),
        classes_in_all=len(class_names),
        scores=_list_scores(facts),
        walls=walls,
        class_choices=_list_labels(walls, class_names),
        no_views=views if isinstance(views, str) else None,
        dropped=0 if isinstance(views, str) else views.dropped,
        most_bytes=MOST_BYTES >> 20,
        snippets=words.snippets(facts),
        details=_list_details(facts),
        version=unseen.__version__,
        style=Markup((_TEMPLATES / "style.css").read_text()),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _list_labels(walls: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> list[str]:
    """Return the labels of the samples shown, in the order of the classes."""
    shown = {card["label"] for wall in walls for card in wall["cards"]}
    return [label for label in dict.fromkeys(shorten(name, _LONG) for name in class_names) if label in shown]


def _name_worst_classes(facts: Facts) -> list[tuple[str, list[tuple[str, str]]]]:
    """Name the classes that lose most against full, for each coreset."""
    evaluation = facts.evaluation
    if evaluation is None:
        return []
    return [
        (name, [(c, f"{100 * change:+.1f}") for c, change in list(evaluation.by_class(name).items())[:5]])
        for name in evaluation.coresets
        if "full" in evaluation[name].beside
    ]


def _drop_empty(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Drop the columns that are empty in every row, and the learner, which the verdict names."""
    filled = [name for name in rows[0] if name != "trained" and any(row[name] for row in rows)]
    return [{name: row[name] for name in filled} for row in rows]


def _list_scores(facts: Facts) -> list[tuple[str, str, str, str, str]]:
    """List every score of the table: name, meaning of its direction, quantiles."""
    table = facts.table
    if table is None:
        return []
    found = []
    for name in table.scores:
        values = scored(table, name)
        if np.isnan(values).all():
            continue
        low, middle, high = (f"{q:.4g}" for q in np.nanpercentile(values, [5, 50, 95]))
        found.append((name, meaning(table.direction(name)), low, middle, high))
    return found


def _make_walls(facts: Facts, views: Views, chosen: list[Gallery]) -> list[dict[str, Any]]:
    """Return each gallery with its cards."""
    table = facts.table
    assert table is not None  # without one no samples are chosen
    shown = views.of([row for gallery in chosen for row in gallery.rows])
    mask = None if facts.coreset is None else facts.coreset.mask
    values = scored(table, facts.score or table.scores[0])

    def card(row: int) -> dict[str, Any]:
        guess = None if table.predictions is None else int(table.predictions[row])
        wrong = guess is not None and 0 <= guess != int(table.labels[row])
        return {
            "id": shorten(str(table.ids[row]), _LONG),
            "label": shorten(table.class_names[int(table.labels[row])], _LONG),
            "prediction": shorten(table.class_names[guess], _LONG) if wrong and guess is not None else None,
            "score": f"{values[row]:.2g}",
            "kept": None if mask is None else bool(mask[row]),
            "view": shown[row],
        }

    return [{"gallery": gallery, "cards": [card(row) for row in gallery.rows]} for gallery in chosen]


def _list_details(facts: Facts) -> list[tuple[str, str]]:
    """List what is needed to repeat the run."""
    lines = [
        ("run", str(facts.run)),
        ("data", str(facts.options.get("data", "as given from Python"))),
        ("samples", " of kind ".join(str(part) for part in (facts.samples, facts.fingerprint.get("kind")) if part)),
        ("exposure", "" if facts.table is None else facts.table.exposure),
        ("versions", ", ".join(f"{name} {v}" for name, v in sorted((facts.manifest.get("versions") or {}).items()))),
    ]
    return [(name, text) for name, text in lines if text]


def report(
    run: str | Path,
    *,
    data: Any = None,
    beside: Sequence[str | Path] = (),
    out: str | Path | None = None,
    images: int = 20,
) -> Path:
    """Write the results of a run as one HTML file, which needs neither network nor other files.

    The page has the verdict, what was done, how the score spreads, the classes before and after, samples worth a look,
    and how to use the coreset. Nothing is trained. The bytes depend on the run and its data alone.

    Args:
        run: the directory of a run: of `score`, `prune`, `grow`, `evaluate`, `sweep` or `advise`.
        data: the data set whose samples are shown, in any form that `unseen.data.resolve` takes, or another view of it
            with the same ids and labels (the images that vectors were made of). The default is the data set that the
            command of the run read. If it is gone or not what was scored, the report says so and shows no samples.
        beside: further runs on the same samples, which add what they hold: an evaluation its verdict, a sweep its
            curve, scores by another plan (`unseen.seen()`) their distribution.
        out: the file; `report.html` in the directory of the run if not given. An earlier report is replaced.
        images: samples shown in a gallery, 0 for none; pictures are small, and 6 MB in all at most.

    Returns:
        The path of the file.

    Raises:
        RunError: there is no run, it is of a newer format, or holds no result yet.
        ArgumentError: `images` out of range, a run beside it that is of other samples, or `out` is a file that is no
            report.
        StorageError: the file cannot be written.

    Example:
        >>> import tempfile, unseen
        >>> folder = tempfile.mkdtemp()
        >>> _ = unseen.prune("digits", keep=0.5, rule="top", learner="logistic", out=folder)
        >>> unseen.report(folder).name
        'report.html'
    """
    if not is_integer(images) or not 0 <= images <= _MOST_IMAGES:
        raise ArgumentError(f"images must be an integer from 0 to {_MOST_IMAGES}, got {images!r}")
    for place in (run, *beside):
        if not isinstance(place, (str, Path)):
            raise ArgumentError(
                f"run must be the directory of a run, as in out='runs/a', got an object of {type(place).__name__}; "
                "what was kept in memory alone has no page"
            )
    path = Path(run) / FILE if out is None else Path(out)
    if out is not None:
        _refuse_other_file(path)
    facts = gather(Path(run), [Path(place) for place in beside])
    views = open_views(facts, data) if images else "none were asked for"
    page = render(facts, views, images=images).encode("utf-8", "replace")
    replace_file(path, lambda file: file.write(page))
    return path


def _refuse_other_file(path: Path) -> None:
    """Refuse to replace a file that is not a report."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        if b'name="generator" content="unseen' not in file.read(2048):
            raise ArgumentError(f"{path} exists already and is not a report; choose another name")
