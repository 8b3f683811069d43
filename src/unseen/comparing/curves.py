"""What a sweep found: one row a cell, its summary, a table and a figure of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from unseen.atomic import replace_file
from unseen.cards import card, tabled
from unseen.parquet import read_parquet, write_parquet
from unseen.verdicts import interval, paired

__all__ = ["FILE", "Cell", "Sweep"]

FILE = "sweep.parquet"  # in the directory of a run
FULL = "full"
_MARKS = "osv^Dx+*<>"


@dataclass(frozen=True)
class Cell:
    """One coreset, trained on and tested.

    Args:
        method: the line that names it.
        plan: its plan, empty where it reads no scores.
        score: its score, likewise.
        rule: its rule, empty for everything.
        keep: share kept.
        budget: count kept.
        replicate: counted from 0.
        accuracy: on the test rows after the last epoch.
        loss: mean negative log-probability of the label on them.
        samples_seen: training samples passed over, epochs counted.

    """

    method: str
    plan: str
    score: str
    rule: str
    keep: float
    budget: int
    replicate: int
    accuracy: float
    loss: float
    samples_seen: int


@dataclass(frozen=True, eq=False)
class Sweep:
    """The cells of a sweep, tidy: one row each.

    Args:
        columns: name to (cells,) array, the fields of `Cell`.
        about: data, learners, what was fixed, where the test rows come from; as JSON.
        times: float64 (cells,) `"seconds"` of the training on the coreset, and `"scoring_seconds"` of the trainings
            that choosing it took, which all cells of the plan and replicate share. They differ from run to run, so
            they are in the event log and not in the file; empty where it was loaded from one.

    """

    columns: dict[str, npt.NDArray[Any]]
    about: dict[str, Any]
    times: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, cells: Sequence[Cell], about: dict[str, Any], times: dict[str, npt.NDArray[np.float64]] | None = None
    ) -> Self:
        """From the cells."""
        rows = [asdict(cell) for cell in cells]
        columns = {each.name: np.array([row[each.name] for row in rows]) for each in fields(Cell)}
        return cls(columns, about, times or {})

    def __len__(self) -> int:
        return len(self.columns["method"])

    @property
    def methods(self) -> list[str]:
        """The methods, in the order they were named."""
        return list(dict.fromkeys(self.columns["method"].tolist()))

    @property
    def budgets(self) -> list[int]:
        """The budgets below everything, largest first."""
        return sorted({b for b in self.columns["budget"].tolist() if b < self.about["n"]}, reverse=True)

    def accuracies(self, method: str, budget: int) -> npt.NDArray[np.float64]:
        """The accuracies of a method at a budget, by replicate, float64 (R,); empty where it was not tried.

        `"full"` answers for any budget: it is one.
        """
        mine = self.columns["method"] == method
        if method != FULL:
            mine &= self.columns["budget"] == budget
        rows = np.flatnonzero(mine)
        ordered = rows[np.argsort(self.columns["replicate"][rows], kind="stable")]
        accuracies: npt.NDArray[np.float64] = self.columns["accuracy"][ordered]
        return accuracies

    def __repr__(self) -> str:
        replicates = len(set(self.columns["replicate"].tolist()))
        return (
            f"Sweep({len(self.methods)} methods at {_many(len(self.budgets), 'budget')}, "
            f"{_many(replicates, 'replicate')}; tested on {self.about['n_test']:,} samples)"
        )

    def _repr_html_(self) -> str:
        rows = [{"method": method, **{self._pruned(b): self.entry(method, b) for b in self.budgets}}
                for method in self.methods]  # fmt: skip
        return card(repr(self), [], tabled(rows))

    def markdown(self) -> str:
        """A table: accuracy in percent with its interval, by method and share pruned, and its difference to random."""
        head = ["method", *(self._pruned(b) for b in self.budgets)]
        lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        for method in self.methods:
            entries = [self.entry(method, budget) for budget in self.budgets]
            lines.append("| " + " | ".join([f"`{method}`", *entries]) + " |")
        return "\n".join([*lines, "", self.caption()])

    def figure(self, path: str | Path) -> Path:
        """Draw the pruning curve: accuracy against the share pruned, with intervals; the suffix says the format.

        Equal sweeps give equal bytes.
        """
        import matplotlib as mpl
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.subplots()
        for mark, method in zip(_MARKS * len(self.methods), (m for m in self.methods if m != FULL), strict=False):
            shares, means, errors = self._curve(method)
            line = "--" if method == "random" else "-"
            axes.errorbar(shares, means, yerr=errors, marker=mark, linestyle=line, capsize=3, label=method)
        everything = interval(100 * self.accuracies(FULL, 0))
        axes.axhline(everything.mean, color="grey", label=FULL)
        if not np.isnan(everything.half):
            axes.axhspan(everything.low, everything.high, color="grey", alpha=0.15)
        axes.set_xlabel("pruned, %")
        axes.set_ylabel("test accuracy, %")
        axes.legend(fontsize="small")
        path = Path(path)
        kind = path.suffix.removeprefix(".") or "png"
        undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        with mpl.rc_context({"svg.hashsalt": "unseen"}):
            replace_file(path, lambda file: figure.savefig(file, format=kind, metadata=undated.get(kind)))
        return path

    def save(self, path: str | Path) -> Path:
        """Write a parquet file, one row a cell; what it is about is in its metadata."""
        return write_parquet(Path(path), self.columns, {"kind": "sweep", **self.about})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote."""
        columns, about = read_parquet(Path(path), "sweep")
        # Files of older versions hold them.
        times: dict[str, npt.NDArray[np.float64]]
        times = {name: columns.pop(name) for name in ("seconds", "scoring_seconds") if name in columns}
        return cls(columns, about, times)

    def entry(self, method: str, budget: int) -> str:
        """One entry of the table; empty where the method was not tried at this budget."""
        mine, beside = self.accuracies(method, budget), self.accuracies("random", budget)
        if not len(mine):
            return ""
        text = interval(mine).text()
        if method in (FULL, "random") or len(mine) != len(beside):
            return text
        change = paired(mine, beside)
        return f"{text} ({change.text(sign=True).split()[0]}{' *' if change.low > 0 or change.high < 0 else ''})"

    def caption(self) -> str:
        """What the numbers are, in words."""
        about = self.about
        return (
            f"Accuracy in %, after the last epoch, on {about['n_test']:,} samples ({about['test']}); {about['fix']} "
            f"fixed; chosen by {about['learner']}, trained {about['trainee']}; mean ± half of the "
            f"95 % interval over replicates that redraw scoring, selection and training. In "
            "brackets the paired difference to random, * where its interval excludes 0."
        )

    def _pruned(self, budget: int) -> str:
        return f"{100 * (1 - budget / self.about['n']):.3g} % pruned"

    def _curve(self, method: str) -> tuple[list[float], list[float], list[float]]:
        shares, means, errors = [], [], []
        for budget in self.budgets:
            found = self.accuracies(method, budget)
            if len(found):
                around = interval(100 * found)
                shares.append(100 * (1 - budget / self.about["n"]))
                means.append(around.mean)
                errors.append(0.0 if np.isnan(around.half) else around.half)
        return shares, means, errors


def _many(count: int, one: str) -> str:
    return f"{count} {one}{'' if count == 1 else 's'}"
