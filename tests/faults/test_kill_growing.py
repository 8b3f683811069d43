"""Law 9 for growing: killed inside a step or between two and resumed, a run is byte-equal to an unbroken one."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
from killable import program_fixture  # noqa: F401

from unseen.engine.runs import RunDirectory

COMMAND = [
    "grow", "digits", "--keep", "0.2", "--learner", "mlp:epochs=2,threads=1,batch_size=32", "--steps", "2",
    "--rule", "stratified", "--threads", "1", "--no-report",
]  # fmt: skip
PARTS = ("start", "step-1", "step-2")


def files(run):
    """Everything that must not depend on what happened to a run on its way."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in ("events.jsonl", "lock", "command.json")
    }


@pytest.fixture(scope="module")
def unbroken(program, tmp_path_factory):
    run = tmp_path_factory.mktemp("unbroken") / "run"
    ended = program(*COMMAND, "--out", run)
    assert ended.code == 0, ended.output
    return files(run), [entry["phase"] for entry in ended.journal]


# Amid the checkpoints, the results and the tables of the steps; and when the history is written.
PHASES = ["checkpoint write", "result write", "table write", "history.parquet"]


@pytest.mark.parametrize(
    ("number", "phase"),
    [pytest.param(at, phase, marks=pytest.mark.slow if at in (1, 2) else ()) for at, phase in enumerate(PHASES)],
)
def test_killed_inside_steps_and_resumed(program, unbroken, tmp_path, number, phase):
    whole, boundaries = unbroken
    assert {name.split("/")[1] for name in whole if name.startswith("parts/")} == set(PARTS)
    of_phase = [k for k, name in enumerate(boundaries) if name == phase]
    run = tmp_path / "run"
    kill = {"boundary": of_phase[len(of_phase) // 2], "when": "after" if number % 2 else "before"}
    assert program(*COMMAND, "--out", run, kill=kill).signal == signal.SIGKILL
    finished = set(run.glob("parts/*/fits/*/result.npz"))
    assert 0 < len(finished) < 4 or number >= 2  # it was killed on the way
    ended = program(*(["resume", run] if number % 2 else [*COMMAND, "--out", run]))
    assert ended.code == 0, ended.output
    assert files(run) == whole
    assert not finished & set(trained_again(run)), "what was finished was trained again"


def trained_again(run):
    """The results of fits that were begun more than once."""
    for log in run.glob("parts/*/events.jsonl"):
        begun = [e["fit"] for e in map(json.loads, log.read_text().splitlines()) if e["kind"] == "fit_end"]
        for fit in set(begun):
            if begun.count(fit) > 1:
                yield log.parent / "fits" / fit / "result.npz"


def test_a_part_that_was_lost_is_done_again_to_the_same(program, unbroken, tmp_path):
    """Whatever of a finished run is damaged comes back the same."""
    run = tmp_path / "run"
    assert program(*COMMAND, "--out", run).code == 0
    (run / "parts/step-2/fits/r0f0/result.npz").unlink()
    (run / "history.parquet").write_bytes(b"damaged")
    assert program("resume", run).code == 0
    assert files(run) == unbroken[0]


def test_planted_step_that_draws_anew_is_caught(tmp_path, monkeypatch):
    """A loop that were not a function of its seed would go on to other members, which the next part refuses."""
    import unseen.growing

    X = np.random.default_rng(0).normal(size=(120, 4)).astype(np.float32)
    y = np.arange(120) % 2
    arguments = {"keep": 60, "rule": "random", "learner": "logistic", "steps": 2, "threads": 1}
    unseen.grow(X, y, out=tmp_path / "run", **arguments)
    before = RunDirectory(tmp_path / "run").coreset()
    choose_rows = unseen.growing.choose_rows

    def drawn_anew(choice, table, rows, count, seed, **more):
        return choose_rows(choice, table, rows, count, seed + 1, **more)

    monkeypatch.setattr(unseen.growing, "choose_rows", drawn_anew)
    with pytest.raises(unseen.RunMismatchError, match=r"plan\.digest"):
        unseen.grow(X, y, out=tmp_path / "run", **arguments)
    np.testing.assert_array_equal(RunDirectory(tmp_path / "run").coreset().ids, before.ids)
