"""Long work is announced with its price, and a person at a terminal is asked before it begins."""

from __future__ import annotations

import io
import os
import pty
import select
import subprocess
import sys
from types import SimpleNamespace

import pytest
from command_line import digits_file_fixture, is_aligned, unseen_says_fixture  # noqa: F401
from rich.console import Console

import unseen
from unseen.cli import _console

# The program with trainings of an hour each, so that any work is long.
PROGRAM = """
import unseen
from types import SimpleNamespace
from unseen.cli import main
class Middle: middle = 3600.0
unseen.estimate = lambda *args, **more: SimpleNamespace(full_seconds=Middle, epochs=1)
main()
"""
QUICK = ["--learner", "sklearn:sklearn.naive_bayes:GaussianNB", "--threads", "1", "--no-report"]


def at_a_terminal(argv, answer):
    """The exit code and what a terminal showed, after the answer was typed where a question came."""
    master, slave = pty.openpty()
    argv = [sys.executable, "-c", PROGRAM, *map(str, argv)]
    program = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "COLUMNS": "100"})
    os.close(slave)
    shown, answered = b"", False
    while select.select([master], [], [], 60)[0]:
        try:
            piece = os.read(master, 4096)
        except OSError:  # the program has ended
            break
        if not piece:
            break
        shown += piece
        if b"[y/N]" in shown and not answered:
            os.write(master, answer)
            answered = True
    os.close(master)
    return program.wait(60), shown.decode()


@pytest.fixture(name="auto")
def auto_fixture(digits_file, tmp_path):
    ways = ["--candidate", "folds:k=2/el2n/top", "--confirm", "3"]
    return ["prune", digits_file, "--keep", "0.3", "--rule", "auto", *ways, *QUICK, "--out", tmp_path / "run"]


def test_yes_begins(auto):
    code, shown = at_a_terminal(auto, b"y\n")
    assert code == 0, shown
    assert "up to 16 trainings, about 16.0 h in all on this machine" in shown, shown
    assert "kept" in shown


class Typed(io.StringIO):
    """What a person at a terminal has typed."""

    def isatty(self):
        return True


@pytest.fixture(name="here")
def here_fixture(unseen_says, monkeypatch):
    """The same in this process: what was said to a terminal after an answer."""
    hour = SimpleNamespace(full_seconds=SimpleNamespace(middle=3600.0), epochs=1)
    monkeypatch.setattr(unseen, "estimate", lambda *args, **more: hour)
    monkeypatch.setattr(_console, "err", Console(stderr=True, force_terminal=True, soft_wrap=True, color_system=None))

    def call(argv, answer, *, many=10):
        monkeypatch.setattr(_console, "MANY_TRAININGS", many)
        monkeypatch.setattr(sys, "stdin", Typed(answer))
        return unseen_says(*argv)

    return call


def test_no_begins_nothing(here, auto, tmp_path):
    said = here(auto, "n\n")
    assert said.code == 1, said.err
    assert "takes  up to 16 trainings, about 16.0 h in all on this machine" in said.err, said.err
    assert is_aligned(said.err, "auto", "takes")
    assert "nothing was trained" in said.err
    assert not list((tmp_path / "run").rglob("result.npz"))


def test_the_option_begins_without_asking(here, auto):
    said = here([*auto, "--yes"], "")
    assert said.code == 0, said.err
    assert "takes" not in said.err


def test_few_trainings_of_little_data_are_not_measured(here, digits_file, tmp_path):
    argv = ["prune", digits_file, "--keep", "0.3", *QUICK, "--out", tmp_path / "run"]
    said = here(argv, "")
    assert said.code == 0, said.err
    assert "takes" not in said.err
    said = here([*argv[:-1], tmp_path / "other"], "n\n", many=2)
    assert said.code == 1, said.err
    assert "takes   up to 2 trainings, about 2.0 h" in said.err, said.err
    assert is_aligned(said.err, "data", "takes")


def test_without_a_terminal_the_work_begins(unseen_says, auto, monkeypatch):
    def fail(*args, **more):
        raise AssertionError("nobody is there to ask")

    monkeypatch.setattr(unseen, "estimate", fail)
    said = unseen_says(*auto)
    assert said.code == 0, said.err
    assert "takes" not in said.err
