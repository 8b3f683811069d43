"""Law 9: a run that was killed at any moment and resumed is byte-equal to one that never was.

Twenty seeded moments, three of them in every test run: half at the boundaries of a write (before or after the k-th
`os.replace` or `os.fsync`), half at times while models train. Every kill is asserted to have landed, and the phases
that were hit to cover what a run consists of.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from killable import program_fixture  # noqa: F401

COMMON = ["--keep", "0.5", "--rule", "stratified", "--folds", "3", "--threads", "1", "--seed", "5", "--no-report"]
COMMANDS = {
    "torch": ["prune", "digits", "--learner", "mlp:epochs=3,threads=1", "--score", "el2n", "--also", "aum", *COMMON],
    "sklearn": ["prune", "digits", "--learner", "extra_trees:n_estimators=20", "--also", "loss", *COMMON],
}
EPOCHS = 3
FILES = ("manifest.json", "scores.parquet", "coreset.parquet")
MUST_BE_HIT = {"during an epoch", "checkpoint write", "result write", "table write", "coreset write"}


@dataclass
class Unbroken:
    """A run that nothing happened to."""

    command: list[str]
    files: dict[str, bytes]
    boundaries: list[str]  # the phase of each
    training_seconds: float


@dataclass
class Moment:
    """When to kill: at the boundary of that number, or at a part of the training."""

    job: str
    boundary: int | None = None
    when: str = "before"
    part: float = 0.0

    def __str__(self) -> str:
        at = f"{100 * self.part:.0f} % of the training" if self.boundary is None else f"boundary {self.boundary}"
        return f"{self.job}, {'at' if self.boundary is None else self.when} {at}"


@dataclass
class Hits:
    """Where the kills landed."""

    phases: Counter = field(default_factory=Counter)

    def add(self, moment: Moment, phase: str) -> None:
        self.phases[phase] += 1
        print(f"killed: {moment}: {phase}")


class UnbrokenRuns(dict):
    """The run of each job, done when it is first asked for."""

    def __init__(self, program, tmp_path_factory):
        super().__init__()
        self.program, self.folders = program, tmp_path_factory

    def __missing__(self, job):
        self[job] = run_unbroken(self.program, job, self.folders.mktemp(job) / "run")
        return self[job]


@pytest.fixture(scope="module")
def unbroken(program, tmp_path_factory):
    return UnbrokenRuns(program, tmp_path_factory)


def run_unbroken(program, job, run):
    ended = program(*COMMANDS[job], "--out", run)
    assert ended.code == 0, ended.output
    times = {kind: [datetime.fromisoformat(e["time"]) for e in events(run) if e["kind"] == kind]
             for kind in ("fit_start", "fit_end")}  # fmt: skip
    seconds = (times["fit_end"][-1] - times["fit_start"][0]).total_seconds()
    files = {name: (run / name).read_bytes() for name in FILES}
    return Unbroken(COMMANDS[job], files, [entry["phase"] for entry in ended.journal], seconds)


def events(run):
    path = run / "events.jsonl"
    lines = path.read_text().split("\n") if path.exists() else []
    whole = lines if not lines or lines[-1] == "" else lines[:-1]  # a kill tears the last line at most
    return [json.loads(line) for line in whole if line]


def at_boundaries(job, boundaries, rng, phases):
    """A seeded boundary of each phase; None is any phase."""
    for phase in phases:
        of_phase = [k for k, name in enumerate(boundaries) if phase in (None, name)]
        yield Moment(job, boundary=rng.choice(of_phase), when=rng.choice(["before", "after"]))


def at_times(job, rng, count):
    """Seeded times, one in each of `count` equal parts of the training."""
    for i in range(count):
        yield Moment(job, part=(i + rng.random()) / count)


def twenty_moments(unbroken, seed):
    rng = random.Random(seed)
    writes = ["checkpoint write", "result write", "table write", "coreset write", None, None]
    return [
        *at_boundaries("torch", unbroken["torch"].boundaries, rng, writes),
        *at_boundaries("sklearn", unbroken["sklearn"].boundaries, rng, ["result write", "table write", None, None]),
        *at_times("torch", rng, 7),
        *at_times("sklearn", rng, 3),
    ]


def killed(program, moment, unbroken, run):
    """Begin or continue the run and kill it at that moment; returns the phase in which it was."""
    command = [*unbroken.command, "--out", run]
    if moment.boundary is not None:
        ended = program(*command, kill={"boundary": moment.boundary, "when": moment.when})
        assert ended.signal == signal.SIGKILL, f"{moment}: it was not killed but ended with {ended.code}"
        return ended.journal[-1]["phase"]
    seconds = moment.part * unbroken.training_seconds
    for _ in range(6):
        shutil.rmtree(run, ignore_errors=True)  # what an attempt that came too late has finished
        ended = program(*command, kill={"seconds": seconds, "events": str(run / "events.jsonl")})
        if ended.signal == signal.SIGKILL and not (run / "coreset.parquet").exists():
            return phase_of(run, moment.job)
        seconds /= 2  # this machine is faster now than when the unbroken run was measured
    raise AssertionError(f"{moment}: six times the run was finished before the kill")


def phase_of(run, job):
    """Where a run was when it was killed from outside."""
    for stray in run.rglob(".*.tmp"):
        return f"{stray.name.split('.')[1]} write"
    last = events(run)[-1]
    if last["kind"] == "fit_start" or (last["kind"] == "epoch" and last["epoch"] < last["epochs"]):
        return "during an epoch" if job == "torch" else "during a training"
    return "between fits"


def resumed(program, unbroken, run, *, by_name):
    """Continue a killed run, by `unseen resume` or by its own command, and check that what was done is not redone."""
    before = len(events(run))
    finished = {path.parent.name for path in run.glob("fits/*/result.npz")}
    reached = {path.parent.name: int(np.load(path)["epoch"]) for path in run.glob("fits/*/checkpoint.npz")}
    command = ["resume", run] if by_name and (run / "command.json").exists() else [*unbroken.command, "--out", run]
    ended = program(*command)
    assert ended.code == 0, ended.output
    later = events(run)[before:]
    assert not {e["fit"] for e in later if e["kind"] == "fit_start"} & finished
    for fit in reached.keys() - finished:
        went_on_at = [e["epoch"] for e in later if e["kind"] == "epoch" and e["fit"] == fit]
        assert went_on_at == list(range(reached[fit] + 1, EPOCHS + 1))


def assert_byte_equal(run, unbroken):
    for name in FILES:
        assert (run / name).read_bytes() == unbroken.files[name], f"{name} differs from that of the unbroken run"
    leftovers = [p for pattern in (".*.tmp", "*.damaged", "checkpoint.npz") for p in run.rglob(pattern)]
    assert leftovers == []


def kill_and_resume(program, moments, unbroken, folder):
    hits = Hits()
    for number, moment in enumerate(moments):
        run = folder / f"run-{number}"
        hits.add(moment, killed(program, moment, unbroken[moment.job], run))
        resumed(program, unbroken[moment.job], run, by_name=number % 2 == 0)
        assert_byte_equal(run, unbroken[moment.job])
    return hits


def test_killed_at_three_moments(program, unbroken, tmp_path):
    rng = random.Random(1)
    moments = [
        *at_boundaries("torch", unbroken["torch"].boundaries, rng, ["checkpoint write"]),
        *at_boundaries("sklearn", unbroken["sklearn"].boundaries, rng, ["table write"]),
        Moment("torch", part=rng.uniform(0.2, 0.8)),
    ]
    hits = kill_and_resume(program, moments, unbroken, tmp_path)
    assert hits.phases.total() == 3


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_twenty_moments(program, unbroken, tmp_path):
    moments = twenty_moments(unbroken, seed=20)
    assert len(moments) == 20
    assert sum(moment.boundary is not None for moment in moments) == 10
    hits = kill_and_resume(program, moments, unbroken, tmp_path)
    print("phases hit:", ", ".join(f"{phase} {count}" for phase, count in hits.phases.most_common()))
    assert hits.phases.keys() >= MUST_BE_HIT


def nth(unbroken, phase, n):
    """The last boundary of the n-th write of that kind: the fsync of its folder."""
    return [k for k, name in enumerate(unbroken.boundaries) if name == phase][3 * n - 1]


def test_killed_twice_in_a_row(program, unbroken, tmp_path):
    torch = unbroken["torch"]
    killed(program, Moment("torch", boundary=nth(torch, "checkpoint write", 2), when="after"), torch, tmp_path / "run")
    again = program("resume", tmp_path / "run", kill={"boundary": 7, "when": "before"})
    assert again.signal == signal.SIGKILL
    resumed(program, torch, tmp_path / "run", by_name=True)
    assert_byte_equal(tmp_path / "run", torch)


@pytest.mark.parametrize("fault", ["stale_sink", "forgotten_optimiser"])
def test_planted_checkpoint_that_lacks_a_part_is_caught(program, unbroken, tmp_path, fault):
    torch = unbroken["torch"]
    run = tmp_path / "run"
    moment = {"boundary": nth(torch, "checkpoint write", 2), "when": "after"}
    assert program(*torch.command, "--out", run, kill=moment, plant=fault).signal == signal.SIGKILL
    assert program("resume", run).code == 0
    with pytest.raises(AssertionError, match=r"scores\.parquet differs"):
        assert_byte_equal(run, torch)


def test_planted_fault_shows_in_no_unbroken_run(program, unbroken, tmp_path):
    # Else the two tests above would catch something that has nothing to do with the kill.
    assert program(*unbroken["torch"].command, "--out", tmp_path / "run", plant="stale_sink").code == 0
    assert_byte_equal(tmp_path / "run", unbroken["torch"])


def test_runs_from_a_process_of_its_own_are_the_same(unbroken, tmp_path):
    """What the kill server forks is what the console script does."""
    script = Path(sys.executable).with_name("unseen")
    run = tmp_path / "run"
    subprocess.run([script, *COMMANDS["sklearn"], "--out", run], check=True, capture_output=True)
    assert_byte_equal(run, unbroken["sklearn"])
