"""The program in a process of its own or in this one; refusals; what a run holds; data that is refused.

The fixtures are imported by the test modules: a second `conftest` module would clash with the first.
"""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from unseen.engine.runs.base import seal, unseal

SCRIPT = Path(sys.executable).with_name("unseen")


def refused(said, code, pattern):
    """One message on stderr that says this, no traceback, nothing on stdout."""
    assert said.code == code, said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    assert said.err.count("error: ") == 1
    assert said.err.startswith("error: ")
    assert re.search(pattern, said.err), said.err


def is_aligned(text, first, last):
    """Whether the texts from the line of one word to that of another stand one under the other."""
    lines = text.splitlines()
    begin, end = (next(at for at, line in enumerate(lines) if line.startswith(word)) for word in (first, last))
    assert begin < end
    return len({re.match(r"(?:\S+(?: \S+)*)? {2,}", line).end() for line in lines[begin : end + 1]}) == 1


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
        if path.is_file() and path.name not in ("events.jsonl", "lock", "report.html")
    }


@dataclass
class Said:
    """What the program said, and how it ended."""

    code: int
    out: str
    err: str


made: dict[str, Path] = {}  # what this process made once, whichever test asked first; none may change it


def run_program(argv) -> int:
    """Run the program in this process, as its console script does; returns the exit code."""
    from unseen.cli import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "100")
        patch.setattr(sys, "argv", ["unseen", *map(str, argv)])
        try:
            main()
        except SystemExit as end:
            return end.code or 0
    return 0


@pytest.fixture(name="unseen_says")
def unseen_says_fixture(capfd):
    """The program in this process, as from its console script."""

    def call(*argv) -> Said:
        capfd.readouterr()
        code = run_program(argv)
        return Said(code, *capfd.readouterr())

    return call


@pytest.fixture(name="digits_file", scope="session")
def digits_file_fixture(tmp_path_factory):
    """200 digits in a .npz file."""
    if "digits" not in made:
        made["digits"] = tmp_path_factory.mktemp("data") / "digits.npz"
        X, y = load_digits(return_X_y=True)
        np.savez(made["digits"], x=X[:200].astype(np.float32), y=y[:200])
    return made["digits"]


@pytest.fixture(name="prune")
def prune_fixture(digits_file):
    """A quick command, but for its --out."""
    quick = ["--learner", "logistic", "--folds", "2", "--threads", "1", "--no-report"]  # a page takes longer than a run
    return ["prune", digits_file, *quick, "--keep", "0.5"]


def finished_run(prune, folders, place: Path, *options) -> Path:
    """A finished run of the command with these options: a copy of one that is made once."""
    key = " ".join(["run", *options])
    if key not in made:
        made[key] = folders.mktemp("made") / "run"
        assert run_program([*prune, *options, "--out", made[key]]) == 0
    shutil.copytree(made[key], place)
    command = unseal((place / "command.json").read_bytes())
    command["options"]["out_dir"] = str(place)
    (place / "command.json").write_bytes(seal(command))
    return place


@pytest.fixture(name="finished")
def finished_fixture(prune, tmp_path_factory, tmp_path):
    """A finished run."""
    return finished_run(prune, tmp_path_factory, tmp_path / "finished")
