"""Runs that earlier versions wrote, kept in `golden/`: each is read for ever, or refused with the reason.

`format1` is from before `command.json` was sealed, `format2` from after it. Both come from 90 digits of the first three
classes: prune, grow, evaluate, sweep and advise by `--learner logistic`, with paths and host names taken out. A new
format gets a folder of its own beside these, and these stay as they are.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import unseen
from unseen.engine.runs.commands import read_command
from unseen.engine.runs.directory import RunDirectory
from unseen.errors import RunError

GOLDEN = Path(__file__).with_name("golden")
WRITTEN = {"format1": 1795850246135105994, "format2": 1795850312466822963}  # when the data was, by its fingerprint
FORMATS = sorted(WRITTEN)


@pytest.fixture(name="golden", params=FORMATS)
def golden_fixture(request, tmp_path, monkeypatch) -> Path:
    """A copy that may be written to, as it was where it was made."""
    place = tmp_path / request.param
    shutil.copytree(GOLDEN / request.param, place)
    os.utime(place / "digits.npz", ns=(0, WRITTEN[request.param]))
    monkeypatch.chdir(place)
    return place


def program(monkeypatch: pytest.MonkeyPatch, *argv: str) -> int:
    from unseen.cli import main

    monkeypatch.setattr(sys, "argv", ["unseen", *argv])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_every_format_has_a_run_and_there_is_no_other() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == FORMATS


def test_scores_and_coresets_are_read(golden: Path) -> None:
    pruned = unseen.load(golden / "prune")
    np.testing.assert_allclose(pruned.scores.column("el2n")[:3], [0.06367494, 0.04135234, 0.68012211], rtol=1e-6)
    assert pruned.scores.labels[:5].tolist() == [0, 1, 2, 0, 1]
    assert (len(pruned.coreset), pruned.coreset.ids[:6].tolist()) == (45, [0, 1, 2, 3, 5, 7])
    grown = unseen.load(golden / "grow")
    assert (len(grown.coreset), grown.scores.scores) == (45, ("el2n", "label_issue"))
    assert len(unseen.select(pruned.scores, keep=0.2)) == 18


def test_what_was_compared_is_read(golden: Path) -> None:
    evaluation = unseen.load(golden / "evaluate")
    assert evaluation.accuracy("prune").mean == pytest.approx(16 / 18)
    assert evaluation.verdict("prune", "random").word == "undecided"
    sweep = unseen.load(golden / "sweep")
    np.testing.assert_allclose(sweep.accuracies("full", 36), [17 / 18, 17 / 18])
    assert unseen.load(golden / "advise").difference is None


@pytest.mark.parametrize("run", ["prune", "grow", "evaluate", "sweep", "advise"])
def test_it_is_reported(golden: Path, run: str) -> None:
    assert unseen.report(golden / run, images=0).read_text().startswith("<!DOCTYPE html>")


def test_it_is_exported_from_the_data_that_it_names(golden: Path) -> None:
    rows = np.load(unseen.export("prune", "npy", golden / "rows.npy"))
    assert rows[:6].tolist() == [0, 1, 2, 3, 5, 7]


@pytest.mark.parametrize("run", ["prune", "evaluate", "sweep"])
def test_a_dry_run_finds_the_same_data(golden: Path, monkeypatch, capsys, run: str) -> None:
    trust = [] if read_command(golden / run).sealed else ["--trust"]
    assert program(monkeypatch, "resume", run, "--dry-run", *trust) == 0
    said = capsys.readouterr().out
    assert "the same as was scored" in said
    assert "nothing is left to do" in said


def test_a_run_whose_options_are_missing_is_refused_with_the_reason(golden: Path, monkeypatch, capsys) -> None:
    assert program(monkeypatch, "resume", "grow", "--dry-run") == 3
    said = capsys.readouterr().err
    assert "was begun by a version of unseen whose grow had other options (confirm" in said
    assert "it can be read and reported, but not continued" in said


def test_without_a_seal_it_is_resumed_with_trust_alone(golden: Path, monkeypatch, capsys) -> None:
    if read_command(golden / "prune").sealed:
        pytest.skip("it has a seal")
    assert program(monkeypatch, "resume", "prune") == 3
    assert "command.json has no seal: it is of an early version of unseen" in capsys.readouterr().err


def test_a_newer_format_is_refused_by_its_number(golden: Path) -> None:
    from unseen.engine.runs.base import seal

    path = golden / "prune" / "manifest.json"
    path.write_bytes(seal({**RunDirectory(golden / "prune").manifest(), "format": 99}))
    with pytest.raises(RunError, match=r"is a run of format 99, written by unseen 0\.1\.0, .* upgrade unseen"):
        unseen.load(golden / "prune")
