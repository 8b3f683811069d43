"""`unseen evaluate`: what training on the coresets of runs costs, beside full and random."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from typing import Annotated, Any

import typer

import unseen
from unseen.cli import _options as o
from unseen.cli._console import Reporter, aligned, grid, print_json
from unseen.cli._report import NoReport, written
from unseen.core.coreset import Coreset
from unseen.core.protocols import Data
from unseen.data import resolve
from unseen.engine.runs import RunDirectory
from unseen.engine.runs.commands import learner_of, read_by
from unseen.engine.runs.manifest import digest_of
from unseen.errors import ArgumentError, UnknownNameError
from unseen.evaluating.prices import duration

COMPARISON = "Comparison"
MOST_CLASSES = 3  # told of a coreset, worst first

Runs = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN...",
        help="Directories of runs on one data set. Runs that differ only in their seed are replicates of one method.",
    ),
]
TestSplit = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Rows of the test set whose column 'split' has this value.", rich_help_panel=o.DATA
    ),
]
Margin = Annotated[
    float,
    typer.Option(metavar="POINTS", help="The loss that counts as none, in points.", rich_help_panel=COMPARISON),
]
Level = Annotated[
    float, typer.Option(metavar="LEVEL", help="Of the intervals; tests are at 1 - level.", rich_help_panel=COMPARISON)
]
Baseline = Annotated[
    list[str] | None,
    typer.Option(
        "--baseline",
        metavar="NAME",
        help="full, random, random-stratified, dedup (needs --features); repeat for several. [default: all possible]",
        rich_help_panel=COMPARISON,
    ),
]
Features = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A .npy file (n, d) of the training set, for dedup.", rich_help_panel=COMPARISON),
]
Trained = Annotated[
    str | None,
    typer.Option(
        "--learner",
        metavar="LEARNER",
        help="Who is trained; default: who scored in the first run.",
        rich_help_panel=o.WORK,
    ),
]


def command(
    runs: Runs,
    out_dir: o.Out,
    test: o.Test = None,
    test_split: TestSplit = None,
    probe: o.Probe = 0.2,
    learner: Trained = None,
    seeds: o.Seeds = 5,
    fix: o.Fixed = "epochs",
    margin: Margin = 0.5,
    level: Level = 0.95,
    baseline: Baseline = None,
    overlap: o.Overlap = "refuse",
    features: Features = None,
    seed: o.Seed = 0,
    executor: o.Executor = "local",
    address: o.Address = None,
    jobs: o.JobsOrNone = None,
    threads: o.Threads = None,
    verify: o.Verify = "cheap",
    log: o.Log = None,
    no_report: NoReport = False,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Train on the coresets of runs and on their baselines, and say what training on less costs.

    The data set is that of the runs; the test set is read by the same options. Accuracies are those after the last
    epoch. More seeds may be asked of the same --out later: only those are trained.

    Examples:
      unseen evaluate runs/photos --test holdout/ --out runs/photos-eval
      unseen evaluate runs/s0 runs/s1 --seeds 2 --fix iterations --out runs/method
    """
    given = dict(locals())
    places = [Path(run) for run in runs]
    given["runs"] = [str(place.absolute()) for place in places]
    RunDirectory(places[0]).manifest()  # no run, or a damaged one, is an error of its own
    source, asked = _data(places[0], test, test_split)
    given["learner"] = learner = learner or learner_of(places[0])
    with Reporter(quiet=quiet or json, run=out_dir, command=o.remembered("evaluate", given)) as report:
        found = unseen.evaluate(
            source,
            coresets=_methods(places),
            test=asked,
            probe=probe,
            baselines=baseline,
            learner=learner,
            seeds=seeds,
            fix=fix,
            margin=margin / 100,
            level=level,
            overlap=overlap,
            features=None if features is None else o.array(Path(features)),
            seed=seed,
            out=out_dir,
            executor=o.executor_at(executor, address),
            jobs=jobs,
            threads=threads,
            verify=verify,
            report=report,
        )
    tell(found, out_dir, json=json, no_report=no_report)


def tell(found: unseen.Evaluation, run: Path, *, json: bool, no_report: bool) -> None:
    """The result, after its report is written."""
    page = written(run, skip=no_report)
    files = {"run": str(run), **({} if page is None else {"report": str(page)})}
    if json:
        print_json({**files, **found.summary()})
    else:
        show(found, run)
        if page is not None:
            aligned([("report", str(page))])


def shown(run: Path, *, json: bool, no_report: bool) -> None:
    """What a finished run holds."""
    tell(unseen.Evaluation.load(run), run, json=json, no_report=no_report)


def show(found: unseen.Evaluation, run: Path) -> None:
    """The table, then what there is to say of each coreset."""
    rows = found.rows()
    grid(list(rows[0]), [list(row.values()) for row in rows])
    about = found.about
    lines = [
        ("fixed", f"{about['fix']}; lossless: within {100 * about['margin']:g} points"),
        (
            "test",
            f"{about['test']['text']}; that it is a sample makes ± {_points(max(arm.error for arm in found.arms))}",
        ),
    ]
    for name in found.coresets:
        covers = found.covers(name)
        known = not isnan(found.accuracy(name).half)
        lines.append((name, f"interval of {covers}" if known else f"no interval; it would cover {covers}"))
        lines += [("", f"against {to}: {found.verdict(name, to).text}") for to in found[name].beside]
        if "full" in found[name].beside:
            worst = list(found.by_class(name).items())[:MOST_CLASSES]
            lines.append(("", "classes against full: " + ", ".join(f"{c} {100 * v:+.1f}" for c, v in worst)))
        price = found.price(name)
        lines += [("", text) for text in (_spent(price), price["text"]) if text]
    lines.append(("near", about["near_duplicates"]["text"]))
    lines += [("note", note) for note in about["notes"]]
    aligned([*lines, ("table", str(run / "evaluation.parquet"))])


def _points(error: float) -> str:
    return f"{100 * error:.1f} points (standard error)"


def _spent(price: dict[str, Any]) -> str:
    told = [
        f"{word} {duration(price[key]['seconds'])}"
        + ("" if price[key]["samples"] is None else f", {price[key]['samples']:,.0f} samples seen")
        for word, key in (("choosing", "choosing"), ("training", "training"), ("training on all", "training_full"))
        if price[key] is not None
    ]
    return "; ".join(told)


def _data(run: Path, test: str | None, test_split: str | None) -> tuple[Data, Data | None]:
    """The data set of a run, and the test set, read by the same options."""
    own, read = read_by(run)
    source = resolve(own, **read)
    if test is None and test_split is None:
        return source, None
    place = own if test is None else test
    read.pop("split", None)
    if test_split is not None:
        read["split"] = test_split
    try:
        return source, resolve(place, **read)
    except UnknownNameError:  # a test set needs no ids and groups; but where it has them, they are no features
        for name in ("id", "group"):
            read.pop(name, None)
        return source, resolve(place, **read)


def _methods(places: list[Path]) -> dict[str, list[Path]]:
    """The runs by method: those whose configurations are equal but for the seed belong together."""
    methods: dict[str, list[Path]] = {}
    for place in places:
        run = RunDirectory(place)
        coreset = run.coreset()
        if coreset is None:
            raise ArgumentError(
                f"{place} holds no coreset yet: finish it by `unseen resume`, or choose by `unseen select`"
            )
        methods.setdefault(digest_of(_seedless(run.manifest(), coreset)), []).append(place)
    named: dict[str, list[Path]] = {}
    for group in methods.values():
        name = group[0].absolute().name + (f" and {len(group) - 1} more" if len(group) > 1 else "")
        while name in named:  # runs of one name in different folders
            name += "'"
        named[name] = group
    return named


def _seedless(manifest: dict[str, Any], coreset: Coreset) -> dict[str, Any]:
    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(item) for key, item in value.items() if key != "seed"}
        return [without(item) for item in value] if isinstance(value, list) else value

    provenance = {key: value for key, value in coreset.provenance.items() if key not in ("quota", "found")}
    return {"manifest": without(manifest), "coreset": without(provenance)}
