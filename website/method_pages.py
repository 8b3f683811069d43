"""A page for each score and each rule, and one that lists them, from the registries and docstrings of the library."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import unseen.functional
import unseen.rules
from unseen.rules import RULES, about
from unseen.scores import SCORES, describe_all

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
FAMILIES = {
    "pointwise": "From one observation",
    "dynamics": "From training dynamics",
    "two_sided": "From both sides, or several models",
    "label_quality": "Is the label right?",
}
NOT_A_FUNCTION = "It has no pure function: a learner measures it, and `Observation` carries it."


def paths(kind: str) -> list[str]:
    """The pages of `"scores"` or `"rules"`, the one that lists them first."""
    names = SCORES if kind == "scores" else RULES
    return [f"{kind}/index.md", *(f"{kind}/{name}.md" for name in names)]


def pages() -> dict[str, str]:
    """Path to Markdown of every page that is made."""
    made = {"scores/index.md": _all_scores(), "rules/index.md": _all_rules()}
    made |= {f"scores/{entry['name']}.md": _score(entry) for entry in describe_all()}
    made |= {f"rules/{name}.md": _rule(name) for name in RULES}
    return made


def section(docstring: str | None, title: str) -> str:
    """The text of the paragraph `Cost:` or `Fails:` in a docstring, on one line; empty where there is none."""
    found = re.search(rf"^{title}:\s((?:.+\n?)+)", inspect.cleandoc(docstring or ""), flags=re.M)
    return " ".join(found[1].split()) if found else ""


def section_of(kind: type[Any], title: str) -> str:
    """The section of a class, or of the nearest base class that has one."""
    return next(filter(None, (section(one.__doc__, title) for one in kind.__mro__)), "")


def _all_scores() -> str:
    lines = [
        "# Scores",
        "",
        "A score is one number per sample, from the predictions of models. Its direction, *harder*, *easier* or",
        "*worth*, says what a high value means, and no rule guesses it. `unseen scores` prints this list. Under",
        "`halves`, `folds` or `leave_one_out` scores are held out; under `seen` they are the classic in-sample scores.",
        "",
    ]
    own = {family for _, kind in SCORES.items() if (family := _family(kind)) and family not in FAMILIES}
    others = [(family, family.replace("_", " ").capitalize()) for family in sorted(own)]
    for family, title in [*FAMILIES.items(), *others, ("", "Of other packages")]:
        mine = [name for name, kind in SCORES.items() if _family(kind) == family]
        if mine:
            lines += [f"## {title}", "", *_table(["score", "high means", "reads", "formula"], map(_line, mine)), ""]
    lines += [
        "[The study](../quality/results.md) says which of them choose better than random, at which rates.",
        "`align=` of [`select`](../reference.md) puts folds on one scale. Functions for logits of your own:",
        "[`unseen.functional`](../reference/functional.md). To add one: CONTRIBUTING.md in the repository.",
    ]
    return "\n".join(lines) + "\n"


def _line(name: str) -> list[str]:
    kind = SCORES.get(name)
    return [f"[`{name}`]({name}.md)", kind.direction, _reads(kind.needs, kind.sides), f"`{kind.formula}`"]


def _family(kind: type[Any]) -> str:
    room, _, file = kind.__module__.rpartition(".")
    return file if room == "unseen.scores" else ""


def _score(entry: dict[str, Any]) -> str:
    name, kind = entry["name"], SCORES.get(entry["name"])
    low, high = (f"{bound:.4g}".replace("inf", "∞") for bound in entry["range"])
    card = {
        "Formula": f"`{entry['formula']}`",
        "Direction": f"{entry['direction']}, from {low} to {high}",
        "Reads": _reads(entry["needs"], entry["sides"]) + ("; no labels" if entry["label_free"] else ""),
        "Options": _options(entry["options"]),
        "Cost": section_of(kind, "Cost"),
        "State": f"{entry['state']} floats a sample{_speed(name)}",
        "Paper": _linked(entry["source"]),
        "When it fails": _linked(section_of(kind, "Fails")),
    }
    pure = [f"::: unseen.functional.{name}"] if name in unseen.functional.__all__ else [NOT_A_FUNCTION]
    spec = f"{_spec(name, entry['options'])}{_plan(entry)}"
    use = [f"    unseen prune digits --keep 0.7 --score {spec} --learner mlp --out runs/{name}"]
    if set(entry["needs"]) & {"leverage", "cooks_distance"}:
        use = [f"    unseen score digits --score {name} --plan leave_one_out --learner ridge --out runs/{name}"]
    return _page("scores", name, getattr(unseen.functional, name, kind), card, use, pure)


def _plan(entry: dict[str, Any]) -> str:
    if len(entry["sides"]) > 1:
        return " --plan halves --repeats 2"
    return " --repeats 2" if entry["name"] == "disagreement" else ""


def _all_rules() -> str:
    rows = []
    for name in RULES:
        info = about(name)
        reads = ", ".join([*([] if info.reads == "nothing" else [f"scores: {info.reads}"]), *info.needs]) or "nothing"
        rows.append([f"[`{name}`]({name}.md)", reads, _options(info.options), info.formula])
    return "\n".join(
        [
            "# Rules",
            "",
            "A rule turns scores, a budget and a seed into a coreset of exactly that budget, also with ties, constant",
            "scores or rare classes. A budget that cannot be met is refused before any training. `unseen rules`",
            "prints this list. Every rule takes `quota=` for shares of classes, unless its page says otherwise.",
            "",
            *_table(["rule", "reads", "options", "what it does"], rows),
            "",
            "[The study](../quality/results.md) says which of them choose better than random, at which rates.",
            "For scores of your own: [`unseen.rules`](../reference/rules.md).",
            "To add one: CONTRIBUTING.md in the repository.",
            "",
        ]
    )


def _rule(name: str) -> str:
    info, kind = about(name), RULES.get(name)
    directions = ", ".join(sorted(kind.directions))
    card = {
        "What it does": info.formula,
        "Scores": "not read" if info.reads == "nothing" else f"reads their {info.reads}; takes {directions}",
        "Needs": ", ".join(info.needs) or "nothing else",
        "Options": _options(info.options),
        "Order": "its picks have an order" if info.ordered else "its picks have no order",
        "Quotas": "yes" if kind.inside_classes else "refused: inside one class it has nothing to go by",
        "Cost": section_of(kind, "Cost") + _seconds(name),
        "Paper": _linked(info.source),
        "When it fails": _linked(section_of(kind, "Fails")),
    }
    features = " --features digits.npy" if "features" in info.needs else ""
    score = " --score dual:window=5 --learner mlp" if name == "beta" else " --learner logistic"
    use = [f"    unseen prune digits --keep 0.3 --rule {name}{features}{score} --out runs/{name}"]
    pure = [f"::: unseen.rules.{name}"] if name in unseen.rules.__all__ else []
    return _page("rules", name, getattr(unseen.rules, name, kind), card, use, pure)


def _page(kind: str, name: str, documented: object, card: dict[str, str], use: list[str], pure: list[str]) -> str:
    first = _linked((inspect.getdoc(documented) or "").partition("\n")[0])
    return "\n".join(
        [
            f"# {name}",
            "",
            first,
            "",
            f"<!-- picture {kind}/{name} -->",
            "",
            *_table(*_card(card)),
            "",
            *use,
            "",
            "## As a function",
            "",
            *pure,
            "",
        ]
    )


def _card(card: dict[str, str]) -> tuple[list[str], list[list[str]]]:
    first, *rest = ([title, text] for title, text in card.items() if text)
    return first, [[f"**{title}**", text] for title, text in rest]


def _reads(needs: Iterable[str], sides: Iterable[str]) -> str:
    both = " of both sides" if len(list(sides)) > 1 else ""
    return ", ".join(sorted(needs)).replace("_", " ") + both


def _options(options: dict[str, Any]) -> str:
    return ", ".join(f"`{key}={value}`" for key, value in options.items()) or "none"


def _spec(name: str, options: dict[str, Any]) -> str:
    needed = [f"{key}=2" for key, value in options.items() if value == "required"]
    if "window" in options:
        needed.append("window=5")
    return f"{name}:{','.join(needed)}" if needed else name


def _linked(text: str) -> str:
    """Numbers of arXiv and pages of the documentation as links."""
    text = re.sub(r"arXiv (\d{4}\.\d{5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text)
    text = re.sub(r"benchmarks/quality/(\w+)\.md", r"[the study](../quality/\1.md)", text)
    return re.sub(r"docs/(\w+)\.md", r"[\1](../\1.md)", text)


def _speed(name: str) -> str:
    result = json.loads((BENCHMARKS / "scores.json").read_text())
    state = {row["score"]: row["bytes_per_sample_C10"] for row in result["state"]}
    speed = {row["score"]: row["samples_per_second"] for row in result["one_observation"]}
    speed |= {row["score"]: row["observations_per_second"] for row in result["course"]}
    told = f": {state[name]:.0f} bytes at 10 classes" if name in state else ""
    return (
        f"{told}; {speed[name] / 1e6:.1f} M observations a second (see [benchmarks](../benchmarks.md))"
        if name in speed
        else told
    )


def _seconds(name: str) -> str:
    rows = json.loads((BENCHMARKS / "rules.json").read_text())["rows"]
    mine = next((row for row in rows if row["rule"] == name), None)
    if mine is None:
        return ""
    took = f"{mine['seconds']:.2g} s for {mine['budget']:,} of {mine['input']}"
    return f" Measured: {took} (see [benchmarks](../benchmarks.md))."


def _table(heads: list[str], rows: Iterable[list[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
