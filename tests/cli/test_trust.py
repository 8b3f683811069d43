"""A run directory from elsewhere: its command is sealed, and runs nothing that its reader does not trust."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from command_line import content, digits_file_fixture, finished_fixture, prune_fixture, refused, unseen_says_fixture  # noqa: F401

from unseen.engine.runs.base import seal, unseal
from unseen.engine.runs.commands import list_external, read_command

HARM = """
from pathlib import Path
Path({mark!r}).touch()
from sklearn.naive_bayes import GaussianNB as made
"""


@pytest.fixture(name="mark")
def mark_fixture(tmp_path, monkeypatch):
    """A file that is there once the module `harm` was imported."""
    mark = tmp_path / "imported"
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "harm.py").write_text(HARM.format(mark=str(mark)))
    monkeypatch.syspath_prepend(tmp_path / "lib")
    yield mark
    sys.modules.pop("harm", None)


def edited(run: Path, **options: object) -> None:
    """The command with other options under a new seal, as anybody can write it."""
    path = run / "command.json"
    begun = unseal(path.read_bytes())
    begun["options"] |= options
    path.write_bytes(seal(begun))


def unfinished(run: Path) -> None:
    for name in ("coreset.parquet", "scores.parquet", "outputs.json"):
        (run / name).unlink()


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_an_edited_command_is_refused_and_the_coreset_stays(unseen_says, finished, dry):
    path = finished / "command.json"
    assert json.loads(path.read_bytes())["options"]["keep"] == "0.5"
    path.write_bytes(path.read_bytes().replace(b'"keep": "0.5"', b'"keep": "0.1"'))
    before = content(finished)
    refused(unseen_says("resume", finished, *dry), 3, r"command\.json is damaged or was edited; repeat the original")
    assert content(finished) == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"keep": "0.1"}, r"keep: '0.5' \(run\) != '0.1' \(now\)"),
        ({"prune": "10", "keep": None}, r"prune: None \(run\) != '10' \(now\)"),
        ({"seed": 3}, r"seed: 0 \(run\) != 3 \(now\)"),
        ({"rule": "top"}, r"rule: None \(run\) != 'top' \(now\)"),
        ({"learner": "forest"}, r"learner: 'logistic' \(run\) != 'forest' \(now\)"),
    ],
)
def test_a_command_sealed_anew_does_not_pass_for_that_of_a_finished_run(unseen_says, finished, options, told):
    edited(finished, **options)
    before = content(finished)
    refused(
        unseen_says("resume", finished), 3, rf"is finished, and command.json was changed since; [^:]*:\n(.*\n)?  {told}"
    )
    assert content(finished) == before


def test_how_a_finished_run_is_shown_may_change(unseen_says, finished):
    edited(finished, json=True, no_report=False, quiet=True)
    said = unseen_says("resume", finished)
    assert said.code == 0
    assert json.loads(said.out)["kept"] == 100


def test_a_finished_run_that_was_asked_for_more_is_shown(unseen_says, prune, finished):
    assert unseen_says(*prune[:-1], "0.1", "--out", finished).code == 0
    said = unseen_says("resume", finished)
    assert said.code == 0
    assert "20 of 200 samples" in said.out


@pytest.mark.parametrize(
    "learner", ["sklearn:harm:made", "torch:harm:made", "convnet:network=harm:made", "sklearn:os:abort"]
)
@pytest.mark.parametrize("finish", [True, False])
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_trust_imports_no_other_learner_than_the_manifest_names(unseen_says, finished, mark, learner, finish, dry):
    if not finish:
        unfinished(finished)
    edited(finished, learner=learner)
    before = content(finished)
    told = f"names the learner '{learner}', but the run was made by 'sklearn:LogisticRegression'; repeat the original"
    refused(unseen_says("resume", finished, "--trust", *dry), 3, told)
    assert not mark.exists()
    assert content(finished) == before


def test_a_command_of_another_run_is_refused(unseen_says, prune, finished, tmp_path):
    assert unseen_says(*prune, "--seed", "7", "--out", tmp_path / "other").code == 0
    shutil.copy(tmp_path / "other" / "command.json", finished)
    refused(unseen_says("resume", finished), 3, r"command\.json belongs to another manifest than .*manifest\.json")


@pytest.mark.parametrize(
    "learner", ["sklearn:harm:made", "torch:harm:made", "convnet:network=harm:made", "torch:harm:made:epochs=2"]
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"], ["--dry-run", "--json"]])
def test_a_learner_from_elsewhere_is_imported_by_nobody(unseen_says, finished, mark, learner, dry):
    unfinished(finished)
    edited(finished, learner=learner)
    before = content(finished)
    said = unseen_says("resume", finished, *dry)
    if dry:  # the data is a local file, which is compared all the same
        assert said.code == 5
        assert "--trust" in said.out
    else:
        refused(said, 3, f"was not begun by you on this machine, .* imports learner '{learner}'; .* add --trust")
    assert not mark.exists()
    assert content(finished) == before


def test_a_dry_run_tells_other_data_without_importing(unseen_says, finished, mark, tmp_path, digits_file):
    import numpy as np

    with np.load(digits_file) as file:
        np.savez(tmp_path / "other.npz", x=file["x"][::-1], y=file["y"])
    edited(finished, learner="sklearn:harm:made", data=str(tmp_path / "other.npz"))
    said = unseen_says("resume", finished, "--dry-run", "--json")
    assert said.code == 4
    assert any("fingerprint.sample" in line for line in json.loads(said.out)["data_differences"])
    assert not mark.exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"data": "http://127.0.0.1:9/x.parquet"}, "connects to data 'http://127.0.0.1:9/x.parquet'"),
        ({"executor": "ray", "address": "127.0.0.1:9"}, "connects to address '127.0.0.1:9'"),
    ],
)
def test_an_address_from_elsewhere_is_not_connected_to(unseen_says, finished, monkeypatch, options, told):
    import socket

    def connected(*_: object) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(socket.socket, "connect", connected)
    edited(finished, **options)
    dry = unseen_says("resume", finished, "--dry-run")
    if "data" in options:
        refused(dry, 3, f"{told}; add --trust if that is wanted")
        refused(unseen_says("export", finished, "--to", "parquet", "--out", finished / "new"), 3, "name the data set")
        assert unseen_says("report", finished).code == 0
    else:
        assert (dry.code, told in dry.out) == (0, True)
    unfinished(finished)
    refused(unseen_says("resume", finished), 3, f"{told}; .* add --trust")


def test_evaluate_does_not_import_the_learner_of_a_run_from_elsewhere(unseen_says, finished, mark, tmp_path):
    edited(finished, learner="sklearn:harm:made")
    said = unseen_says("evaluate", finished, "--out", tmp_path / "e")
    refused(said, 3, "was not begun by you on this machine, and it imports learner 'sklearn:harm:made'; name the lear")
    assert not mark.exists()


@pytest.fixture(name="own")
def own_fixture(unseen_says, digits_file, mark, tmp_path):
    """A run that this user began, with a learner of their own; not finished."""
    run = tmp_path / "own"
    said = unseen_says(
        "prune",
        digits_file,
        "--learner",
        "sklearn:harm:made",
        "--folds",
        "2",
        "--keep",
        "0.5",
        "--no-report",
        "--out",
        run,
    )
    assert said.code == 0, said.err
    coreset = (run / "coreset.parquet").read_bytes()
    unfinished(run)
    sys.modules.pop("harm")
    mark.unlink()
    return run, coreset


def test_a_run_that_this_user_began_goes_on_without_a_word(unseen_says, own, mark):
    run, coreset = own
    moved = run.rename(run.with_name("moved"))
    assert unseen_says("resume", moved, "--dry-run").code == 5
    assert not mark.exists()  # a dry run imports nothing, whoever began the run
    assert unseen_says("resume", moved).code == 0
    assert (moved / "coreset.parquet").read_bytes() == coreset


def test_of_another_user_it_needs_trust(unseen_says, own, mark, monkeypatch, tmp_path):
    run, coreset = own
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other-user"))
    refused(unseen_says("resume", run), 3, "add --trust")
    assert not mark.exists()
    assert not (tmp_path / "other-user").exists()  # reading makes no key
    assert unseen_says("resume", run, "--trust").code == 0
    assert (run / "coreset.parquet").read_bytes() == coreset


def test_a_signed_command_that_was_edited_needs_trust(unseen_says, own, mark):
    run, _ = own
    edited(run, keep="0.1")
    refused(unseen_says("resume", run), 3, "add --trust")
    assert not mark.exists()


def test_the_key_is_secret_and_made_only_where_it_is_needed(unseen_says, prune, digits_file, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    key = tmp_path / "state" / "unseen" / "key"
    assert unseen_says(*prune, "--out", tmp_path / "plain").code == 0
    assert not key.exists()
    learner = ["--learner", "sklearn:sklearn.naive_bayes:GaussianNB"]
    begin = ["prune", digits_file, *learner, "--folds", "2", "--keep", "0.5", "--no-report", "--out"]
    assert unseen_says(*begin, tmp_path / "a").code == 0
    assert (key.stat().st_mode & 0o777, len(key.read_bytes())) == (0o600, 32)
    assert read_command(tmp_path / "a").own
    key.chmod(0o644)  # anybody could have read it, and signed by it
    assert not read_command(tmp_path / "a").own


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_where_no_key_can_be_kept_a_run_is_begun_all_the_same(unseen_says, digits_file, monkeypatch, tmp_path):
    (tmp_path / "state").mkdir(mode=0o500)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    learner = ["--learner", "sklearn:sklearn.naive_bayes:GaussianNB", "--no-report"]
    said = unseen_says("prune", digits_file, *learner, "--folds", "2", "--keep", "0.5", "--out", tmp_path / "a")
    assert said.code == 0
    assert not read_command(tmp_path / "a").own


@pytest.mark.parametrize("spec", ["logistic", "sklearn:logistic:C=2", "convnet:epochs=2,lr=0.1", "torch:mlp:epochs=2"])
def test_names_of_the_registry_are_no_risk(spec):
    assert list_external({"learner": spec, "trainee": spec, "data": "photos/", "features": "C/x.npy"}) == []


def test_a_command_without_a_seal_is_of_an_early_version(unseen_says, finished):
    path = finished / "command.json"
    begun = json.loads(path.read_bytes())
    path.write_text(json.dumps({name: begun[name] for name in ("command", "options")}))
    refused(unseen_says("resume", finished), 3, r"command\.json has no seal: .* early version .* add --trust")
    assert unseen_says("resume", finished, "--trust").code == 0
    assert unseen_says("export", finished, "--to", "parquet", "--out", finished / "new.parquet").code == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"seed": "0"}, "seed is not what prune takes, got '0'"),
        ({"repeats": None}, "repeats is not what prune takes, got None"),
        ({"data": ["a"]}, r"data is not what prune takes, got \['a'\]"),
        ({"verify": "half"}, "verify is not what prune takes, got 'half'"),
        ({"quiet": 1}, "quiet is not what prune takes, got 1"),
    ],
)
def test_an_option_of_a_wrong_type_is_named(unseen_says, finished, options, told):
    edited(finished, **options)
    refused(unseen_says("resume", finished, "--dry-run"), 3, told)


def test_a_missing_option_has_its_default_and_a_missing_data_set_is_named(unseen_says, finished):
    path = finished / "command.json"
    begun = unseal(path.read_bytes())
    del begun["options"]["align"]
    path.write_bytes(seal(begun))
    assert unseen_says("resume", finished, "--dry-run").code == 0
    del begun["options"]["data"]
    path.write_bytes(seal(begun))
    refused(unseen_says("resume", finished, "--dry-run"), 3, "data is not what prune takes, it is missing")


def test_a_run_that_died_before_it_had_a_manifest_goes_on(unseen_says, finished, tmp_path):
    """As `--rule auto` does, whose trials are kept in a run inside."""
    begun = unseal((finished / "command.json").read_bytes())
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "command.json").write_bytes(seal({**begun, "manifest": None}))
    assert unseen_says("resume", tmp_path / "begun", "--dry-run").code == 5
    assert unseen_says("resume", tmp_path / "begun").code == 0
    for name in ("coreset.parquet", "manifest.json"):
        assert (tmp_path / "begun" / name).read_bytes() == (finished / name).read_bytes()
