"""`unseen estimate` tells what a scoring will cost."""

import json

import pytest
from command_line import digits_file_fixture, refused, unseen_says_fixture  # noqa: F401

LITTLE = ["--learner", "sklearn:sklearn.naive_bayes:GaussianNB", "--threads", "1"]


def test_it_tells_the_work_and_when_it_pays(unseen_says, digits_file):
    said = unseen_says("estimate", digits_file, *LITTLE, "--folds", "2", "--repeats", "3", "--keep", "0.5")
    assert said.code == 0, said.err
    lines = dict(line.split(maxsplit=1) for line in said.out.splitlines())
    assert lines["work"].startswith("6 fits, 600 samples trained on")
    assert lines["coreset"].endswith("for a training on 100 samples")
    assert set(lines) >= {"wall", "hours", "memory", "storage", "full", "pays"}


def test_json_is_all_there_is_on_stdout(unseen_says, digits_file):
    said = unseen_says("estimate", digits_file, *LITTLE, "--plan", "seen", "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert (told["fits"], told["samples_trained"], told["budget"]) == (1, 200, None)
    assert told["opening_seconds"]["middle"] > 0


def test_several_scores_and_places(unseen_says, digits_file):
    scores = ["--score", "loss", "--score", "entropy"]
    said = unseen_says("estimate", digits_file, *LITTLE, *scores, "--jobs", "2", "--folds", "4", "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert told["about"]["scores"] == ["loss", "entropy", "label_issue"]
    assert told["slots"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--learner", "recorder"], "got a Recorder"),
        ([*LITTLE, "--gpus", "8"], "gpus=8 needs a learner on a GPU here"),
        ([*LITTLE, "--keep", "0"], "keep"),
        ([*LITTLE, "--plan", "seen", "--folds", "3"], "--folds is for the plan 'folds'"),
    ],
    ids=["recorder", "gpus", "keep", "folds"],
)
def test_refusals(unseen_says, digits_file, options, message):
    refused(unseen_says("estimate", digits_file, *options), 1, message)
