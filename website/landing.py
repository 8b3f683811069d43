"""The table of the landing page, from the results of the study: the default, the same in-sample, random, everything."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PLACE = "<!-- results -->"
DEFAULT, IN_SAMPLE = "folds:k=5/el2n/stratified:cutoff=error", "seen/el2n/stratified:cutoff=error"
DATA = {"cifar10": "CIFAR‑10", "sst2": "SST‑2", "adult": "Adult", "digits": "digits"}
SHARES = (0.3, 0.8)  # pruned; of all data sets


def filled(markdown: str) -> str:
    """The page with the table in its place."""
    if PLACE not in markdown:
        raise ValueError(f"the landing page has no place {PLACE!r} for the table of results")
    return markdown.replace(PLACE, "\n".join(table()))


def table() -> list[str]:
    """A Markdown table, a row for each data set and share pruned."""
    maker = _maker()
    heads = ["data", "pruned", "`unseen`, the default", "random", "the same, in-sample", "everything"]
    rows = []
    for name, title in DATA.items():
        study = maker.Study(json.loads((maker.RESULTS / f"quality_{name}_report.json").read_text()))
        for share in SHARES:
            budget = min(study.budgets, key=lambda b, n=study.n, s=share: abs(1 - b / n - s))
            rows.append(
                [
                    title,
                    f"{100 * (1 - budget / study.n):.0f} %",
                    _entry(study, DEFAULT, budget),
                    study.mean("random", budget),
                    _entry(study, IN_SAMPLE, budget),
                    study.mean("full", budget),
                ]
            )
    # A figure and its interval stay on one line.
    made: list[str] = maker.table(heads, [[cell.replace(" ", "\N{NO-BREAK SPACE}") for cell in row] for row in rows])
    return made


def _entry(study: Any, method: str, budget: int) -> str:
    return f"{study.mean(method, budget)}<br>({study.change(method, 'random', budget)})"


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quality_tables", ROOT / "benchmarks" / "quality" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
