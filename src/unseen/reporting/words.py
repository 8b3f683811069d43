"""The sentences of a report: what was done, the verdicts, the figures, and code to copy.

All of it is plain text; the page escapes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unseen.core.table import meaning
from unseen.core.words import duration, percent
from unseen.evaluating.advise import Advice
from unseen.evaluating.methods import FULL
from unseen.evaluating.prices import Price, describe_payback
from unseen.evaluating.result import ArmResult, Evaluation
from unseen.evaluating.statistics import Verdict
from unseen.evaluating.sweep import Sweep
from unseen.learners.base import in_words
from unseen.pruning import label_error_share
from unseen.reporting.facts import Facts
from unseen.rules.registry import are_uneven, spec_of, too_weak_to_doubt
from unseen.scores.label_quality import LABEL_ISSUE

RANDOM = "random"  # the baseline of a sweep


@dataclass(frozen=True)
class VerdictBox:
    """The verdict on a coreset, on a share pruned, or on the methods of a sweep."""

    # The verdict against full, or against random where full was not trained on; "mixed" where it is good but some
    # classes lose; "measured" where nothing is judged.
    word: str
    text: str  # the headline
    lines: tuple[str, ...]  # the details: accuracies, differences, what the interval covers, what the coreset saves


def write_title(facts: Facts) -> str:
    """Return the heading of the page."""
    name = facts.run.absolute().name
    if facts.coreset is not None:
        return f"{name}: {len(facts.coreset):,} of {facts.coreset.n:,} samples kept"
    return name


def describe(facts: Facts) -> str:
    """Describe what was done, in one paragraph."""
    sentences = [_describe_scoring(facts), _describe_choice(facts)]
    if facts.history is not None:
        sentences.append(f"It was chosen in several steps: {facts.history}.")
    sentences.append(describe_cost(facts.price))
    if facts.worth is not None and facts.coreset is not None:
        said = describe_payback(facts.worth, 1 - len(facts.coreset) / facts.coreset.n)
        sentences.append(f"By samples seen, with the learner that scored, {said}.")
    return " ".join(sentence for sentence in sentences if sentence)


def describe_cost(price: Price | None) -> str:
    """Describe in a sentence how long the trainings took; return "" where that is not known."""
    if price is None:
        return ""
    seen = "" if price.samples is None else f" and passed over {price.samples:,.0f} samples, epochs counted"
    many = "The training" if price.trainings == 1 else f"The {price.trainings:,.0f} trainings"
    took = "less than a second" if price.seconds < 1 else duration(price.seconds)
    return f"{many} took {took}{seen}."


def figures(facts: Facts) -> list[tuple[str, str]]:
    """Return the key figures, each with its caption."""
    found: list[tuple[str, str]] = []
    table, coreset = facts.table, facts.coreset
    if coreset is not None:
        found.append((percent(len(coreset) / coreset.n), f"kept: {len(coreset):,} of {coreset.n:,} samples"))
    elif table is not None:
        found.append((f"{len(table):,}", "samples scored"))
    if table is not None and table.accuracy is not None:
        said = f"{table.exposure} accuracy of the models that scored"
        if table.mean_recall is not None and are_uneven(np.bincount(table.labels)):
            said += f"; mean recall of the classes {percent(table.mean_recall)}"
        found.append((percent(table.accuracy), said))
    if table is not None and table.r2 is not None:
        found.append((percent(table.r2), f"{table.exposure} R² of the models that scored"))
    if table is not None and LABEL_ISSUE in table.values:
        share = label_error_share(table)
        inside = "" if coreset is None else f"; {percent(label_error_share(table, coreset))} in the coreset"
        if np.isfinite(share):
            found.append((percent(share), f"of the labels contradicted by {table.exposure} models{inside}"))
        else:
            why = too_weak_to_doubt(table) or "no model judged samples of two classes"
            found.append(("–", f"labels contradicted by models: not counted, since {why}"))
    if table is not None and facts.score is not None and len(table.folds) > 1:
        note = table.reliability_note(facts.score)
        caption = f"reliability of the score, mean over repeats{f' ({note})' if note else ''}"
        found.append((f"{table.reliability(facts.score):.2f}", caption))
    return found


def verdicts(facts: Facts) -> list[VerdictBox]:
    """Return the verdicts on the coresets of an evaluation, on advice and on a sweep; empty if there is none."""
    found = [] if facts.evaluation is None else [_judge_coreset(facts.evaluation, c) for c in facts.evaluation.coresets]
    if facts.advice is not None:
        found.append(_judge_advice(facts.advice))
    if facts.sweep is not None and (compared := _judge_sweep(facts.sweep)) is not None:
        found.append(compared)
    return found


def snippets(facts: Facts) -> list[tuple[str, str]]:
    """Return code for three ways to use the coreset, each with its title."""
    if facts.coreset is None:
        return []
    run = repr(str(facts.scoring))
    file = repr(str(facts.scoring / "coreset.parquet"))
    return [
        (
            "Train on it with torch",
            "import unseen\nfrom torch.utils.data import Subset\n\n"
            f"coreset = unseen.load({run}).coreset\n"
            "kept = Subset(dataset, coreset.indices.tolist())  # dataset: the one scored, in its order",
        ),
        (
            "Filter a table with pandas",
            "import pandas as pd\n\n"
            f"kept = pd.read_parquet({file})  # columns id, row and where each came from\n"
            'frame = frame.iloc[kept["row"]]  # or frame[frame["id"].isin(kept["id"])]',
        ),
        ("List the ids", f"import unseen\n\nprint(*unseen.load({run}).coreset.ids, sep='\\n')"),
    ]


def _describe_scoring(facts: Facts) -> str:
    table = facts.table
    if table is None:
        of = "a data set" if facts.samples is None else f"{facts.samples:,} samples"
        return f"Methods were compared on {of}." if facts.sweep is not None else f"Coresets of {of} were compared."
    classes = len(table.class_names)
    answers = f"a target in {classes} bins" if facts.targets else f"{classes:,} classes"
    who = in_words(table.provenance.get("learner") or facts.manifest.get("learner")) or "?"
    plan = table.provenance.get("plan") or {}
    repeats = f", in {len(table.folds)} repeats" if len(table.folds) > 1 else ""
    place = facts.options.get("data")
    data = f" of {str(place).rstrip('/').rpartition('/')[2]}" if place else ""
    name = facts.score
    by = "" if name is None else f" by {name} ({meaning(table.direction(name))})"
    that = "that had seen it" if table.exposure == "in-sample" else "that never saw it"
    return (
        f"Each of {len(table):,} samples ({answers}){data} was scored{by}, by {who} models {that}: plan "
        f"{_describe_plan(plan)}{repeats}, seed {facts.manifest.get('seed', '?')}."
    )


def _describe_choice(facts: Facts) -> str:
    coreset = facts.coreset
    if coreset is None:
        return ""
    provenance = coreset.provenance
    outliers = coreset.count_found("outliers")
    said = (
        f"The rule {spec_of(coreset)} kept {len(coreset):,} ({percent(len(coreset) / coreset.n)}) and left out "
        f"{coreset.n - len(coreset):,}{f', {outliers:,} of them as outliers' if outliers else ''}."
    )
    if "fallback" in provenance:
        said += f" It draws at random within each class, because {provenance['fallback']}."
    return said


def _describe_plan(plan: dict[str, Any]) -> str:
    """Write a plan with its short options: `folds (k=5)`."""
    hidden = ("plan", "digest", "members")  # the coreset of a step is named by its size elsewhere
    short = {k: v for k, v in plan.items() if k not in hidden and isinstance(v, int | float | str) and v is not False}
    options = ", ".join(f"{name}={value}" for name, value in short.items() if not (name == "repeats" and value == 1))
    return f"{plan.get('plan', '?')}{f' ({options})' if options else ''}"


def _describe_sampling_error(arm: ArmResult, metric: str) -> str:
    """Write the standard errors that come from the test set; repeating with other seeds does not show them."""
    errors = {f"the {metric}": arm.error}
    errors |= {f"the difference to {to}": error for to, error in arm.beside_error.items()}
    known = [f"± {100 * error:.1f} to {what}" for what, error in errors.items() if np.isfinite(error)]
    return f"{', '.join(known)} (standard errors, in points)" if known else "an error that is not known"


def _judge_coreset(evaluation: Evaluation, name: str) -> VerdictBox:
    """State the verdict of an evaluation on one coreset."""
    arm = evaluation[name]
    against = list(arm.beside)
    first = "full" if "full" in against else next(iter(against), None)
    who = f" of {evaluation.trainee}" if evaluation.trainee else ""
    doubt = evaluation.doubt()
    lines = [f"test {evaluation.metric} {evaluation.accuracy(name).text()} %{who}", *([doubt] if doubt else [])]
    for to in against:
        difference, verdict = evaluation.difference(name, to).text(sign=True), evaluation.verdict(name, to).text
        lines.append(f"against {to}: {difference} points, {verdict}")
    lines.append(f"the interval covers {evaluation.covers(name)}")
    lines.append(f"of that, the test set alone makes {_describe_sampling_error(arm, evaluation.metric)}")
    lines.append(evaluation.price(name)["text"])
    if first is None:
        return VerdictBox("measured", f"{name}: {lines[0]}", tuple(lines))
    judged = evaluation.verdict(name, first)
    return VerdictBox(_choose_word(judged, doubt), f"{name} against {first}: {judged.text}", tuple(lines))


def _judge_advice(advice: Advice) -> VerdictBox:
    """State how much can be pruned, and the result of each share that was tried."""
    text = f"Nothing can be pruned by {advice.method}: {advice.verdict.text}"
    if advice.difference is not None:
        text = (
            f"Prune {percent(advice.prune)} by {advice.method}, keeping {advice.budget:,} of {advice.n:,}: "
            f"{advice.verdict.text}, {advice.difference.text(sign=True)} points"
        )
    lines = [f"{tried.text()}{', on fresh replicates' if tried.confirming else ''}" for tried in advice.tried]
    lines[:0] = [note for note in (advice.estimate, advice.about.get("doubt")) if note]
    return VerdictBox(_choose_word(advice.verdict, advice.about.get("doubt")), text, tuple(lines))


def _judge_sweep(sweep: Sweep) -> VerdictBox | None:
    """Count where the methods of a sweep beat random, and name the best of each budget; None where none was tried."""
    methods = [method for method in sweep.methods if method not in (FULL, RANDOM)]
    better = worse = compared = 0
    lines = []
    for budget in sweep.budgets:
        tried = {method: sweep.accuracies(method, budget) for method in methods}
        tried = {method: accuracies for method, accuracies in tried.items() if len(accuracies)}
        for method in tried:
            if (change := sweep.to_random(method, budget)) is not None:
                better, worse, compared = better + (change.low > 0), worse + (change.high < 0), compared + 1
        if tried:
            best = max(tried, key=lambda method: float(tried[method].mean()))
            ends = [f"{name} {sweep.entry(name, budget)}" for name in (RANDOM, FULL) if sweep.entry(name, budget)]
            pruned = f"{100 * (1 - budget / sweep.about['n']):.3g} % pruned"
            lines.append("; ".join([f"{pruned}: best, by hindsight, is {best} {sweep.entry(best, budget)}", *ends]))
    if not lines:
        return None
    if not compared:
        return VerdictBox("measured", "Measured, but not beside random", tuple(lines))
    text = f"Better than random in {better} of {compared} comparisons, worse in {worse}, undecided in the others"
    return VerdictBox("measured", text, tuple(lines))


def _choose_word(verdict: Verdict, doubt: str | None) -> str:
    """Return the word of a verdict; "mixed" where it is good, but a class loses or there is a doubt."""
    return "mixed" if verdict.word in ("lossless", "better") and (doubt or not verdict.good) else verdict.word
