"""Results in a notebook: compact, escaped, loading nothing."""

import re

import numpy as np
import pytest

import unseen
from unseen.core import cards


@pytest.fixture(scope="module")
def pruned():
    return unseen.prune("digits", keep=0.5, rule="top", learner="logistic", threads=1)


def test_results_show_what_they_are(pruned):
    html = pruned._repr_html_()
    assert "899 of 1,797 samples kept" in html
    assert 'aria-label="histogram of el2n' in html
    assert "■</span> pruned" in html
    assert "Scores of 1,797 samples" in pruned.scores._repr_html_()
    assert "899 of 1,797" in pruned.coreset._repr_html_()
    assert all("http" not in part._repr_html_() for part in (pruned, *pruned))


def test_the_heights_of_bars_are_the_counts_on_a_root_scale():
    values = np.repeat([0.0, 1.0], [4, 1])
    heights = re.findall(r'x="([\d.]+)" y="[\d.]+" width="[\d.]+" height="([\d.]+)"', cards.draw_histogram(values, "s"))
    assert [(float(x) > 0, float(h)) for x, h in heights] == [(False, 72.0), (True, 36.0)]


def test_an_evaluation_and_steps_show_their_table(pruned):
    found = unseen.evaluate("digits", coresets={"<i>": pruned.coreset}, learner="logistic", seeds=2, threads=1)
    html = found._repr_html_()
    assert "<table>" in html
    assert "&lt;i&gt;" in html
    assert "<i>" not in html
    grown = unseen.grow("digits", keep=0.2, learner="logistic", threads=1)
    assert "<li>359 samples</li>" in grown._repr_html_()


def test_scores_that_are_all_missing_have_no_picture():
    assert cards.draw_histogram(np.full(3, np.nan), "s") == ""
