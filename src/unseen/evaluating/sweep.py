"""The verb `sweep`: try methods at several budgets, several times each; and `Sweep`, its result.

A cell is one method at one budget in one replicate: a coreset is chosen, a model trained on it and tested. `Sweep`
holds one row a cell, and makes a table and a figure of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, Unpack

import numpy as np
import numpy.typing as npt

from unseen.core.cards import card, tabled
from unseen.core.checks import at_least, check_list
from unseen.core.files import read_parquet, replace_file, write_parquet
from unseen.core.words import many
from unseen.engine import runs
from unseen.engine.runs.base import spent
from unseen.engine.work import Outcome
from unseen.errors import ArgumentError
from unseen.evaluating.methods import FULL, Method, usual_methods
from unseen.evaluating.result import markdown_table
from unseen.evaluating.statistics import Interval, doubt_accuracy, interval, paired
from unseen.evaluating.trials import CellKey, TrialOptions, Trials, open_train_and_test, split_train_test
from unseen.learners.base import in_words
from unseen.rules.budgets import amounts

BASELINES = (FULL, "random")
FILE = "sweep.parquet"  # in the directory of a run
_MARKS = "osv^Dx+*<>"  # of the methods in the figure


@dataclass(frozen=True)
class Cell:
    """The result of training on one coreset and testing."""

    method: str  # the line that names the method
    plan: str  # the plan of the method; empty where it reads no scores
    score: str  # the score of the method; empty where it reads no scores
    rule: str  # the rule of the method; empty for everything
    keep: float  # the share kept
    budget: int  # the count kept
    replicate: int  # counted from 0
    accuracy: float  # the accuracy on the test rows after the last epoch; R² for a target
    loss: float  # the mean loss of the test rows: negative log-probability of the label, or squared error of a target
    samples_seen: int  # training samples passed over, epochs counted


@dataclass(frozen=True, eq=False)
class Sweep:
    """The cells of a sweep as a tidy table, one row each.

    Args:
        columns: name to (cells,) array, the fields of `Cell`.
        about: data, learners, what was fixed, where the test rows come from; as JSON.
        times: float64 (cells,) `"seconds"` of the training on the coreset. They differ from run to run, so they are in
            the event log and not in the file; empty in a sweep that was loaded from a file.
    """

    columns: dict[str, npt.NDArray[Any]]
    about: dict[str, Any]
    times: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, cells: Sequence[Cell], about: dict[str, Any], times: dict[str, npt.NDArray[np.float64]] | None = None
    ) -> Self:
        """Make a table of the cells."""
        rows = [asdict(cell) for cell in cells]
        columns = {each.name: np.array([row[each.name] for row in rows]) for each in fields(Cell)}
        return cls(columns, about, times or {})

    def __len__(self) -> int:
        return len(self.columns["method"])

    @property
    def methods(self) -> list[str]:
        """The methods, in the order in which they were named."""
        return list(dict.fromkeys(self.columns["method"].tolist()))

    @property
    def budgets(self) -> list[int]:
        """The budgets below everything, largest first."""
        return sorted({b for b in self.columns["budget"].tolist() if b < self.about["n"]}, reverse=True)

    @property
    def metric(self) -> Literal["accuracy", "R²"]:
        """The name of what `accuracies` are."""
        return "R²" if self.about.get("target") else "accuracy"

    def accuracies(self, method: str, budget: int) -> npt.NDArray[np.float64]:
        """Return the accuracies of a method at a budget, by replicate, float64 (R,); empty where it was not tried.

        `"full"` has one budget, which is returned whatever budget is asked for.
        """
        of_method = self.columns["method"] == method
        if method != FULL:
            of_method &= self.columns["budget"] == budget
        rows = np.flatnonzero(of_method)
        ordered = rows[np.argsort(self.columns["replicate"][rows], kind="stable")]
        accuracies: npt.NDArray[np.float64] = self.columns["accuracy"][ordered]
        return accuracies

    def __repr__(self) -> str:
        replicates = len(set(self.columns["replicate"].tolist()))
        return (
            f"Sweep({len(self.methods)} methods at {many(len(self.budgets), 'budget')}, "
            f"{many(replicates, 'replicate')}; tested on {self.about['n_test']:,} samples)"
        )

    def _repr_html_(self) -> str:
        return card(repr(self), [], tabled(self.rows()))

    def rows(self) -> list[dict[str, str]]:
        """Return the table as texts, one row a method: its entry at each share pruned."""
        heads = {budget: f"{100 * (1 - budget / self.about['n']):.3g} % pruned" for budget in self.budgets}
        return [
            {"method": method, **{head: self.entry(method, budget) for budget, head in heads.items()}}
            for method in self.methods
        ]

    def markdown(self) -> str:
        """Format a table by method and share pruned: accuracy in per cent, interval, and difference to random."""
        rows = [{**row, "method": f"`{row['method']}`"} for row in self.rows()]
        return f"{markdown_table(rows)}\n\n{self.caption()}"

    def figure(self, path: str | Path) -> Path:
        """Draw the pruning curve: accuracy against the share pruned, with intervals.

        The suffix of `path` decides the format. Equal sweeps give equal bytes.
        """
        import matplotlib as mpl
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.subplots()
        for mark, method in zip(_MARKS * len(self.methods), (m for m in self.methods if m != FULL), strict=False):
            shares, means, errors = self.curve(method)
            line = "--" if method == "random" else "-"
            axes.errorbar(shares, means, yerr=errors, marker=mark, linestyle=line, capsize=3, label=method)
        everything = interval(100 * self.accuracies(FULL, 0))
        axes.axhline(everything.mean, color="grey", label=FULL)
        if not np.isnan(everything.half):
            axes.axhspan(everything.low, everything.high, color="grey", alpha=0.15)
        axes.set_xlabel("pruned, %")
        axes.set_ylabel(f"test {self.metric}, %")
        axes.legend(fontsize="small")
        path = Path(path)
        kind = path.suffix.removeprefix(".") or "png"
        undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        with mpl.rc_context({"svg.hashsalt": "unseen"}):
            replace_file(path, lambda file: figure.savefig(file, format=kind, metadata=undated.get(kind)))
        return path

    def save(self, path: str | Path) -> Path:
        """Write a parquet file, one row a cell, with `about` in its metadata."""
        return write_parquet(Path(path), self.columns, {"kind": "sweep", **self.about})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file written by `save`."""
        columns, about = read_parquet(Path(path), "sweep")
        # Files of older versions hold times, too.
        times = {str(name): columns.pop(name) for name in ("seconds", "scoring_seconds") if name in columns}
        return cls(columns, about, times)

    def to_random(self, method: str, budget: int) -> Interval | None:
        """Return the difference in accuracy to random, paired by replicate; None where they have no such pairs."""
        accuracies, random = self.accuracies(method, budget), self.accuracies("random", budget)
        return paired(accuracies, random) if len(accuracies) == len(random) > 0 and method != "random" else None

    def entry(self, method: str, budget: int) -> str:
        """Format one entry of the table; empty where the method was not tried at this budget."""
        accuracies = self.accuracies(method, budget)
        if not len(accuracies):
            return ""
        text, change = interval(accuracies).text(), self.to_random(method, budget)
        if method == FULL or change is None:
            return text
        return f"{text} ({change.text(sign=True).split()[0]}{' *' if change.low > 0 or change.high < 0 else ''})"

    def caption(self) -> str:
        """Describe the numbers of the table in words."""
        about = self.about
        trainee = in_words({"learner": about["trainee"]})
        doubt = doubt_accuracy(float(self.accuracies(FULL, 0).mean()), about.get("of_class"), trainee)
        told = "" if doubt is None else f" {doubt[0].upper()}{doubt[1:]}."
        return (
            f"{self.metric.capitalize()} in %, after the last epoch, on {about['n_test']:,} samples ({about['test']}); "
            f"{about['fix']} fixed; chosen by {about['learner']}, trained {about['trainee']}; mean ± half of the 95 % "
            "interval over replicates that redraw scoring, selection and training. In brackets the paired difference "
            f"to random, * where its interval excludes 0.{told}"
        )

    def curve(self, method: str) -> tuple[list[float], list[float], list[float]]:
        """Return shares pruned, mean accuracies and half intervals (0 where not known), in per cent, of a method."""
        shares, means, errors = [], [], []
        for budget in self.budgets:
            accuracies = self.accuracies(method, budget)
            if len(accuracies):
                mean = interval(100 * accuracies)
                shares.append(100 * (1 - budget / self.about["n"]))
                means.append(mean.mean)
                errors.append(float(np.nan_to_num(mean.half)))
        return shares, means, errors


def sweep(
    data: Any,
    y: npt.ArrayLike | None = None,
    *,
    methods: Sequence[str | Method] | None = None,
    keep: Sequence[float | str] | None = None,
    prune: Sequence[float | str] | None = None,
    seeds: int = 3,
    seed: int | None = 0,
    out: str | Path | None = None,
    **options: Unpack[TrialOptions],
) -> Sweep:
    """Compare methods at several budgets with random selection and with training on everything.

    Every replicate repeats scoring, selection and training with new seeds; methods with the same plan share its
    scorings. Accuracies are measured after the last epoch. The same call with the same `out` continues after a kill;
    with more methods, budgets or seeds it adds those.

    Args:
        data: the data set to choose from: anything `unseen.data.resolve` takes.
        y: (n,) labels, where `data` is an array of inputs.
        methods: texts `"plan/score/rule"`; see `unseen.evaluating.methods.Method`. `"full"` and `"random"` are always
            included. The default compares that of `prune` with CCS, the best in-sample peer.
        keep: fractions or counts kept. Exactly one of keep and prune.
        prune: fractions or counts removed.
        seeds: the number of replicates, at least 2 for intervals.
        seed: the root seed, or None to draw one.
        out: a directory that keeps the cells.
        **options: the test set, learners, where they run, and how data is read; see
            `unseen.evaluating.trials.TrialOptions` and `unseen.score`.

    Raises:
        ArgumentError: a method, budget or learner that cannot work; before any training.
        RunMismatchError: `out` holds a sweep of other data, learners or seed.

    Example:
        >>> import unseen
        >>> result = unseen.sweep("digits", methods=["el2n/top"], keep=[0.5], learner="logistic", seeds=2)
        >>> result
        Sweep(3 methods at 1 budget, 2 replicates; tested on 360 samples)
    """
    if methods is not None:
        check_list("methods", methods, "lines 'plan/score/rule'")
        if not methods:
            raise ArgumentError("methods must be a list of at least one line 'plan/score/rule', got none")
    at_least("seeds", seeds, 1)
    seed = runs.seed_of(out, seed)
    with runs.open_run(out) as run:
        source, test, left = open_train_and_test(sweep, data, y, options, cache=out)
        train, tested, origin = split_train_test(source, test, seed, left)
        asked = usual_methods(left.get("learner"), train) if methods is None else methods
        lines = list({method.text: method for method in map(Method.of, (*BASELINES, *asked))}.values())
        trials = Trials(train, tested, lines, run=run, about={"verb": "sweep", "test": origin}, seed=seed, **left)
        budgets = _read_budgets(trials, keep, prune)
        for method in lines:
            for budget in budgets:
                trials.check(method, budget, range(seeds))
        trials.open()
        tried = [(one, budget) for one in lines for budget in (budgets if one.rule else [len(train)])]
        trials.announce(
            ("cells", f"{len(lines)} methods at {len(budgets)} budgets, {seeds} replicates"),
            scorings=seeds * trials.scorings(lines, budgets),
            tests=seeds * len(tried),
            epochs=seeds * sum(trials.epochs(budget) for _, budget in tried),
            held=trials.held(tried, seeds),
        )
        with trials.scorer.session():
            together = trials.executor.jobs or seeds  # so that an interrupted sweep holds whole replicates
            outcomes: dict[CellKey, Outcome] = {}
            for first in range(0, seeds, together):
                outcomes |= trials.outcomes(tried, range(first, min(first + together, seeds)))
        ordered = sorted(outcomes.items(), key=lambda cell: (lines.index(cell[0][0]), -cell[0][1], cell[0][2]))
        cells = [
            Cell(
                method=method.text,
                plan=method.plan or "",
                score=method.score or "",
                rule=method.rule or "",
                keep=budget / len(train),
                budget=budget,
                replicate=replicate,
                accuracy=outcome.accuracy,
                loss=float(outcome.losses.mean()),
                samples_seen=outcome.samples_seen,
            )
            for (method, budget, replicate), outcome in ordered
        ]
        took = spent(run.events())
        seconds = np.array([took.get(trials.name(*one), np.nan) for one, _ in ordered])  # NaN: a line was lost
        return run.save_output(FILE, Sweep.of(cells, trials.about(origin), {"seconds": seconds}))


def _read_budgets(trials: Trials, keep: Sequence[float | str] | None, prune: Sequence[float | str] | None) -> list[int]:
    if (keep is None) == (prune is None):
        raise ArgumentError("give exactly one of keep= and prune=, each a list of fractions or counts")
    for name, given in (("keep", keep), ("prune", prune)):
        if given is not None:
            check_list(name, given, "fractions or counts")
    kept = [amounts(keep=value, prune=None) for value in keep or ()]
    pruned = [amounts(keep=None, prune=value) for value in prune or ()]
    budgets = {trials.budget(**amount) for amount in (*kept, *pruned)}
    if not budgets:
        raise ArgumentError(f"{'keep' if prune is None else 'prune'} must name at least one amount, got none")
    return sorted(budgets, reverse=True)
