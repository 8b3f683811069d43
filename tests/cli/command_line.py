"""The console script, what a refusal looks like, what a run holds, and data that is refused."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

SCRIPT = Path(sys.executable).with_name("unseen")


def refused(said, code, pattern):
    """One message on stderr that says this, no traceback, nothing on stdout."""
    assert said.code == code, said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    assert said.err.count("error: ") == 1
    assert said.err.startswith("error: ")
    assert re.search(pattern, said.err), said.err


def damaged_arrays(folder, X, y):
    """Files of arrays, each with one thing wrong."""
    nan, inf, low = X.copy(), X.copy(), y.copy()
    nan[7, 3], inf[8, 1], low[0] = np.nan, np.inf, -1
    for name, arrays in {
        "nan": {"x": nan, "y": y},
        "inf": {"x": inf, "y": y},
        "one-class": {"x": X, "y": np.zeros(len(X), int)},
        "counts": {"x": X, "y": y[:-1]},
        "no-label": {"x": X, "y": low},
        "half-label": {"x": X, "y": y + 0.5},
        "empty": {"x": X[:0], "y": y[:0]},
        "four": {"x": X[:4], "y": np.array([0, 1, 0, 1])},
        "without-y": {"x": X},
    }.items():
        np.savez(folder / f"{name}.npz", **arrays)


def content(run: Path) -> dict[str, bytes]:
    """Every file of a run but its log and its lock."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in ("events.jsonl", "lock")
    }
