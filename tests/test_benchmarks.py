"""The page of benchmarks says what the results say."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

PRETRAINED = ("pretrained_cifar10", "pretrained_sst2", "patches_cifar10")
ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("script", ["tables.py", "quality/tables.py"])
def test_the_pages_are_made_from_the_results(script):
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / script, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_readme_quotes_the_results():
    result = json.loads((ROOT / "benchmarks" / "results" / "end_to_end.json").read_text())
    readme = " ".join((ROOT / "README.md").read_text().split())
    summary = result["summary"]
    for figure in (
        f"{result['wall_seconds'] / 60:.0f} minutes",
        f"{result['peak_mib'] / 1024:.2f} GiB at the peak",
        f"accuracy of the scoring models {100 * summary['accuracy']:.1f} %",
        f"{100 * summary['label_errors_kept']:.1f} % of label errors",
        f"a random one holds {100 * summary['label_errors_random']:.1f} %",
    ):
        assert figure in readme, figure
    rows = json.loads((ROOT / "benchmarks" / "results" / "closed_form_size.json").read_text())["rows"]
    (row,) = (r for r in rows if (r["plan"], r["learner"]) == ("leave_one_out", "ridge"))
    shape = f"For {row['n']:,} x {row['d']} vectors of {row['classes']:,} classes, ImageNet's shape, two cores take"
    assert f"{shape} {row['seconds']:.0f} s and {row['anonymous_mib'] / 1024:.2f} GiB" in readme


def test_the_page_of_embeddings_quotes_the_results():
    result = json.loads((ROOT / "benchmarks" / "results" / "patches_cifar10.json").read_text())
    page = " ".join((ROOT / "docs" / "embeddings.md").read_text().split())
    test = {name: 100 * arm["accuracy"]["mean"] for name, arm in result["arms"].items()}
    for figure in (
        f"takes {result['embedding_seconds']:.0f} s of two cores",
        f"its {result['columns']:,} columns is right about {100 * result['left_out']:.1f} % of the training images",
        f"{100 * result['in_sample']:.1f} % in-sample, and {test['full']:.1f} % of the test images",
        f"by default at {100 * result['keep']:.0f} % is right about {test['kept']:.1f} % of these",
        f"a random choice about {test['random']:.1f} %",
    ):
        assert figure in page, figure


def test_what_pretrained_backbones_are_worth_is_quoted_from_the_results():
    readme = " ".join((ROOT / "README.md").read_text().split())
    page = (ROOT / "docs" / "embeddings.md").read_text()
    read = {name: json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text()) for name in PRETRAINED}
    image = read["pretrained_cifar10"]["efficientnet_lite0"]
    words, tfidf = (read["pretrained_sst2"][by] for by in ("wordllama", "tfidf"))
    for row, result in (("CIFAR-10 | `efficientnet_lite0`", image), ("SST-2 | `wordllama`", words)):
        test = result["test"]
        figures = [100 * share for share in (result["left_out"], test["full"], test["kept"], test["random"])]
        assert f"| {row} | {result['columns']:,} | " + " | ".join(f"{x:.1f}" for x in figures) + " |" in page
    untrained = 100 * read["patches_cifar10"]["left_out"]
    for figure in (
        f"{100 * image['left_out']:.1f} % of the images left out, by untrained patches about {untrained:.1f} %",
        f"`wordllama` about {100 * words['left_out']:.1f} %, by TF-IDF about {100 * tfidf['left_out']:.1f} %",
    ):
        assert figure in readme, figure


@pytest.mark.parametrize(("result", "page"), [("digits", "README.md"), ("digits_logistic", "docs/comparing.md")])
def test_the_evaluations_shown_are_those_of_the_results(result, page):
    arms = json.loads((ROOT / "benchmarks" / "results" / f"evaluation_{result}.json").read_text())["arms"]
    lines = [line.split() for line in (ROOT / page).read_text().splitlines()]
    shown = {words[0]: words for words in lines if "±" in words}
    for name, arm in arms.items():
        around = arm["accuracy"]
        assert f"{100 * around['mean']:.1f}" in shown[name], name
        assert f"{50 * (around['high'] - around['low']):.1f}" in shown[name], name


def rows_of_the_default(result):
    """For each report bed: accuracy of random at half, and what the default gains over random, with its interval."""
    keeps, means = ("0.7", "0.5", "0.3", "0.1"), []
    for bed, found in result["beds"].items():
        accuracy, cells = found["accuracy"], []
        for keep in keeps:
            pairs = list(zip(accuracy["default"][keep], accuracy["random"][keep], strict=False))  # what both have
            gains = 100 * np.array([mine - drawn for mine, drawn in pairs])
            half = stats.t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
            cells.append(f"{gains.mean():+.1f} ± {half:.1f}" + (" *" if abs(gains.mean()) > half else ""))
            means.append(gains.mean())
        yield f"| {bed} | {100 * np.mean(accuracy['random']['0.5']):.1f} | " + " | ".join(cells) + " |"
    mean = np.reshape(means, (-1, len(keeps))).mean(axis=0)
    yield "| mean | | " + " | ".join(f"{gain:+.1f}" for gain in mean) + " |"


def test_what_the_default_gains_is_quoted_from_the_results():
    result = json.loads((ROOT / "benchmarks" / "results" / "designs_report.json").read_text())
    readme = (ROOT / "README.md").read_text()
    for row in rows_of_the_default(result):
        assert row in readme, row
