"""What is said before and while models train, and what Ctrl-C leaves."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import SCRIPT, content, digits_file_fixture, prune_fixture, run_program, unseen_says_fixture  # noqa: F401

from unseen.cli import _console
from unseen.cli._console import EpochCount, describe_plan

# Three fits of a third of a second, to be interrupted.
SLOW = [
    "prune",
    "digits",
    "--keep",
    "0.5",
    "--learner",
    "extra_trees:n_estimators=100",
    "--folds",
    "3",
    "--threads",
    "1",
    "--no-report",
]


def test_what_will_be_done_and_its_cost_are_told_before_training(unseen_says, prune, tmp_path):
    lines = unseen_says(*prune, "--also", "loss", "--repeats", "2", "--out", tmp_path / "run").err.splitlines()
    assert lines[:6] == [
        "data    200 samples, 10 classes",
        "budget  keeping 100 of 200 samples, pruning 100",
        "plan    folds (k=2, repeats=2): 4 trainings by logistic, 1 thread each",
        "scores  el2n, loss, label_issue",
        lines[4],
        "time    known after the first training",
    ]
    assert re.fullmatch(r"memory  about 50\.0 KiB for the data, \d+\.\d KiB for the scores", lines[4])
    assert lines[6].startswith("fit r0f0: done, 1 of 4, about ")


def test_a_line_an_epoch_with_the_time_left(unseen_says, digits_file, tmp_path):
    command = ["prune", digits_file, "--keep", "9", "--learner", "mlp:epochs=3,threads=1", "--folds", "2"]
    said = unseen_says(*command, "--no-report", "--out", tmp_path / "run")
    assert "2 trainings of 3 epochs by mlp:epochs=3,threads=1, 1 thread each" in said.err
    lines = said.err.splitlines()[6:]
    told = [re.sub(r"loss \d+\.\d+", "loss L", re.sub(r"about \d+ s", "about T s", line)) for line in lines]
    assert told == [
        "fit r0f0: epoch 1 of 3, loss L, about T s left",
        "fit r0f0: epoch 2 of 3, loss L, about T s left",
        "fit r0f0: epoch 3 of 3, loss L, about T s left",
        "fit r0f0: done, 1 of 2, about T s left",
        "fit r0f1: epoch 1 of 3, loss L, about T s left",
        "fit r0f1: epoch 2 of 3, loss L, about T s left",
        "fit r0f1: epoch 3 of 3, loss L",
        "fit r0f1: done, 2 of 2",
    ]


def test_copies_that_stay_together_are_told(unseen_says, tmp_path):
    import numpy as np

    X = np.random.default_rng(0).normal(size=(40, 3))
    X[1], X[3] = X[0], X[2]
    np.savez(tmp_path / "copies.npz", x=X, y=np.arange(40) // 2 % 2)
    command = ["prune", tmp_path / "copies.npz", "--keep", "9", "--learner", "logistic", "--folds", "2", "--no-report"]
    assert "groups  2 sets of exact copies; each" in unseen_says(*command, "--out", tmp_path / "run").err


def test_the_time_left_counts_what_this_process_did(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    work = EpochCount(total=10, held=2)
    assert work.left() is None
    now[0] = 3.0
    work.reached("r0f1", 2)  # its first epoch was done before the kill
    assert work.done == 4
    assert work.left() == 3.0 * 6
    now[0] = 5.0
    work.reached("r0f2", 1)
    assert work.left() == 2.5 * 5
    for epoch in range(2, 7):
        work.reached("r0f2", epoch)
    assert work.done == 10
    assert work.left() is None


def test_parts_of_a_fit_without_epochs(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    work = EpochCount(total=2, held=0)
    now[0] = 3.0
    work.reached("r0f0", 0.25)
    assert work.left() == 12.0 * 1.75
    work.reached("r0f0", 1)
    assert (work.done, work.of("r0f0"), work.left()) == (1, 1, 3.0)


def test_a_long_plan_gets_about_a_hundred_lines():
    work = EpochCount(total=5000, held=0)
    lines = 0
    for epoch in range(1, 5001):
        before = work.done
        work.reached("r0f0", epoch)
        lines += work.worth_a_line(before)
    assert 100 <= lines <= 102


def test_the_plan_of_one_training():
    plan = {
        "n": 1, "classes": 1, "target": False, "plan": {"plan": "seen", "repeats": 1}, "fits": 1, "epochs": 2,
        "threads": 1,
        "scores": ["el2n"], "data_bytes": 12, "state_bytes": 3 * 2**30, "groups": 0, "notes": ["said by the data"],
        "learner_bytes": 0,
    }  # fmt: skip
    assert describe_plan(plan, {"learner": "mlp"}, None) == [
        ("data", "1 samples, 1 class"),
        ("plan", "seen (repeats=1): 1 training of 2 epochs by mlp, 1 thread each"),
        ("scores", "el2n"),
        ("memory", "about 12 B for the data, 3.0 GiB for the scores"),
        ("time", "known after the first epoch"),
        ("note", "said by the data"),
    ]


def test_the_plan_of_data_that_stay_in_their_files(tmp_path, unseen_says):
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float16)
    for name, array in (("x", x), ("y", np.arange(60) % 2)):
        np.save(tmp_path / f"{name}.npy", array)
    command = ["score", tmp_path, "--folds", "2", "--learner"]
    said = {learner: unseen_says(*command, learner, "--out", tmp_path / learner).err for learner in ("ridge", "forest")}
    assert re.search(r"memory  the data stays in its files, [\d.]+ \w+ to work, ", said["ridge"])
    assert re.search(r"memory  about 960 B for the data, ", said["forest"])  # which takes all of it at once


def on_a_terminal(command):
    """Run with stderr on a pseudo-terminal; returns what was shown there and on stdout."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other side is closed
            break
        shown += piece
    os.close(ours)
    out = process.stdout.read().decode()
    process.stdout.close()
    assert process.wait() == 0
    return shown.decode(), out


def test_a_terminal_gets_a_bar_with_the_time_left(prune, tmp_path):
    learner = ["--learner", "extra_trees:n_estimators=100"]
    command = [SCRIPT, "prune", prune[1], "--keep", "9", *learner, "--folds", "4", "--no-report"]
    shown, out = on_a_terminal([*map(str, command), "--out", str(tmp_path / "run")])
    assert "━" in shown
    assert re.search(r"[1-3]/4.* epochs.*about \d+ s left", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown))
    assert "4/4" in shown
    assert "fit r0f0: done, 1 of 4, about" not in shown  # no plain lines
    assert out.startswith("kept ")


def begun(command, run, *, fits):
    """The program in a session of its own, in which so many fits have begun."""
    process = subprocess.Popen(
        [SCRIPT, *map(str, command), "--out", run],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    log = Path(run) / "events.jsonl"
    deadline = time.monotonic() + 120
    while not log.exists() or log.read_text().count("fit_start") < fits:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def interrupted(process):
    """Press Ctrl-C: a terminal sends it to every process of the group. Returns what was said."""
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert out == ""
    return err


def assert_nobody_is_left(group):
    deadline = time.monotonic() + 10
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        assert time.monotonic() < deadline, "a child process outlived the program"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    run = tmp_path_factory.mktemp("unbroken") / "run"
    assert run_program([*SLOW, "--out", run]) == 0
    return {name: data for name, data in content(run).items() if name != "command.json"}


def assert_resumes(unseen_says, run, unbroken):
    assert unseen_says("resume", run).code == 0
    after = content(run)
    assert {name: after[name] for name in unbroken} == unbroken


def test_ctrl_c_leaves_a_run_that_can_be_resumed(unseen_says, unbroken, tmp_path):
    run = tmp_path / "run"
    err = interrupted(begun(SLOW, run, fits=2))
    assert err.splitlines()[-1] == (
        f"interrupted; what is finished is kept: go on by `unseen resume {run}` or the same command"
    )
    assert not (run / "scores.parquet").exists()
    assert (run / "fits" / "r0f0" / "result.npz").exists()
    assert_resumes(unseen_says, run, unbroken)


@pytest.mark.slow
def test_ctrl_c_with_two_jobs_leaves_no_child_process(tmp_path):
    run = tmp_path / "run"
    process = begun([*SLOW, "--jobs", "2"], run, fits=2)
    assert interrupted(process).splitlines()[-1].startswith("interrupted; what is finished is kept")
    assert_nobody_is_left(process.pid)
    options = json.loads((run / "command.json").read_text())["options"]
    assert options["jobs"] == 2  # resumed in the tests below


@pytest.mark.slow
def test_a_killed_worker_is_named_and_the_run_goes_on(unseen_says, unbroken, tmp_path):
    run = tmp_path / "run"
    process = begun([*SLOW, "--jobs", "2"], run, fits=2)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    workers = [pid for pid in map(int, children.stdout.split()) if "spawn_main" in _command(pid)]
    os.kill(workers[0], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "was killed by SIGKILL" in err
    assert "Repeat the command with the same --out to go on" in err
    assert "Traceback" not in err
    assert_nobody_is_left(process.pid)
    assert_resumes(unseen_says, run, unbroken)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_stopped_with_two_jobs_no_worker_outlives_the_program(unseen_says, unbroken, tmp_path, sent):
    run = tmp_path / "run"
    process = begun([*SLOW, "--jobs", "2"], run, fits=2)
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    code, word = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}.get(sent, (-sent, ""))
    assert process.returncode == code
    if word:
        assert f"{word}; what is finished is kept: go on by `unseen resume {run}` or the same command\n" in err
        assert "Traceback" not in err
    assert_nobody_is_left(process.pid)
    assert_resumes(unseen_says, run, unbroken)


def _command(pid):
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_what_a_terminal_would_obey_is_escaped(capfd):
    _console.print_lines([("classes", "cat\x1b[31m is 1 %")])
    _console.print_table(["class", "n"], [["two\nlines\x1b]0;x\x07", "3"]])
    said = capfd.readouterr().out
    assert r"cat\x1b[31m is 1 %" in said
    assert r"two\nlines\x1b]0;x\x07" in said
    assert "\x1b" not in said
