"""Warnings name the line of the user's code that called the package."""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import unseen
from unseen.sklearn_api import Pruner

rng = np.random.default_rng(0)
X, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
COPIED = np.column_stack([X, y])
FRAME = pd.DataFrame({"day": ["2020-01-01"] * 60, "x": X[:, 0], "nested": [{"a": 1}] * 60, "y": np.where(y, "a", "A ")})
TABLE = unseen.score(X, y, scores=["el2n", "label_issue"], learner="ridge")
SOURCE = Path(unseen.__file__).parent


@pytest.mark.parametrize(
    ("call", "messages"),
    [
        (lambda: unseen.prune(X, y, keep=0.5), ["held-out models"]),
        (lambda: unseen.select(TABLE, keep=0.5), ["held-out models"]),
        (lambda: unseen.grow(X, y, keep=0.5), ["held-out models"]),
        (
            lambda: unseen.score(COPIED, y, learner="ridge"),
            ["column 3 of the inputs is the same", "ridge is right about"],
        ),
        (lambda: unseen.data.from_frame(FRAME, "y"), ["column 'day' holds dates", "left out of the inputs"]),
        # From inside a cached property, which has a frame of its own.
        (lambda: unseen.data.from_frame(FRAME[["x", "y"]], "y"), ["differ only in spaces"]),
        (lambda: unseen.estimate(COPIED, y), ["column 3 of the inputs"]),
        (lambda: unseen.Recorder.from_predictions(np.full((60, 2), 0.5), y), ["look like probabilities"]),
        (lambda: Pruner(keep=0.5).fit_resample(X, y), ["held-out models"]),
    ],
)
def test_a_warning_names_the_line_that_called_the_package(call, messages):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        call()
    assert all(any(message in str(one.message) for one in said) for message in messages)
    assert {(one.filename, one.lineno) for one in said} == {(__file__, call.__code__.co_firstlineno)}


def test_every_warning_is_given_by_the_one_function_that_finds_this_line():
    calls = [path for path in SOURCE.rglob("*.py") if re.search(r"\bwarnings\.warn\b", path.read_text("utf-8"))]
    assert [path.name for path in calls] == ["errors.py"]
