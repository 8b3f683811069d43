"""`unseen scores`, `unseen rules`, `unseen learners`: what there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from unseen.cli import _options as o
from unseen.cli._console import out, print_json, print_lines, print_list

# `tests/cli/test_commands.py` compares the numbers with those of the code.
UNEVEN_MEANS = """
Classes are uneven where the largest has at least 1.25 times the mean size:
strata of equal count keep the recall of the smaller ones. quota=floored shares
the budget by the size of the classes, of which none counts as smaller than a
fifth of the mean. Where models are hardly better than predicting the largest class,
or far less sure than they are right, the rule is random:quota=floored."""


@o.subcommand("json")
def scores(json: bool = o.JSON) -> None:
    """List the scores: what a high value means, what they need, where they come from."""
    from unseen.scores import describe_all

    entries = describe_all()
    if json:
        print_json({"scores": entries})
        return
    rows = []
    for e in entries:
        reads = f"reads {', '.join(e['needs'])}{' of both sides' if len(e['sides']) > 1 else ''}"
        rows.append(([e["name"], e["direction"]], [e["formula"], e["source"], reads + _options(e["options"])]))
    print_list(["score", "direction", "formula, source, reads, options"], rows)


@o.subcommand("json")
def rules(json: bool = o.JSON) -> None:
    """List the rules: what they read, their options, where they come from; and the default."""
    import numpy as np

    from unseen.rules.registry import RULES, about, default_rule

    entries = [asdict(about(name)) for name in RULES]
    defaults = {
        "classes": default_rule("harder"),
        "uneven classes": default_rule("harder", np.array([0, 0, 0, 1])),
        "target": default_rule("harder", of_target=True),
    }
    if json:
        print_json({"rules": entries, "defaults": defaults})
        return
    of_score = {"nothing": [], "order": ["the order of the scores"], "values": ["the scores"]}
    rows = []
    for e in entries:
        reads = ", ".join([*of_score[e["reads"]], *e["needs"]]) or "nothing"
        rows.append(([e["name"]], [e["formula"], e["source"], f"reads {reads}{_options(e['options'])}"]))
    print_list(["rule", "what it does, source, reads, options"], rows)
    out.print()
    print_lines([(f"default, {kind}", rule) for kind, rule in defaults.items()])
    out.print(UNEVEN_MEANS)


@o.subcommand("json")
def learners(json: bool = o.JSON) -> None:
    """List the learners, and the default for each kind of data."""
    from unseen.learners import LEARNERS
    from unseen.learners.registry import DEFAULTS

    about = {name: _about_learner(name) for name in LEARNERS}
    if json:
        print_json({"learners": about, "defaults": DEFAULTS})
        return
    default = {name: f"default for {kind} data" for kind, name in DEFAULTS.items()}
    rows = [([name], [about[name], default.get(name, "")]) for name in LEARNERS]
    rows.append((["sklearn:module:function"], ["the scikit-learn estimator that the function makes"]))
    rows.append((["torch:module:function"], ["the network that the function makes, by the recipe in further options"]))
    print_list(["learner", "what it is"], rows)


def _about_learner(name: str) -> str:
    from unseen.learners import sklearn
    from unseen.learners.base import ESTIMATORS
    from unseen.learners.ridge import RidgeLearner
    from unseen.learners.softmax import SoftmaxLearner
    from unseen.learners.torch import PRESETS, Recipe

    if name in ESTIMATORS:
        return (getattr(sklearn, name).__doc__ or "").partition("\n")[0].rstrip(".")
    if name == RidgeLearner.name:
        return "ridge regression on embeddings, in closed form: exact held-out scores, leave_one_out in one pass"
    if name == SoftmaxLearner.name:
        return "multinomial logistic regression on embeddings; leave_one_out from one fit, by one Newton step"
    if name not in PRESETS:
        return ""  # of another package
    recipe = Recipe.named(name)
    return f"the network {recipe.network} in torch: {recipe.epochs} epochs, batch {recipe.batch_size}, lr {recipe.lr}"


def _options(options: Mapping[str, object]) -> str:
    return "; options " + ", ".join(f"{name}={value}" for name, value in options.items()) if options else ""
