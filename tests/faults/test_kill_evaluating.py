"""Law 9 for evaluations: killed inside a training or between two and resumed, the outcomes are byte-equal."""

from __future__ import annotations

import json
import signal

import pytest
from killable import program_fixture  # noqa: F401

LEARNER = "mlp:epochs=2,threads=1,batch_size=64"
PRUNE = ["prune", "digits", "--keep", "0.4", "--learner", LEARNER, "--folds", "2", "--threads", "1", "--no-report"]
EVALUATE = ["--seeds", "2", "--threads", "1", "--no-report"]


def outcomes(folder):
    return {path.parent.name: path.read_bytes() for path in folder.glob("fits/*/result.npz")}


def told(folder):
    return (folder / "evaluation.parquet").read_bytes()


@pytest.fixture(scope="module")
def unbroken(program, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    assert program(*PRUNE, "--out", folder / "run").code == 0
    ended = program("evaluate", folder / "run", *EVALUATE, "--out", folder / "evaluation")
    assert ended.code == 0, ended.output
    return folder, [entry["phase"] for entry in ended.journal]


@pytest.mark.parametrize(
    "phase",
    ["checkpoint write", *(pytest.param(p, marks=pytest.mark.slow) for p in ("result write", "evaluation.parquet"))],
)
def test_killed_and_resumed(program, unbroken, tmp_path, phase):
    folder, boundaries = unbroken
    of_phase = [k for k, name in enumerate(boundaries) if name.startswith(phase)]
    kill = {"boundary": of_phase[len(of_phase) // 2], "when": "before"}
    broken = tmp_path / "evaluation"
    assert program("evaluate", folder / "run", *EVALUATE, "--out", broken, kill=kill).signal == signal.SIGKILL
    kept = outcomes(broken)
    assert kept
    ended = program("resume", broken)
    assert ended.code == 0, ended.output
    assert outcomes(broken) == outcomes(folder / "evaluation")
    assert told(broken) == told(folder / "evaluation")
    ends = [
        e["fit"] for e in map(json.loads, (broken / "events.jsonl").read_text().splitlines()) if e["kind"] == "fit_end"
    ]
    assert all(ends.count(fit) <= 1 for fit in kept), "what was finished was trained again"
