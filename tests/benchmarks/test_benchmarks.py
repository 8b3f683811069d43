"""The pages say what the results say."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("script", ["tables.py", "quality/tables.py"])
def test_the_pages_are_made_from_the_results(script):
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / script, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("quality_tables", ROOT / "benchmarks" / "quality" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_place_without_a_result_is_an_error(tables):
    page = "Before\n\n<!-- table: it -->\n\n| old |\n\n<!-- end -->\n\nafter\n"
    assert tables.filled(page, {"it": ["| new |", ""]}) == page.replace("old", "new")
    with pytest.raises(KeyError):
        tables.filled(page, {})


def test_several_steps_are_set_against_one_step_where_both_were_tried(tables):
    beds = {
        "a": {
            "accuracy": {
                "random": {"0.5": [0.5, 0.6], "0.1": [0.3, 0.4]},
                "one step": {"0.5": [0.6, 0.7], "0.1": [0.3, 0.4]},
                "refilled": {"0.5": [0.65]},  # the study is not at its end
                "everything": {"1.0": [0.8, 0.8]},
            },
            "price": {"random": {"0.5": 0}, "one step": 1, "refilled": {"0.5": 1.25, "0.1": 1.05}},
        },
        "b": {"accuracy": {"random": {"0.5": [0.5]}, "one step": {"0.5": [0.5]}}, "price": {"one step": 1}},
    }
    assert tables.steps_across_beds(beds) == [
        "| over random (over one step) | price | 50 % | 90 % |",
        "| --- | --- | --- | --- |",
        "| one step | 1 | +5.0 | +0.0 |",
        "| refilled | 1.1 to 1.2 | +15.0 (+5.0) | |",
        "",
    ]


def test_what_a_whole_data_set_takes_is_quoted_from_the_results():
    result = json.loads((ROOT / "benchmarks" / "results" / "end_to_end.json").read_text())
    page = " ".join((ROOT / "docs" / "tutorials" / "images.md").read_text().split())
    summary = result["summary"]
    for figure in (
        f"{result['wall_seconds'] / 60:.0f} minutes",
        f"{result['peak_mib'] / 1024:.2f} GiB at the peak",
        f"accuracy of the scoring models {100 * summary['accuracy']:.1f} %",
        f"{100 * summary['label_errors_kept']:.1f} % of label errors",
        f"a random one holds {100 * summary['label_errors_random']:.1f} %",
    ):
        assert figure in page, figure


def test_what_the_closed_form_takes_is_quoted_from_the_results():
    page = " ".join((ROOT / "docs" / "closed_form.md").read_text().split())
    rows = json.loads((ROOT / "benchmarks" / "results" / "closed_form_size.json").read_text())["rows"]
    (row,) = (r for r in rows if (r["plan"], r["learner"]) == ("leave_one_out", "ridge"))
    shape = f"For {row['n']:,} x {row['d']} vectors of {row['classes']:,} classes, ImageNet's shape, two cores take"
    assert f"{shape} {row['seconds']:.0f} s and {row['anonymous_mib'] / 1024:.2f} GiB" in page


@pytest.mark.parametrize(
    ("result", "page"), [("digits", "docs/is_it_worth_it.md"), ("digits_logistic", "docs/comparing.md")]
)
def test_the_evaluations_shown_are_those_of_the_results(result, page):
    arms = json.loads((ROOT / "benchmarks" / "results" / f"evaluation_{result}.json").read_text())["arms"]
    lines = [line.split() for line in (ROOT / page).read_text().splitlines()]
    shown = {words[0]: words for words in lines if "±" in words}
    for name, arm in arms.items():
        around = arm["accuracy"]
        assert f"{100 * around['mean']:.1f}" in shown[name], name
        assert f"{50 * (around['high'] - around['low']):.1f}" in shown[name], name


def rows_of_the_default(beds):
    """For each report bed: accuracy of everything, of random at half, and what the default gains, with its interval."""
    keeps, means = ("0.7", "0.5", "0.3", "0.1"), []
    for bed, found in beds.items():
        accuracy, cells = found["accuracy"], []
        for keep in keeps:
            pairs = list(zip(accuracy["default"][keep], accuracy["random"][keep], strict=False))  # what both have
            gains = 100 * np.array([mine - drawn for mine, drawn in pairs])
            half = stats.t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
            cells.append(f"{gains.mean():+.1f} ± {half:.1f}" + (" *" if abs(gains.mean()) > half else ""))
            if bed != "kdd, diverging":
                means.append(gains.mean())
        at = [100 * np.mean(accuracy[name][keep]) for name, keep in (("everything", "1.0"), ("random", "0.5"))]
        yield f"| {bed} | {at[0]:.1f} | {at[1]:.1f} | " + " | ".join(cells) + " |"
    mean = np.reshape(means, (-1, len(keeps))).mean(axis=0)
    yield "| mean | | | " + " | ".join(f"{gain:+.1f}" for gain in mean) + " |"


def test_what_the_default_gains_is_quoted_from_the_results():
    results = ROOT / "benchmarks" / "results"
    beds = json.loads((results / "designs_report.json").read_text())["beds"]
    beds["kdd, diverging"] = beds["kdd"]
    beds["kdd"] = json.loads((results / "designs_damped.json").read_text())["beds"]["kdd_damped"]
    readme = (ROOT / "README.md").read_text()
    for row in rows_of_the_default(beds):
        assert row in readme, row
