"""`unseen report`, and the report at the end of other subcommands."""

import json
import os
import re
import subprocess
import sys

import pytest
from command_line import digits_file_fixture, finished_fixture, prune_fixture, refused, unseen_says_fixture  # noqa: F401

import unseen
from unseen.engine.runs import RunDirectory


@pytest.fixture(name="shown")
def shown_fixture(prune):
    """The quick command, with its page."""
    return [word for word in prune if word != "--no-report"]


def test_a_run_ends_with_its_report(unseen_says, prune, shown, tmp_path):
    said = unseen_says(*shown, "--out", tmp_path / "shown")
    assert f"report   {tmp_path / 'shown' / 'report.html'}" in said.out
    assert (tmp_path / "shown" / "report.html").exists()
    said = unseen_says(*prune, "--out", tmp_path / "plain")
    assert "report" not in said.out
    assert not (tmp_path / "plain" / "report.html").exists()


def test_its_json_names_the_report(unseen_says, finished, shown):
    said = unseen_says(*shown, "--out", finished, "--json")
    assert json.loads(said.out)["report"] == str(finished / "report.html")


def test_grow_and_evaluate_end_with_theirs(unseen_says, finished, digits_file, tmp_path):
    grow = ["grow", digits_file, "--keep", "0.4", "--steps", "1", "--folds", "2", "--learner", "logistic"]
    for command in (grow, ["evaluate", finished, "--seeds", "2"]):
        out = tmp_path / command[0]
        said = unseen_says(*command, "--threads", "1", "--out", out)
        assert said.code == 0, said.err
        assert (out / "report.html").exists()
        assert re.search(rf"^report +{re.escape(str(out))}/report.html$", said.out, flags=re.M)
        assert f">{digits_file}</dd>" in (out / "report.html").read_text()  # also that of the run evaluated
        (out / "report.html").unlink()
        said = unseen_says(*command, "--threads", "1", "--out", out, "--no-report")
        assert said.code == 0, said.err
        assert not (out / "report.html").exists()


def test_a_report_that_fails_does_not_fail_the_run(unseen_says, shown, tmp_path, monkeypatch):
    def fails(run, **options):
        raise RuntimeError("no ink")

    monkeypatch.setattr(unseen, "report", fails)
    run = tmp_path / "my run"
    said = unseen_says(*shown, "--out", run)
    assert said.code == 0
    assert f"could not be written: no ink; `unseen report '{run}'` tries again" in said.err  # fit for a shell
    assert "coreset" in said.out


def test_ctrl_c_in_a_report_says_that_the_run_is_finished(unseen_says, shown, tmp_path, monkeypatch):
    def stopped(run, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(unseen, "report", stopped)
    said = unseen_says(*shown, "--out", tmp_path / "run")
    assert said.code == 130
    assert "the run is finished" in said.err
    assert "Traceback" not in said.err


def test_report_writes_where_it_is_told(unseen_says, finished, tmp_path):
    said = unseen_says("report", finished, "--out", tmp_path / "page.html", "--images", "4")
    assert (said.code, said.out) == (0, f"report  {tmp_path / 'page.html'}\n")
    assert "column 0" in (tmp_path / "page.html").read_text()  # the first numbers of vectors
    said = unseen_says("report", finished, "--json")
    assert json.loads(said.out)["bytes"] == (finished / "report.html").stat().st_size


def test_report_takes_runs_beside_it(unseen_says, finished, prune, tmp_path):
    seen = [part for part in prune if part not in ("--folds", "2")]
    assert unseen_says(*seen, "--plan", "seen", "--out", tmp_path / "seen").code == 0
    said = unseen_says("report", finished, "--beside", tmp_path / "seen", "--out", tmp_path / "page.html")
    assert said.code == 0, said.err
    assert "chart-sides" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("manifest", [None, {"format": 9}])
def test_what_is_no_run_of_ours_is_refused(unseen_says, tmp_path, manifest):
    if manifest is not None:
        with RunDirectory(tmp_path / "run") as run:
            run.open(manifest)
    pattern = "there is no run" if manifest is None else "run of format 9"
    refused(unseen_says("report", tmp_path / "run"), 3, pattern)


def test_data_that_cannot_be_shown_is_told_on_the_page(unseen_says, finished, tmp_path):
    said = unseen_says("report", finished, "--data", tmp_path / "nowhere", "--out", tmp_path / "page.html")
    assert said.code == 0
    assert "there is no file or folder" in (tmp_path / "page.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["logistic", "mlp:epochs=1"])
def test_nothing_is_written_beside_the_run_and_nothing_started(digits_file, tmp_path, learner):
    folders = {name: tmp_path / name for name in ("HOME", "TMPDIR", "PATH")}
    for folder in folders.values():
        folder.mkdir()
    tool = folders["PATH"] / "fc-list"
    tool.write_text(f"#!/bin/sh\n/usr/bin/touch {tmp_path / 'started'}\n")
    tool.chmod(0o755)
    around = {name: value for name, value in os.environ.items() if not name.startswith(("MPL", "XDG", "TORCHINDUCTOR"))}
    program = [sys.executable, "-c", "from unseen.cli import main; main()"]
    command = ["prune", digits_file, "--keep", "0.5", "--learner", learner, "--folds", "2", "--out", tmp_path / "run"]
    ended = subprocess.run(
        [*program, *command], env={**around, **{name: str(folder) for name, folder in folders.items()}},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "run" / "report.html").exists()
    assert not [*folders["HOME"].rglob("*"), *folders["TMPDIR"].rglob("*")]
    assert not (tmp_path / "started").exists()
