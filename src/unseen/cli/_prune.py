"""`unseen prune`, which scores every sample and chooses the coreset, and its halves `score` and `select`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import isnan, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import unseen
from unseen.cli import _options as o
from unseen.cli._console import Reporter, err, print_json, print_lines, print_result, print_table
from unseen.core.words import duration, percent
from unseen.errors import ArgumentError, MissingDependencyError, UnseenError, some

if TYPE_CHECKING:
    from unseen.core.arrays import FloatArray
    from unseen.core.coreset import Coreset
    from unseen.core.exposure import Plan
    from unseen.core.protocols import Data
    from unseen.core.table import ScoreTable
    from unseen.pruning import Pruned

AUTO = "auto"  # the rule
BACKBONE = "efficientnet_lite0"
MANY_PIXELS, LONG = 20_000_000, 300.0  # of all images; seconds

WEAK = "if the models are weak, random may do better: see `unseen evaluate`"


@dataclass(frozen=True)
class AutoOptions:
    """How `--rule auto` finds the best way to choose."""

    candidate: list[str] | None = o.option(
        "METHOD",
        "With --rule auto: a method to try, plan/score/rule; repeat for several. See `unseen sweep`.",
        o.CHOICE,
    )
    probe: float | None = o.option(
        "SHARE", "With --rule auto: the share of the data held out to test on.", o.CHOICE, shown="0.2"
    )
    confirm: int | None = o.option(
        "N", "With --rule auto: fresh replicates that confirm the best.", o.CHOICE, shown="5"
    )

    def arguments(self) -> dict[str, Any]:
        """Return the options that were given."""
        return o.without_none(candidates=self.candidate or None, probe=self.probe, confirm=self.confirm)


@o.subcommand("out_dir keep prune rule score label target learner plan jobs seed yes json")
def prune(
    *,
    data: str = o.DATA_SET,
    out_dir: Path = o.OUT,
    reading: o.ReadingOptions,
    amount: o.AmountOptions,
    score: str | None = o.option(
        "SCORE", "The score that the rule reads; see `unseen scores`.", o.CHOICE, shown="el2n; for a target, loss"
    ),
    also: list[str] = o.option("SCORE", "A further score for the table; repeat for several.", o.CHOICE, default=[]),
    choice: o.ChoiceOptions,
    auto: AutoOptions,
    scoring: o.ScoringOptions,
    running: o.RunOptions,
    showing: o.PageOptions,
) -> None:
    """Score every sample by models that never saw it, and choose the part worth training on.

    Examples:
      unseen prune digits --keep 0.7 --out runs/digits
      unseen prune photos/ --keep 0.5 --rule stratified --out runs/photos
      unseen prune t.parquet --label y --prune 1000 --learner forest --out runs/t
      unseen prune digits --keep 0.3 --rule auto --out runs/auto
    """
    given = dict(locals())
    if choice.rule == AUTO:
        options = {**auto.arguments(), **o.without_none(features=o.read_features(choice.features))}
    else:
        for name in auto.arguments():
            given_as = "candidate" if name == "candidates" else name
            raise ArgumentError(f"--{given_as} is for --rule auto; leave it out")
        options = choice.arguments()
    models = scoring.arguments()
    looks = not showing.silent and choice.rule != AUTO and not out_dir.exists()
    source = reading.open(data, out_dir)
    learner = scoring.learner or o.default_learner(source)
    quicker = suggest_embedding(source, learner, models["plan"]) if looks else None
    before = None if showing.silent else read_coreset(out_dir)
    with Reporter("prune", given, source, learner=learner) as report:
        if quicker:
            report("say", text=quicker)
        result = unseen.prune(
            source,
            **vars(amount),
            score=score,
            also=also,
            rule=choice.rule,
            **models,
            **report.shared(models["plan"]),
            **options,
        )
    if before is not None and before.ids.tolist() != result.coreset.ids.tolist():
        err.print(f"replaced the coreset of {len(before):,} samples in {out_dir / 'coreset.parquet'}")
    print_pruned(out_dir, json=showing.json, no_report=showing.no_report)


@o.subcommand("out_dir score learner plan folds repeats label target jobs seed yes quiet json")
def score(
    *,
    data: str = o.DATA_SET,
    out_dir: Path = o.OUT,
    reading: o.ReadingOptions,
    score: list[str] | None = o.SCORES,
    scoring: o.ScoringOptions,
    running: o.RunOptions,
    showing: o.DisplayOptions,
) -> None:
    """Score every sample by models that never saw it; `unseen select` chooses from the scores.

    Without --score it measures what the default rule reads, so `unseen select` chooses as `unseen prune` does.

    Examples:
      unseen score photos/ --score el2n --score aum --repeats 3 --out runs/photos
      unseen score houses.parquet --target price --plan leave_one_out --out runs/houses
      unseen select runs/photos --keep 0.5 --score aum --rule beta --out half.parquet
    """
    given = dict(locals())
    options = scoring.arguments()
    source = reading.open(data, out_dir)
    learner = scoring.learner or o.default_learner(source)
    with Reporter("score", given, source, learner=learner) as report:
        unseen.score(source, scores=score or None, **options, **report.shared(options["plan"]))
    print_scores(out_dir, json=showing.json)


@o.subcommand("out_file keep prune score rule quota align features seed json")
def select(
    *,
    run: Path = o.RUN,
    out_file: Path = o.option("FILE", "Parquet file for the coreset.", default=o.REQUIRED, names="--out"),
    amount: o.AmountOptions,
    score: str | None = o.option("SCORE", "The score of the table that the rule reads.", o.CHOICE, shown="its first"),
    choice: o.ChoiceOptions,
    seed: int = o.SEED,
    json: bool = o.JSON,
) -> None:
    """Choose a coreset from the scores that a run already holds; nothing is trained.

    Examples:
      unseen select runs/photos --prune 0.5 --rule beta --out half.parquet
      unseen select runs/photos --keep 1000 --rule top --score aum --out k.parquet
    """
    from unseen.pruning import Pruned, Scored

    if out_file.exists():
        raise ArgumentError(f"--out {out_file} exists already; choose another name")
    loaded = unseen.load(run)
    table = loaded.scores if isinstance(loaded, Scored) else loaded
    if not isinstance(table, unseen.ScoreTable):
        raise ArgumentError(f"{run} holds no scores; run `unseen score` first")
    coreset = unseen.select(table, rule=choice.rule, score=score, seed=seed, **vars(amount), **choice.arguments())
    coreset.save(out_file)
    result = Pruned(table, coreset)
    summary = summarise(result, run, out_file, score)
    print_result(run, summary, partial(describe, result, summary), json=json, no_report=True)


def read_coreset(run: Path) -> Coreset | None:
    """Return the coreset that a run holds already; None where there is none that can be read."""
    from unseen.core.coreset import Coreset

    path = run / "coreset.parquet"
    with suppress(UnseenError, OSError):  # a damaged one is reported when it is replaced
        return Coreset.load(path) if path.exists() else None
    return None


def suggest_embedding(data: Data, learner: str, plan: Plan | None) -> str | None:
    """Suggest embedding images by a pretrained network where this is much quicker than training the default network.

    Both times are measured, which takes up to half a minute, so small data sets are passed over.
    """
    from unseen.embedding.api import seconds_to_embed
    from unseen.learners.registry import default_learner

    if (
        data.kind != "image"
        or learner != default_learner(data)
        or len(data) * prod(data.sample_shape[:2]) < MANY_PIXELS
    ):
        return None
    training = unseen.estimate(data, plan=plan, learner=learner, groups=None).wall_seconds.middle
    try:
        embedding = seconds_to_embed(data, BACKBONE)
    except MissingDependencyError:
        embedding = None
    if training < LONG or (embedding is not None and 2 * embedding > training):
        return None
    took = "less" if embedding is None else f"about {duration(embedding)}"
    return (
        f"{learner} will take about {duration(training)}; vectors of a network that was trained on other data take "
        f"{took}: `unseen embed DATA --backbone {BACKBONE}`, then `--learner ridge --plan leave_one_out`"
    )


def print_pruned(run: Path, *, json: bool, no_report: bool) -> None:
    """Print the result of a run, after its page is written."""
    result: Any = unseen.load(run)
    summary = summarise(result, run, run / "coreset.parquet")
    print_result(run, summary, partial(describe, result, summary), json=json, no_report=no_report)


def print_scores(run: Path, *, json: bool, no_report: bool = True) -> None:
    """Print quantiles of every score of a run."""
    import numpy as np

    from unseen.core.table import meaning

    loaded: Any = unseen.load(run)
    table = loaded.scores
    quantiles = {name: np.nanpercentile(table.column(name), [5, 50, 95]).tolist() for name in table.scores}
    if json:
        about = {name: {"direction": table.directions[name], "p5_p50_p95": quantiles[name]} for name in table.scores}
        print_json({"run": str(run), "n": len(table), "scores": about})
        return
    rows = [[name, meaning(table.directions[name]), *(f"{q:.4g}" for q in quantiles[name])] for name in table.scores]
    print_table(["score", "direction", "5 %", "median", "95 %"], rows)
    print_lines([("scored", f"{len(table):,} samples"), ("table", str(run / "scores.parquet"))])


def summarise(result: Pruned, run: Path, coreset: Path, score: str | None = None) -> dict[str, Any]:
    """Return the result as numbers."""
    from unseen.scores.label_quality import LABEL_ISSUE

    table, chosen = result
    name = score or table.scores[0]
    summary: dict[str, Any] = {
        "run": str(run),
        "scores": str(run / "scores.parquet" if run.is_dir() else run),
        "coreset": str(coreset),
        "n": chosen.n,
        "kept": len(chosen),
        "pruned": chosen.n - len(chosen),
        "score": name,
        "direction": table.directions[name],
        "rule": chosen.provenance.get("rule"),
        "reliability": None if len(table.folds) < 2 else table.reliability(name),
    }
    if run.is_dir():
        summary |= price_of(run, chosen)
    if AUTO in chosen.provenance:
        summary[AUTO] = chosen.provenance[AUTO]
    if (outliers := chosen.count_found("outliers")) is not None:
        summary["outliers"] = outliers
    if table.accuracy is not None:
        summary["accuracy"] = table.accuracy
        summary["accuracy_is"], summary["mean_recall"] = table.exposure, table.mean_recall
        if (cut_off := chosen.count_found("cut_off")) is not None:
            summary["cut_off"] = cut_off / chosen.n
    if table.r2 is not None:
        summary["r2"], summary["median_error"] = table.r2, table.median_error
    if LABEL_ISSUE in table.values:
        summary |= measure_disagreement(table, chosen)
    return summary


def price_of(run: Path, chosen: Coreset) -> dict[str, Any]:
    """Return what choosing cost, in trainings on everything, and when it pays back; nothing where that is unknown."""
    from unseen.evaluating.prices import count_full_trainings, count_payback, describe_payback

    if (trainings := count_full_trainings(run, chosen.n)) is None:
        return {}
    left, saving = len(chosen) / chosen.n, 1 - len(chosen) / chosen.n
    return {
        "trainings": trainings,
        "pays_back": count_payback(trainings, 1.0, left),
        "paid": describe_payback(trainings, saving),
    }


def measure_disagreement(table: ScoreTable, chosen: Coreset) -> dict[str, float | None]:
    """Return the held-out disagreement with the labels of the coreset, and of all samples; None where it is unknown."""
    share = unseen.label_error_share
    found = {"label_errors_kept": share(table, chosen), "label_errors_random": share(table)}
    return {name: None if isnan(value) else value for name, value in found.items()}


def describe_disagreement(table: ScoreTable, summary: Mapping[str, Any]) -> str:
    """Describe the held-out disagreement, or why it is unknown."""
    from unseen.rules.registry import too_weak_to_doubt

    inside, outside = summary["label_errors_kept"], summary["label_errors_random"]
    if inside is None or outside is None:
        return f"held-out disagreement unknown: {too_weak_to_doubt(table) or 'no model judged samples of two classes'}"
    return f"held-out disagreement {percent(inside)} in the coreset, {percent(outside)} in a random one"


def describe_models(table: ScoreTable) -> list[tuple[str, str]]:
    """Return the line on the accuracy of the models behind a table, where it is known."""
    import numpy as np

    from unseen.rules.registry import are_uneven

    if table.accuracy is None or table.mean_recall is None:
        return []
    said = f"{table.exposure} accuracy {percent(table.accuracy)}"
    if are_uneven(np.bincount(table.labels)):
        said += f", mean recall {percent(table.mean_recall)}"
    return [("models", said)]


def describe_classes(table: ScoreTable, chosen: Coreset) -> list[tuple[str, str]]:
    """Return the lines on classes that are lost, or whose share has at least doubled and grown by at least a point.

    >>> table = unseen.ScoreTable.of("el2n", [0.1] * 10, direction="harder", labels=[0] * 9 + [1])
    >>> half = unseen.rules.top(table, keep=2, labels=table.labels, quota="uniform")
    >>> describe_classes(table, half)[0][1].split("; ")
    ['1 is 10.0 % of the samples and 50.0 % of the coreset', 'to correct for that, multiply its predicted odds by 0.11']
    """
    import numpy as np

    if "targets" in table.provenance.get("fingerprint", {}):
        return []
    names = np.array(table.class_names, dtype=object)
    before = np.bincount(table.labels, minlength=len(names))
    after = np.bincount(table.labels[chosen.indices], minlength=len(names))
    lines = []
    if (lost := names[(before > 0) & (after == 0)]).size:
        there = np.count_nonzero(before)
        lines.append(("lost", f"no sample is left of {some(lost)}; the data has {there:,} classes"))
    share, kept = before / before.sum(), after / after.sum()
    more = np.flatnonzero((kept >= 2 * share) & (kept >= share + 0.01))
    if more.size:
        said = some(
            f"{names[c]} is {percent(share[c])} of the samples and {percent(kept[c])} of the coreset" for c in more
        )
        if not lost.size:
            said += f"; to correct for that, {_correction(share[more], kept[more])}"
            if chosen.provenance.get("quota_by") == "floored":
                said += ", or keep the proportions by --quota proportional"
        lines.append(("classes", said))
    return lines


def _correction(share: FloatArray, kept: FloatArray) -> str:
    """Say how to correct predictions for classes with these shares of all samples, (k,), and of the coreset."""
    if len(share) > 1:
        return "multiply their predicted probabilities by the first share over the second"
    odds = float(share[0] / (1 - share[0]) / (kept[0] / (1 - kept[0])))
    return f"multiply its predicted odds by {odds:.2g}"


def describe(result: Pruned, summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Describe the result, line by line."""
    import numpy as np

    from unseen.core.table import meaning
    from unseen.evaluating.automatic import describe_evidence
    from unseen.rules.registry import spec_of

    n, kept, name = summary["n"], summary["kept"], summary["score"]
    low, middle, high = np.nanpercentile(result.scores.column(name), [5, 50, 95])
    lines = [
        ("kept", f"{kept:,} of {n:,} samples ({percent(kept / n)}), {n - kept:,} pruned, by {spec_of(result.coreset)}"),
        ("score", f"{name}, {meaning(summary['direction'])}: median {middle:.3g}, 90 % in {low:.3g} .. {high:.3g}"),
    ]
    lines += describe_classes(result.scores, result.coreset)
    if "outliers" in summary:
        out = f"{summary['outliers']:,} left out, far above the median {name}" if summary["outliers"] else "none"
        lines.append(("outliers", f"{out}; the coreset is drawn at random from the others"))
    if AUTO in summary:
        lines.insert(0, (AUTO, describe_evidence(summary[AUTO])))
    if summary["reliability"] is not None:
        note = result.scores.reliability_note(name)
        said = f"reliability of the mean score {summary['reliability']:.2f}"
        lines.append(("repeats", f"{said}, {note}" if note else said))
    lines += describe_models(result.scores)
    if "r2" in summary:
        half = f"off by {summary['median_error']:.3g} or less for half of the samples"
        lines.append(("models", f"{result.scores.exposure} R² {percent(summary['r2'])}, {half}"))
    if summary.get("cut_off", 0.0) > (n - kept) / n / 2:  # strata have little left to choose
        left, wrong = percent(summary["cut_off"]), percent(1.0 - summary["accuracy"])
        lines.append(("hardest", f"{left} left out, since models got {wrong} of the labels wrong; {WEAK}"))
    if "label_errors_kept" in summary:
        lines.append(("labels", describe_disagreement(result.scores, summary)))
    if "paid" in summary:
        lines.append(("price", f"by samples seen, {summary['paid']}"))
    return [*lines, ("table", summary["scores"]), ("coreset", summary["coreset"])]
