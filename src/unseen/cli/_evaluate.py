"""`unseen evaluate`: what training on the coresets of runs costs, beside full and random."""

from __future__ import annotations

import os
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import unseen
from unseen.cli import _options as o
from unseen.cli._console import Reporter, print_json, print_lines, print_table, write_page
from unseen.core.words import duration
from unseen.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from unseen.core.coreset import Coreset
    from unseen.core.protocols import Data

MOST_CLASSES = 3  # listed for a coreset, worst first


@o.subcommand("out_dir learner test seeds fix margin baseline jobs threads yes no_report quiet json")
def evaluate(
    *,
    runs: list[Path] = o.argument(
        "RUN...",
        "Directories of runs on one data set. Runs that differ only in their seed are replicates of one method.",
    ),
    out_dir: Path = o.OUT,
    testing: o.TestOptions,
    learner: list[str] | None = o.option(
        "LEARNER",
        "Learner that is trained; repeat for several, each with its verdict and a subfolder of RUN.",
        o.TRAINING,
        shown="that of the first run",
    ),
    test_split: str | None = o.option("NAME", "Rows of the test set whose column 'split' has this value.", o.DATA),
    margin: float = o.MARGIN,
    level: float = o.option(
        "LEVEL", "Confidence level of the intervals; tests are at 1 - level.", o.COMPARISON, default=0.95
    ),
    baseline: list[str] | None = o.option(
        "NAME",
        "full, random, random-stratified, dedup (needs --features); repeat for several.",
        o.COMPARISON,
        shown="all possible",
    ),
    features: Path | None = o.option("FILE", "A .npy file (n, d) of the training set, for dedup.", o.COMPARISON),
    running: o.RunOptions,
    showing: o.PageOptions,
) -> None:
    """Train on coresets and on baselines, and measure what training on less data costs in accuracy.

    The data set is that of the runs; the test set is read with the same options. Accuracies are those after the last
    epoch. Repeat the command with more --seeds to train only the additional ones.

    Examples:
      unseen evaluate runs/photos --test holdout/ --out runs/photos-eval
      unseen evaluate runs/s0 runs/s1 --seeds 2 --fix iterations --out runs/method
      unseen evaluate runs/digits --learner logistic --learner forest --out runs/two
    """
    given = dict(locals())
    from unseen.engine.runs import RunDirectory
    from unseen.engine.runs.commands import command_of, options_of

    places = [Path(run) for run in runs]
    absolute = [str(place.absolute()) for place in places]
    RunDirectory(places[0]).manifest()  # no run, or a damaged one, is an error of its own
    source, asked = _open_data(places[0], testing.test, test_split)
    learners: list[str | None] = list(dict.fromkeys(learner or ()))
    learners = learners or [options_of(places[0], learner=True).get("learner")]
    above = None
    if len(learners) > 1:
        above = (out_dir, command_of("evaluate", given, runs=absolute, learner=learners))
    folders = _choose_folders(out_dir, learners, source)
    for who, folder in folders.items():
        with Reporter("evaluate", given, source, run=folder, above=above, runs=absolute, learner=who) as report:
            unseen.evaluate(
                source,
                coresets=_group_by_method(places),
                test=asked,
                baselines=baseline,
                margin=margin / 100,
                level=level,
                features=o.read_features(features),
                **testing.arguments(),
                **report.shared(),
            )
    print_evaluations(out_dir, list(folders.values()), json=showing.json, no_report=showing.no_report)


def _choose_folders(out_dir: Path, learners: list[str | None], source: Data) -> dict[str | None, Path]:
    """Return where the evaluation of each learner is kept; refuse a learner that does not exist before any trains."""
    if len(learners) == 1:
        return {learners[0]: out_dir}
    from unseen.evaluating.methods import slug
    from unseen.learners.registry import resolve

    for name in learners:
        resolve(name, source)
    return {name: out_dir / slug(str(name)) for name in learners}


def print_evaluations(run: Path, folders: list[Path] | None = None, *, json: bool, no_report: bool) -> None:
    """Print the results of a run, or of its folders (one a learner), after their pages are written."""
    results = {folder: unseen.Evaluation.load(folder) for folder in folders or [run]}
    summaries: list[dict[str, Any]] = []
    for folder in results:
        page = None if no_report else write_page(folder)
        summaries.append({"run": str(folder), **({} if page is None else {"report": str(page)})})
    if json:
        found = [{**files, **one.summary()} for files, one in zip(summaries, results.values(), strict=True)]
        print_json(found[0] if len(found) == 1 else {"run": str(run), "evaluations": found})
        return
    rows = [row for one in results.values() for row in one.rows()]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    print_table(columns, [[row.get(column, "") for column in columns] for row in rows])
    for files, (folder, one) in zip(summaries, results.items(), strict=True):
        show(one, folder, files.get("report"), headline=len(results) > 1)


def show(found: unseen.Evaluation, run: Path, page: str | None, *, headline: bool) -> None:
    """Print the results of each coreset, under the name of the learner where there are several."""
    from unseen.evaluating.statistics import PLURALS

    about, error = found.about, 100 * max(arm.error for arm in found.arms)
    lines = [
        *([("trained", found.trainee)] if headline else []),
        ("fixed", f"{about['fix']}; lossless: within {100 * about['margin']:g} points"),
        ("test", f"{about['test']['text']}; standard error of the test set ± {error:.1f} points"),
    ]
    lines += [] if (doubt := found.doubt()) is None else [("doubt", doubt)]
    for name in found.coresets:
        covers = found.covers(name)
        known = not isnan(found.accuracy(name).half)
        lines.append((name, f"interval of {covers}" if known else f"no interval; it would cover {covers}"))
        lines += [("", f"against {to}: {found.verdict(name, to).text}") for to in found[name].beside]
        if "full" in found[name].beside:
            worst = list(found.by_class(name).items())[:MOST_CLASSES]
            lines.append(
                ("", f"{PLURALS[found.noun]} against full: " + ", ".join(f"{c} {100 * v:+.1f}" for c, v in worst))
            )
        price = found.price(name)
        lines += [("", text) for text in (_describe_price(price), price["text"]) if text]
    lines.append(("near", about["near_duplicates"]["text"]))
    lines += [("note", note) for note in about["notes"]]
    lines.append(("table", str(run / "evaluation.parquet")))
    print_lines([*lines, *([] if page is None else [("report", page)])])


def _describe_price(price: dict[str, Any]) -> str:
    told = [
        f"{word} {duration(price[key]['seconds'])}"
        + ("" if price[key]["samples"] is None else f", {price[key]['samples']:,.0f} samples seen")
        for word, key in (("choosing", "choosing"), ("training", "training"), ("training on all", "training_full"))
        if price[key] is not None
    ]
    return "; ".join(told)


def _open_data(run: Path, test: str | None, test_split: str | None) -> tuple[Data, Data | None]:
    """Read the data set of a run, and the test set by the same options."""
    from unseen.data import resolve
    from unseen.data.sources import resolve_like
    from unseen.engine.runs.commands import data_of_run, ignore_reading_warnings

    own, read = data_of_run(run)
    if Path(own).is_absolute() and not os.path.lexists(own):
        raise DataError(
            f"{run} read {own}, which is not there any more; in Python, unseen.evaluate(data, coresets={str(run)!r}) "
            "takes it from elsewhere"
        )
    with ignore_reading_warnings():
        source = resolve(own, cache=run, **read)
    if test is None and test_split is None:
        return source, None
    place, read = own if test is None else test, {**read, "split": test_split}
    try:
        return source, resolve_like(place, source, cache=run, **read)
    except UnknownNameError:  # a test set needs no ids and groups, but where it has them, they are no features
        return source, resolve_like(place, source, cache=run, **{**read, "id": None, "group": None})


def _group_by_method(places: list[Path]) -> dict[str, list[Path]]:
    """Group runs whose configurations differ in nothing but the seed, and name each group."""
    from unseen.engine.runs import RunDirectory
    from unseen.engine.runs.base import digest_of
    from unseen.evaluating.evaluation import coreset_of

    methods: dict[str, list[Path]] = {}
    for place in places:
        run = RunDirectory(place)
        methods.setdefault(digest_of(_drop_seeds(run.manifest(), coreset_of(run))), []).append(place)
    named: dict[str, list[Path]] = {}
    for group in methods.values():
        folder = os.fsencode(group[0].absolute().name).decode(errors="replace")  # it may be no UTF-8
        name = folder + (f" and {len(group) - 1} more" if len(group) > 1 else "")
        while name in named:  # runs of one name in different folders
            name += "'"
        named[name] = group
    return named


def _drop_seeds(manifest: dict[str, Any], coreset: Coreset) -> dict[str, Any]:
    """Return the configurations of a run and of its coreset, without seeds and what follows from them."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(item) for key, item in value.items() if key != "seed"}
        return [without(item) for item in value] if isinstance(value, list) else value

    provenance = {key: value for key, value in coreset.provenance.items() if key not in ("quota", "found")}
    return {"manifest": without(manifest), "coreset": without(provenance)}
