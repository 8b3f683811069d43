"""`unseen resume --dry-run`: whether the data still is what was scored, what is finished and what is left."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from command_line import digits_file_fixture, finished_fixture, prune_fixture, unseen_says_fixture  # noqa: F401

from unseen.core.files import Lock
from unseen.engine.runs.base import seal, unseal

QUICK = ["--learner", "logistic", "--threads", "1", "--no-report"]


def everything(run):
    """Every file with its content and time, the lock and the log too."""
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(run.rglob("*")) if p.is_file()}


@pytest.fixture(name="look")
def look_fixture(unseen_says):
    """The exit code and the JSON of a dry run that has changed nothing."""

    def look(run):
        before = everything(run)
        said = unseen_says("resume", run, "--dry-run", "--json")
        assert everything(run) == before
        assert said.err == ""
        return said.code, json.loads(said.out)

    return look


def test_a_finished_run_of_the_same_data(look, unseen_says, finished):
    code, found = look(finished)
    assert code == 0
    assert found == {
        "run": str(finished),
        "command": "prune",
        "same_data": True,
        "data_differences": [],
        "other_differences": [],
        "finished": True,
        "fits_finished": 2,
        "fits_under_way": [],
        "work": {"unit": "fits", "done": 2, "of": 2},
        "damaged": [],
    }
    said = unseen_says("resume", finished, "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert said.out == "data  the same as was scored\ndone  everything: nothing is left to do\n"


def test_no_lock_is_taken(look, finished):
    lock = Lock(finished / "lock")
    assert look(finished)[0] == 0
    lock.release()


@pytest.fixture(name="moved")
def moved_fixture(finished, digits_file, tmp_path):
    """A finished run, of a copy of the data that a test may change."""
    data = tmp_path / "own.npz"
    shutil.copy(digits_file, data)
    path = finished / "command.json"
    remembered = unseal(path.read_bytes())
    remembered["options"] |= {"data": str(data)}
    path.write_bytes(seal(remembered))
    with np.load(data) as file:
        return finished, data, dict(file)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda x, y: (x, np.where(np.arange(200) == 7, (y + 1) % 10, y)), ["fingerprint.labels"]),
        (lambda x, y: (np.where(np.arange(200)[:, None] == 7, x + 1, x), y), ["fingerprint.sample"]),
        (lambda x, y: (x[::-1], y[::-1]), ["fingerprint.labels", "fingerprint.sample"]),
        (lambda x, y: (x[:-1], y[:-1]), ["fingerprint.ids", "fingerprint.labels", "fingerprint.n"]),
    ],
    ids=["a label", "a sample", "the order", "a sample less"],
)
def test_other_data(look, unseen_says, moved, change, named):
    run, data, arrays = moved
    x, y = change(arrays["x"], arrays["y"])
    np.savez(data, x=x, y=y)
    code, found = look(run)
    assert code == 4
    assert not found["same_data"]
    assert found["finished"]
    places = [line.partition(":")[0] for line in found["data_differences"]]
    assert set(named) <= set(places)
    assert all(place.startswith("fingerprint") for place in places)
    said = unseen_says("resume", run, "--dry-run")
    assert said.code == 4
    assert said.out.startswith("data  differs from what was scored\n      fingerprint.")


def test_data_that_does_not_fit_the_command_any_more(look, moved):
    run, data, arrays = moved
    np.savez(data, x=arrays["x"], y=np.zeros(200, int))
    code, found = look(run)
    assert code == 4
    assert "class" in found["data_differences"][0]
    data.unlink()
    code, found = look(run)
    assert code == 4
    assert "own.npz" in found["data_differences"][0]
    assert found["work"] is None


def test_an_unfinished_run(look, unseen_says, finished):
    shutil.rmtree(finished / "fits" / "r0f1")
    for name in ("coreset.parquet", "scores.parquet", "outputs.json"):
        (finished / name).unlink()
    code, found = look(finished)
    assert code == 5
    assert found["same_data"]
    assert not found["finished"]
    assert found["work"] == {"unit": "fits", "done": 1, "of": 2}
    assert unseen_says("resume", finished, "--dry-run").out == (
        "data  the same as was scored\ndone  1 fit finished\nleft  1 of 2 fits\n"
    )
    assert unseen_says("resume", finished, "--quiet").code == 0
    assert look(finished)[0] == 0


def test_a_fit_under_way(look, finished):
    fit = finished / "fits" / "r0f1"
    (fit / "result.npz").rename(fit / "checkpoint.npz")
    (finished / "coreset.parquet").unlink()
    code, found = look(finished)
    assert code == 5
    assert found["fits_under_way"] == ["r0f1"]
    assert found["damaged"] == ["coreset.parquet"]


@pytest.mark.parametrize("name", ["coreset.parquet", "fits/r0f1/result.npz"])
def test_damage_is_told_and_left(look, finished, name):
    path = finished / name
    path.write_bytes(path.read_bytes()[:-9])
    code, found = look(finished)
    assert found["damaged"] == [name]
    assert (code, found["finished"]) == ((5, False) if name.startswith("coreset") else (0, True))


def test_versions_that_changed_since(look, unseen_says, finished, monkeypatch):
    monkeypatch.setattr("unseen.engine.scoring.versions", lambda: {"numpy": "99"})
    code, found = look(finished)
    assert code == 0  # the data is the same, and nothing is left to do
    assert "versions.numpy: " in found["other_differences"][0]
    assert "note  made with other versions or settings\n" in unseen_says("resume", finished, "--dry-run").out


def test_what_is_no_run_to_resume(unseen_says, finished, tmp_path):
    said = unseen_says("resume", tmp_path / "none", "--dry-run")
    assert (said.code, said.out) == (3, "")
    (finished / "manifest.json").write_text("{}")
    said = unseen_says("resume", finished, "--dry-run", "--json")
    assert (said.code, said.out) == (3, "")
    assert "manifest.json is damaged or was edited; repeat the original command" in said.err


@pytest.mark.parametrize(
    ("command", "epochs"),
    [
        (["grow", "DATA", "--keep", "0.5", "--rule", "stratified"], 4),
        (["evaluate", "RUN", "--seeds", "1", "--baseline", "random"], 2),
        (["sweep", "DATA", "--method", "folds:k=2/el2n/top", "--keep", "0.5", "--seeds", "1"], 5),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_other_verbs(unseen_says, look, finished, digits_file, tmp_path, command, epochs):
    run = tmp_path / "other"
    places = {"DATA": digits_file, "RUN": finished}
    began = [places.get(word, word) for word in command]
    said = unseen_says(*began, *QUICK, "--out", run)
    assert said.code == 0, said.err
    code, found = look(run)
    assert (code, found["finished"], found["same_data"]) == (0, True, True), found
    assert found["work"] == {"unit": "epochs", "done": epochs, "of": epochs}
    assert found["fits_finished"] == epochs
    said = unseen_says("resume", run, "--dry-run")
    assert said.out.endswith("everything: nothing is left to do\n")
    for results in run.rglob("result.npz"):
        results.unlink()
    (run / "outputs.json").unlink()
    code, found = look(run)
    assert (code, found["fits_finished"]) == (5, 0)
    said = unseen_says("resume", run, "--dry-run")
    assert said.out == f"data  the same as was scored\ndone  0 fits finished\nleft  the rest of {epochs} epochs\n"


def test_a_finished_sweep_that_was_asked_for_more_and_killed_goes_on(unseen_says, digits_file, tmp_path, monkeypatch):
    run = tmp_path / "sweep"
    begin = [
        "sweep",
        digits_file,
        "--method",
        "folds:k=2/el2n/top",
        "--keep",
        "0.5",
        "--learner",
        "ridge",
        "--no-report",
        "--out",
        run,
    ]
    assert unseen_says(*begin, "--seeds", "1").code == 0
    assert unseen_says("resume", run, "--dry-run").code == 0
    with monkeypatch.context() as patch:
        patch.setattr("unseen.evaluating.sweep.Sweep.of", killed)
        assert unseen_says(*begin, "--seeds", "3").code == 130
    assert unseen_says("resume", run, "--dry-run").code == 5
    said = unseen_says("resume", run)
    assert said.code == 0, said.err
    assert "±" in said.out  # of three seeds
    assert unseen_says("resume", run, "--dry-run").code == 0


def killed(*_):
    raise KeyboardInterrupt
