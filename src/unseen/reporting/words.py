"""What was done and what came of it, in sentences and short lists. Plain text: the page escapes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unseen.core.observation import meaning
from unseen.core.table import ScoreTable
from unseen.evaluating.arms import ArmResult
from unseen.evaluating.prices import Price, duration, paid
from unseen.evaluating.result import Evaluation
from unseen.learners.base import in_words
from unseen.pruning import label_error_share
from unseen.reporting.facts import Facts, exposure_of
from unseen.scores.label_quality import LABEL_ISSUE

__all__ = ["Snippet", "Verdict", "cost", "done", "figures", "percent", "snippets", "titled", "verdicts"]


@dataclass(frozen=True)
class Verdict:
    """What an evaluation says of a coreset.

    Args:
        word: the verdict against full, or against random where full was not trained on; "mixed" where it is good
            news that is not true of some classes.
        text: the same in words, with the names of the coreset, of these classes and of who was trained.
        lines: accuracies, differences, what the interval covers, what it saves.

    """

    word: str
    text: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Snippet:
    """Code to copy."""

    title: str
    code: str


def percent(share: float) -> str:
    """`0.913` is `"91.3 %"`."""
    return f"{100 * share:.1f} %"


def titled(facts: Facts) -> str:
    """The heading of the page."""
    name = facts.run.absolute().name
    if facts.coreset is not None:
        return f"{name}: {len(facts.coreset):,} of {facts.coreset.n:,} samples kept"
    return name


def done(facts: Facts) -> str:
    """What was done, in one paragraph."""
    said = [_scored(facts), _chosen(facts), _grown(facts), cost(facts.price), _paid(facts)]
    if facts.advice is not None:
        said.append(f"Advice: {facts.advice!r}.")
    return " ".join(sentence for sentence in said if sentence)


def cost(price: Price | None) -> str:
    """What the trainings took, in a sentence; empty where it is not known."""
    if price is None:
        return ""
    seen = "" if price.samples is None else f" and passed over {price.samples:,.0f} samples, epochs counted"
    many = "The training" if price.trainings == 1 else f"The {price.trainings:,.0f} trainings"
    took = "less than a second" if price.seconds < 1 else duration(price.seconds)
    return f"{many} took {took}{seen}."


def figures(facts: Facts) -> list[tuple[str, str]]:
    """The most telling numbers and what they are."""
    found: list[tuple[str, str]] = []
    table, coreset = facts.table, facts.coreset
    if coreset is not None:
        found.append((percent(len(coreset) / coreset.n), f"kept: {len(coreset):,} of {coreset.n:,} samples"))
    elif table is not None:
        found.append((f"{len(table):,}", "samples scored"))
    if table is not None and (right := _accuracy(table)) is not None:
        found.append((percent(right), f"{exposure_of(table)} accuracy of the models that scored"))
    if table is not None and LABEL_ISSUE in table.values:
        share = label_error_share(table)
        inside = "" if coreset is None else f"; {percent(label_error_share(table, coreset))} in the coreset"
        if np.isfinite(share):
            found.append((percent(share), f"of the labels contradicted by {exposure_of(table)} models{inside}"))
        else:
            found.append(("–", "labels contradicted by models: not told, they are too weak to doubt a label"))
    if table is not None and facts.score is not None and len(table.folds) > 1:
        note = table.reliability_note(facts.score)
        found.append(
            (
                f"{table.reliability(facts.score):.2f}",
                f"reliability of the score, mean over repeats{f' ({note})' if note else ''}",
            )
        )
    return found


def verdicts(evaluation: Evaluation) -> list[Verdict]:
    """What an evaluation says of each coreset."""
    return [_verdict(evaluation, name) for name in evaluation.coresets]


def snippets(facts: Facts) -> list[Snippet]:
    """Three ways to use the coreset."""
    if facts.coreset is None:
        return []
    run = repr(str(facts.scoring))
    file = repr(str(facts.scoring / "coreset.parquet"))
    return [
        Snippet(
            "Train on it with torch",
            "import unseen\nfrom torch.utils.data import Subset\n\n"
            f"coreset = unseen.load({run}).coreset\n"
            "kept = Subset(dataset, coreset.indices.tolist())  # dataset: the one scored, in its order",
        ),
        Snippet(
            "Filter a table with pandas",
            "import pandas as pd\n\n"
            f"kept = pd.read_parquet({file})  # columns id, row and where each came from\n"
            'frame = frame.iloc[kept["row"]]  # or frame[frame["id"].isin(kept["id"])]',
        ),
        Snippet(
            "List the ids",
            f"import unseen\n\nprint(*unseen.load({run}).coreset.ids, sep='\\n')",
        ),
    ]


def _scored(facts: Facts) -> str:
    table = facts.table
    if table is None:
        n = facts.fingerprint.get("n")
        of = f"{n:,} samples" if isinstance(n, int) else "a data set"
        return f"Methods were compared on {of}." if facts.sweep is not None else f"Coresets of {of} were compared."
    classes = len(table.class_names)
    answers = f"a target in {classes} bins" if facts.targets else f"{classes:,} classes"
    who = in_words(table.provenance.get("learner") or facts.manifest.get("learner")) or "?"
    plan = table.provenance.get("plan") or {}
    repeats = f", in {len(table.folds)} repeats" if len(table.folds) > 1 else ""
    name = facts.score
    by = "" if name is None else f" by {name} ({meaning(table.direction(name))})"
    that = "that had seen it" if exposure_of(table) == "in-sample" else "that never saw it"
    return (
        f"Each of {len(table):,} samples ({answers}){_data(facts)} was scored{by}, by {who} models {that}: plan "
        f"{_planned(plan)}{repeats}, seed {facts.manifest.get('seed', '?')}."
    )


def _chosen(facts: Facts) -> str:
    coreset = facts.coreset
    if coreset is None:
        return ""
    provenance = coreset.provenance
    options = provenance.get("options") or {}
    told = ", ".join(f"{name} {_option(value)}" for name, value in sorted(options.items()) if value is not None)
    rule = f"{provenance.get('rule', '?')}{f' ({told})' if told else ''}"
    return (
        f"The rule {rule} kept {len(coreset):,} ({percent(len(coreset) / coreset.n)}) and left out "
        f"{coreset.n - len(coreset):,}."
    )


def _grown(facts: Facts) -> str:
    history = facts.history
    if history is None:
        return ""
    return f"It was chosen in several steps: {history}."


def _paid(facts: Facts) -> str:
    if facts.worth is None or facts.coreset is None:
        return ""
    said = paid(facts.worth, 1 - len(facts.coreset) / facts.coreset.n)
    return f"By samples seen, with the learner that scored, {said}."


def _data(facts: Facts) -> str:
    options = {} if facts.command is None else facts.command["options"]
    return f" of {str(options['data']).rstrip('/').rpartition('/')[2]}" if options.get("data") else ""


def _planned(plan: dict[str, Any]) -> str:
    """`folds (k=5)`: the plan with its short options."""
    hidden = ("plan", "digest", "members")  # the coreset of a step is told by its size elsewhere
    short = {k: v for k, v in plan.items() if k not in hidden and isinstance(v, int | float | str) and v is not False}
    options = ", ".join(f"{name}={value}" for name, value in short.items() if not (name == "repeats" and value == 1))
    return f"{plan.get('plan', '?')}{f' ({options})' if options else ''}"


def _option(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _accuracy(table: ScoreTable) -> float | None:
    if table.predictions is None:
        return None
    judged = table.predictions >= 0
    return float(np.mean(table.predictions[judged] == table.labels[judged])) if judged.any() else None


def _sampling(arm: ArmResult) -> str:
    """Standard errors that no seed shows."""
    errors = {"the accuracy": arm.error, **{f"the difference to {to}": arm.beside_error[to] for to in arm.beside_error}}
    told = [f"± {100 * error:.1f} to {what}" for what, error in errors.items() if np.isfinite(error)]
    return f"{', '.join(told)} (standard errors, in points)" if told else "an error that is not known"


def _verdict(evaluation: Evaluation, name: str) -> Verdict:
    arm = evaluation[name]
    against = list(arm.beside)
    first = "full" if "full" in against else next(iter(against), None)
    lines = [f"test accuracy {evaluation.accuracy(name).text()} %{f' of {who}' if (who := evaluation.trainee) else ''}"]
    for to in against:
        difference, verdict = evaluation.difference(name, to).text(sign=True), evaluation.verdict(name, to).text
        lines.append(f"against {to}: {difference} points, {verdict}")
    lines.append(f"the interval covers {evaluation.covers(name)}")
    lines.append(f"of that, the test set alone makes {_sampling(arm)}")
    lines.append(evaluation.price(name)["text"])
    if first is None:
        return Verdict("measured", f"{name}: {lines[0]}", tuple(lines))
    found = evaluation.verdict(name, first)
    word = "mixed" if found.word in ("lossless", "better") and not found.good else found.word
    return Verdict(word, f"{name} against {first}: {found.text}", tuple(lines))
