"""`--log`: what the verbs log, where, and names that are refused before anything is trained."""

import json
import shlex

import pytest
from command_line import digits_file_fixture, prune_fixture, refused, unseen_says_fixture  # noqa: F401


def logged(folder):
    """The bytes of the event files of a log, in which the tags stand as they are."""
    return b"".join(path.read_bytes() for path in folder.glob("events.*"))


def test_each_verb_logs(unseen_says, prune, digits_file, tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX", reason="pip install 'unseen[tensorboard]'")
    monkeypatch.chdir(tmp_path)
    quick = ["--learner", "ridge", "--threads", "1", "--quiet"]
    for verb, argv, tags in [
        ("prune", [*prune, "--quiet", "--no-report"], [b"held_out_accuracy", b"score/el2n", b"kept"]),
        ("score", ["score", digits_file, *quick], [b"held_out_accuracy", b"score/el2n"]),
        ("grow", ["grow", digits_file, "--keep", "0.4", *quick, "--no-report"], [b"score/el2n", b"kept"]),
        (
            "evaluate",
            ["evaluate", "prune", "--seeds", "3", *quick, "--no-report"],
            [b"accuracy/full", b"verdict/prune"],
        ),
    ]:
        said = unseen_says(*argv, "--out", verb, "--log", f"tensorboard:logs/{verb}")
        assert said.code == 0, said.err
        assert [tag for tag in tags if tag not in logged(tmp_path / "logs" / verb)] == []
        assert (tmp_path / "logs" / verb / "report.html").exists()
    # `unseen resume` may be called from another folder.
    kept = json.loads((tmp_path / "prune" / "command.json").read_text())
    assert kept["options"]["log"] == f"tensorboard:{tmp_path / 'logs' / 'prune'}"


def test_unknown_logs_are_refused_before_anything_is_trained(unseen_says, prune, tmp_path):
    said = unseen_says(*prune, "--out", tmp_path / "run", "--log", "tensorbord:logs")
    refused(said, 1, "unknown library to log to 'tensorbord'; did you mean 'tensorboard'")
    said = unseen_says(*prune, "--out", tmp_path / "run", *shlex.split("--log wandb:"))
    refused(said, 1, "log must say where, as in 'wandb:PROJECT', got 'wandb:'")
    assert not (tmp_path / "run").exists()
