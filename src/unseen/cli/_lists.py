"""`unseen scores`, `unseen rules`, `unseen learners`: what there is."""

from __future__ import annotations

from dataclasses import asdict

from unseen.cli import _options as o
from unseen.cli._show import grid, print_json


def scores(json: o.Json = False) -> None:
    """List the scores: what a high value means, what they need, where they come from."""
    from unseen.scores import describe_all

    entries = describe_all()
    if json:
        print_json({"scores": entries})
        return
    columns = ["score", "direction", "needs", "state", "options", "formula", "source"]
    grid("scores", columns, [
        [
            e["name"], e["direction"], _needs(e), e["state"], _defaults(e["options"]), e["formula"], e["source"],
        ]
        for e in entries
    ])  # fmt: skip


def rules(json: o.Json = False) -> None:
    """List the rules: what they read, their options, where they come from."""
    from unseen.rules.registry import RULES, about

    entries = [asdict(about(name)) for name in RULES]
    if json:
        print_json({"rules": entries})
        return
    columns = ["rule", "reads", "options", "what it does", "source"]
    grid("rules", columns, [
        [e["name"], ", ".join([e["reads"], *e["needs"]]), _defaults(e["options"]), e["formula"], e["source"]]
        for e in entries
    ])  # fmt: skip


def learners(json: o.Json = False) -> None:
    """List the learners, and the default for each kind of data."""
    from unseen.learners import LEARNERS
    from unseen.learners.presets import DEFAULTS

    default_for = {name: kind for kind, name in DEFAULTS.items()}
    if json:
        print_json({"learners": list(LEARNERS), "defaults": DEFAULTS})
        return
    rows = [[name, f"default for {default_for[name]} data" if name in default_for else ""] for name in LEARNERS]
    grid("learners", ["learner", ""], rows)


def _needs(entry: dict[str, object]) -> str:
    fields = ", ".join(entry["needs"])  # type: ignore[arg-type]
    return f"{fields}; both sides" if len(entry["sides"]) > 1 else fields  # type: ignore[arg-type]


def _defaults(options: dict[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())
