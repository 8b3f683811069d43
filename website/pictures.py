"""Pictures of scores and rules, computed by the library on scikit-learn's digits, once for all pages.

SVG in which whatever is black or white takes the colours of the page, so it is readable light and dark. The two hues
are those of Okabe and Ito, which the colour-blind tell apart; they differ in lightness, too.
"""

from __future__ import annotations

import io
import re
from functools import cache
from html import escape
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import unseen
from unseen.core.table import meaning
from unseen.rules import RULES
from unseen.rules.base import Rule
from unseen.scores import SCORES
from unseen.scores.streaming import Score

HELD_OUT, IN_SAMPLE, QUIET = "#0072b2", "#e69f00", "#808080"
EXAMPLES = 6  # digits a row
KEEP = 0.3  # of what rules choose from
POINTS = 600  # that rules choose from
OPTIONS: dict[str, dict[str, Any]] = {"window": {"offset": 0.2}, "stratified": {"cutoff": 0.1}}
WITH_OPTIONS = {
    "reducible": "reducible:epoch=2",
    "dyn_unc": "dyn_unc:window=5",
    "dual": "dual:window=5",
    "tdds": "tdds:window=5",
}
SPREAD = "el2n:epochs=2"  # early in training scores are spread wide, so that one sees what a rule does
CLIP = (0.3, 99.7)  # per cent, beyond which values are counted in the bars at the ends
LEARNER = "mlp:epochs=12"

Array = NDArray[Any]


def picture(name: str) -> str:
    """A `<figure>` in HTML of `scores/<name>` or `rules/<name>`."""
    kind, _, own = name.partition("/")
    figure, words = of_score(own) if kind == "scores" else of_rule(own)
    return _html(figure, words, salt=name)


# Scores


@cache
def digits() -> unseen.data.Data:
    """Scikit-learn's digits."""
    return unseen.data.resolve("digits")


@cache
def table(sides: str) -> unseen.ScoreTable:
    """All scores of one group, scored once; `"in-sample"` are those of `"held out"` by a model that saw everything."""
    group = "held out" if sides == "in-sample" else sides
    names = [WITH_OPTIONS.get(name, name) for name, score in SCORES.items() if _group(name, score) == group]
    plans: dict[str, Any] = {
        "held out": unseen.folds(3),
        "in-sample": unseen.seen(),
        "two sides": unseen.halves(4),
        "influence": unseen.leave_one_out(),
    }
    learner = "ridge" if sides == "influence" else LEARNER
    more = [SPREAD] if sides == "held out" else []
    return unseen.score(digits(), plan=plans[sides], learner=learner, scores=[*names, *more])


def of_score(name: str) -> tuple[Figure, str]:
    """The distribution held out and, where there is one, in-sample; the digits at both ends."""
    group = _group(name, SCORES.get(name))
    label = WITH_OPTIONS.get(name, name)
    scores = table(group)
    held_out = scores.column(label)
    in_sample = table("in-sample").column(label) if group == "held out" else None
    figure = Figure(figsize=(7.6, 2.8))
    left = figure.add_axes((0.1, 0.19, 0.42, 0.78))
    right = figure.add_axes((0.56, 0.02, 0.43, 0.96))
    _distribution(left, held_out, in_sample, group)
    left.set_xlabel(f"{label} ({meaning(scores.directions[label])})")
    _ends(right, held_out, scores.labels)
    how = {
        "held out": f"by `{LEARNER}`: by models that did not see a sample (folds(3)), and by one that saw all",
        "two sides": f"by `{LEARNER}` under halves(4)",
        "influence": "by `ridge` under leave_one_out()",
    }[group]
    words = (
        f"Left: the distribution of {label} over the 1,797 digits, {how}. "
        "The bars at the ends hold all beyond. "
        "Right: the digits at its two ends, with their labels."
    )
    return figure, words.replace("`", "")


def _group(name: str, score: type[Score]) -> str:
    if score.needs & {"leverage", "cooks_distance"}:
        return "influence"
    return "two sides" if len(score.sides) > 1 or name == "disagreement" else "held out"


def _distribution(axes: Axes, held_out: Array, in_sample: Array | None, group: str) -> None:
    both = held_out if in_sample is None else np.concatenate([held_out, in_sample])
    low, high = np.percentile(both, CLIP)
    edges = np.linspace(low, high if high > low else low + 1, 41)
    title = "held out" if group == "held out" else "all digits"
    axes.hist(np.clip(held_out, low, edges[-1]), edges, color=HELD_OUT, alpha=0.75, label=title)
    if in_sample is not None:
        clipped = np.clip(in_sample, low, edges[-1])
        axes.hist(clipped, edges, color=IN_SAMPLE, histtype="step", linewidth=1.8, label="in-sample")
        axes.legend(frameon=False, loc="upper center")
    axes.set_yscale("log")
    axes.set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
    axes.minorticks_off()
    axes.set(ylabel="digits", ylim=(0.7, 2500))


def _ends(axes: Axes, values: Array, labels: Array) -> None:
    """Two rows of digits, the highest and the lowest values, on one canvas."""
    order = np.argsort(values, kind="stable")
    order = order[np.isfinite(values[order])]
    canvas = np.full((34, EXAMPLES * 11), np.nan)
    for title, top, rows in (("highest", 2, order[::-1][:EXAMPLES]), ("lowest", 20, order[:EXAMPLES])):
        for column, image in enumerate(digits().take(rows).reshape(-1, 8, 8)):
            canvas[top : top + 8, column * 11 : column * 11 + 8] = 16 - image
            axes.text(column * 11 + 4, top + 8.6, str(labels[rows[column]]), ha="center", va="top", fontsize=9)
        axes.text(0, top - 0.8, title, ha="left", va="bottom", fontsize=10)
    axes.imshow(canvas, cmap="gray", extent=(0, canvas.shape[1], len(canvas), 0), interpolation="nearest")
    axes.set(xlim=(0, canvas.shape[1]), ylim=(34, -3))
    axes.axis("off")


# Rules


@cache
def pool() -> tuple[unseen.ScoreTable, Array, Array]:
    """A table of digits to choose from, two coordinates of each (principal components), and the pixels."""
    rows = np.sort(np.random.default_rng(0).permutation(len(digits()))[:POINTS])
    pixels = digits().take(np.arange(len(digits()))).astype(np.float64)
    centred = pixels - pixels.mean(axis=0)
    plane = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    return table("held out").take(rows), plane[rows], pixels[rows]


def of_rule(name: str) -> tuple[Figure, str]:
    """What it keeps: by the score, and in two dimensions."""
    rule: type[Rule] = RULES.get(name)
    scores, plane, pixels = pool()
    score = "dual:window=5" if name == "beta" else SPREAD
    options = dict(OPTIONS.get(name, {}))
    if "features" in rule.needs:
        options["features"] = pixels if name == "bws" else plane
    coreset = unseen.select(scores, rule=name, score=score, keep=KEEP, **options)
    figure = Figure(figsize=(7.6, 2.9))
    left = figure.add_axes((0.1, 0.18, 0.42, 0.79))
    right = figure.add_axes((0.57, 0.1, 0.42, 0.87))
    values = scores.column(score)
    edges = np.linspace(values.min(), values.max(), 31)
    left.hist(values, edges, color=QUIET, alpha=0.35, label=f"all {POINTS} digits")
    left.hist(values[coreset.indices], edges, color=HELD_OUT, alpha=0.9, label=f"kept, {KEEP:.0%}")
    left.set(xlabel=f"{score} ({meaning(scores.directions[score])})", ylabel="digits")
    left.legend(frameon=False)
    right.scatter(*plane.T, s=7, color=QUIET, alpha=0.35, linewidths=0)
    right.scatter(*plane[coreset.indices].T, s=11, color=HELD_OUT, linewidths=0)
    right.set(xlabel="1st principal component", ylabel="2nd", xticks=[], yticks=[])
    read = ""
    if "features" in rule.needs:
        read = " Its features are the 64 pixels." if name == "bws" else " Its features are the two coordinates shown."
    said = ", ".join(f"{key}={value}" for key, value in OPTIONS.get(name, {}).items())
    spec = f"{name}:{said}" if said else name
    words = (
        f"What {spec} keeps of {POINTS} digits at keep={KEEP}: left by the held-out {score}, right in the plane of "
        f"their first two principal components.{read}"
    )
    return figure, words


# SVG


def _html(figure: Figure, words: str, salt: str) -> str:
    style = {
        "svg.fonttype": "none",  # text stays text: searchable, and in the font of the page
        "svg.hashsalt": salt,
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    out = io.StringIO()
    with rc_context(style):
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    svg = out.getvalue()[out.getvalue().index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    # Matplotlib writes text without a fill, which is black; lines and ticks say so.
    svg = re.sub(r"(stroke|fill): ?#(000000|262626)", r"\1: currentColor", svg)
    svg = re.sub(r"<text ", '<text fill="currentColor" ', svg)
    svg = re.sub(r"font: (\d+)px [^;\"]*", r"font-size: \1px", svg)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(words)}" ', 1)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    return f'<figure class="picture">{svg}<figcaption>{escape(words)}</figcaption></figure>'
