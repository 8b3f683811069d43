"""What the page says: facts, escaping, galleries, data that moved, sizes, refusals. Read as HTML, without a browser."""

import json
import re
import shutil
import warnings
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reported_runs import (
    ODD_CLASSES,
    SCRIPT,
    digits_run_fixture,  # noqa: F401
    made,
    pictures_fixture,  # noqa: F401
    pictures_run_fixture,  # noqa: F401
    texts_run_fixture,  # noqa: F401
)

import unseen
from unseen.data import resolve
from unseen.engine.runs import RunDirectory
from unseen.errors import ArgumentError, RunError, StorageError
from unseen.evaluating.result import ArmResult, Evaluation
from unseen.reporting import galleries


class Elements(HTMLParser):
    """The elements of a page and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def count(self, tag, **having):
        return sum(
            name == tag and all(having[key] in (attrs.get(key) or "") for key in having) for name, attrs in self.tags
        )


def page_of(run, tmp_path, **options):
    return unseen.report(run, out=tmp_path / "page.html", **options).read_text()


def test_it_says_what_was_done_and_shows_it(digits_run, tmp_path):
    page = page_of(digits_run, tmp_path)
    said = " ".join("".join(Elements(page).text).split())
    assert "digits: 1,078 of 1,797 samples kept" in said
    assert "(10 classes) of digits was scored by el2n (harder when higher), by logistic regression models" in said
    assert "The rule top" in said
    assert "kept 1,078 (60.0 %) and left out 719." in said
    assert "The 2 trainings took" in said
    assert "By samples seen, with the learner that scored, choosing cost 1.0 trainings on everything" in said
    assert "each training on the coreset saves 0.40 of one, so choosing is paid for after 3." in said
    assert "Not known yet" in said  # nobody evaluated it
    assert "1,797 distinct ranks for 1,797 samples" in said
    for gallery in ("hardest", "easiest", "label-errors", "threshold", "kept", "pruned", "classes"):
        assert f'data-kind="{gallery}"' in page
    assert Elements(page).count("img", src="data:image/png;base64,") > 100


def test_it_names_the_rule_as_typed_and_why_a_coreset_is_random(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 3)), np.repeat([0, 1], [380, 20])
    for name, x in {"weak": X, "strong": X + 4 * y[:, None]}.items():
        run = tmp_path / name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            unseen.prune(x, y, keep=0.5, learner="logistic", threads=1, out=run)
        said = " ".join("".join(Elements(page_of(run, tmp_path)).text).split())
        if name == "weak":
            assert "The rule random:quota=floored kept 200 (50.0 %) and left out 200. It draws at random within" in said
            assert "better than predicting the largest class (95.0 %), so their scores are not used." in said
            assert "not counted, since the models are too weak to doubt a label (right on 9" in said
        else:
            assert "The rule stratified:by=rank,cutoff=auto,quota=floored kept 200 (50.0 %) and left out 200." in said
            assert "at random" not in said.partition("left out 200.")[2][:100]


def test_the_same_run_gives_the_same_bytes(digits_run, tmp_path):
    first = page_of(digits_run, tmp_path)
    assert page_of(digits_run, tmp_path) == first


def test_it_is_written_into_the_run_unless_said_otherwise(digits_run):
    assert unseen.report(digits_run, images=0) == digits_run / "report.html"
    assert RunDirectory(digits_run).coreset() is not None  # and harms nothing there
    (digits_run / "report.html").unlink()


def test_every_gallery_shows_what_it_says(digits_run, tmp_path):
    table, coreset = unseen.load(digits_run)
    page = page_of(digits_run, tmp_path, images=6)
    walls = {
        kind: re.findall(r'<li class="card (\w*)".*?title="(\d+)"', wall, flags=re.S)
        for kind, wall in re.findall(r'<article class="wall" data-kind="([\w-]+)">(.*?)</article>', page, flags=re.S)
    }
    hard = np.argsort(-table.column("el2n"), kind="stable")
    assert [int(i) for _, i in walls["hardest"]] == hard[:6].tolist()
    assert [int(i) for _, i in walls["easiest"]] == hard[::-1][:6].tolist()
    assert {fate for fate, _ in walls["kept"]} == {"kept"}
    assert {fate for fate, _ in walls["pruned"]} == {"pruned"}
    assert all(table.column("label_issue")[int(i)] > 0 for _, i in walls["label-errors"])
    assert {fate for fate, _ in walls["threshold"]} == {"kept", "pruned"}
    for wall in walls.values():
        assert all((fate == "kept") == coreset.mask[int(i)] for fate, i in wall)


def test_nothing_of_the_data_becomes_code(pictures_run, texts_run, tmp_path):
    for run, names in ((pictures_run, ODD_CLASSES), (texts_run, (SCRIPT, "العربية"))):
        page = page_of(run, tmp_path)
        found = Elements(page)
        assert found.count("script") == 1
        assert not [attrs for _, attrs in found.tags if any(name.startswith("on") for name in attrs)]
        assert not [attrs for tag, attrs in found.tags if tag == "img" and not attrs["src"].startswith("data:image/")]
        assert not [tag for tag, _ in found.tags if tag in ("link", "iframe", "object", "embed", "b<", "base")]
        for name in names:
            assert name in "".join(found.text)


def test_a_planted_hole_in_the_escaping_is_found(texts_run, tmp_path, monkeypatch):
    import jinja2

    real = jinja2.Environment
    monkeypatch.setattr(jinja2, "Environment", lambda **options: real(**{**options, "autoescape": False}))
    assert Elements(page_of(texts_run, tmp_path)).count("script") > 1


def test_nothing_is_fetched(digits_run, tmp_path):
    page = page_of(digits_run, tmp_path)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe-inline'; script-src 'sha256-" in policy
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_text_and_tables_are_shown(texts_run, tmp_path):
    page = page_of(texts_run, tmp_path)
    assert '<p class="words" dir="auto">مرحبا بالعالم' in page
    table = pa.table({"age": [31, 40] * 20, "job": ["<b>", None] * 20, "label": ["yes", "no"] * 20})
    pq.write_table(table, tmp_path / "table.parquet")
    run = made(tmp_path / "run", resolve(tmp_path / "table.parquet"), source=tmp_path / "table.parquet")
    page = page_of(run, tmp_path)
    assert '<dt dir="auto">job</dt><dd dir="auto">&lt;b&gt;</dd>' in page
    assert '<dt dir="auto">job</dt><dd dir="auto">missing</dd>' in page


def test_the_report_works_without_the_data_and_says_so(pictures_run, pictures, tmp_path):
    moved = tmp_path / "moved"
    run = made(tmp_path / "run", resolve(str(pictures), image_size=8), source=moved, image_size=8)
    page = page_of(run, tmp_path)
    assert "Samples cannot be shown: there is no file or folder" in page
    assert 'class="chart"' in page
    shutil.copytree(pictures, moved)
    assert "Samples cannot be shown" not in page_of(run, tmp_path)  # times of files do not matter here
    first = next(moved.rglob("*.png"))
    first.write_bytes(first.read_bytes() + b"more")
    assert "not what was scored: the size of the files changed since" in page_of(run, tmp_path)
    first.unlink()
    assert "not what was scored: its ids or labels differ" in page_of(run, tmp_path)
    assert "Samples cannot be shown" not in page_of(run, tmp_path, data=str(pictures))


def test_a_table_that_cannot_be_opened_any_more_is_told(tmp_path):
    rows = [f"{at / 7},{'ab'[at % 2]}" for at in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["x,label", *rows]))
    run = made(tmp_path / "run", resolve(tmp_path / "t.csv"), source=tmp_path / "t.csv")
    assert "Samples cannot be shown" not in page_of(run, tmp_path)
    (tmp_path / "t.csv").write_text("\n".join(["x,label", "inf,a", *rows[1:]]))
    assert "Samples cannot be shown: features must be finite" in page_of(run, tmp_path)


def test_a_run_from_python_says_how_to_name_its_data(tmp_path):
    run = made(tmp_path / "run", resolve("digits"))
    page = page_of(run, tmp_path)
    assert "does not say which data it read" in page
    assert f"unseen report {run} --data PATH" in page
    assert Elements(page_of(run, tmp_path, data="digits")).count("img") > 50


def test_vectors_can_be_shown_as_the_images_that_they_were_made_of(pictures, tmp_path):
    images = resolve(str(pictures), image_size=8)
    rng = np.random.default_rng(0)
    vectors = unseen.data.from_arrays(rng.normal(size=(len(images), 70)), images.labels, ids=images.ids)
    run = made(tmp_path / "run", vectors, source=tmp_path / "nowhere")
    assert "they are vectors, which say nothing to the eye" in page_of(run, tmp_path)
    assert Elements(page_of(run, tmp_path, data=str(pictures))).count("img") > 20


def test_pictures_keep_to_their_budget(pictures_run, tmp_path, monkeypatch):
    whole = page_of(pictures_run, tmp_path)
    monkeypatch.setattr(galleries, "MOST_BYTES", 20_000)
    page = page_of(pictures_run, tmp_path)
    assert len(page) < len(whole)
    assert re.search(r"\d+ pictures are left out", page)
    assert "no picture" in page
    # Banners and dots alike are at most twice as large as they are shown.
    sizes = [len(image) for image in re.findall(r"base64,([^\"]+)", whole)]
    assert max(sizes) < 60_000


def test_an_image_that_is_damaged_since_leaves_a_gap(pictures, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(pictures, copy)
    run = made(tmp_path / "run", resolve(str(copy), image_size=8), source=copy, image_size=8)
    for path in copy.rglob("0*.png"):
        path.write_bytes(b"x" * path.stat().st_size)
    page = page_of(run, tmp_path)
    assert "no picture" in page
    assert Elements(page).count("img") > 20


def test_runs_beside_it_add_what_they_hold(digits_run, tmp_path):
    coreset = unseen.load(digits_run).coreset
    unseen.evaluate("digits", coresets=coreset, learner="logistic", seeds=2, threads=1, out=tmp_path / "evaluated")
    seen = made(tmp_path / "seen", resolve("digits"), plan="seen")
    page = page_of(digits_run, tmp_path, beside=[tmp_path / "evaluated", seen])
    assert "Not known yet" not in page
    evaluation = unseen.load(tmp_path / "evaluated")
    assert f"coreset against full: {evaluation.verdict('coreset').text}" in page
    assert "undecided for logistic regression" in page
    for chart in ("evaluation", "distribution", "sides"):
        assert f'id="chart-{chart}"' in page
    assert "in-sample (plan seen)" in page
    alone = page_of(tmp_path / "evaluated", tmp_path)
    assert 'id="chart-evaluation"' in alone


@pytest.mark.parametrize(
    ("right", "lost", "word"), [(0.998, 0.0, "lossless"), (0.998, 0.2, "mixed"), (0.9, 0.0, "mixed")]
)
def test_lossless_is_not_green_where_a_class_loses_or_accuracy_says_little(right, lost, word, tmp_path):
    """A class of a hundredth of the test samples loses a fifth, which all of them together hardly notice."""

    def arm(kind, accuracies, **more):
        by_class, counts = np.tile(accuracies, (3, 1)), np.full(3, 50)
        accuracy = by_class @ [0.99, 0.01]
        more |= {"beside_error": {"full": 0.001, "random": 0.001}, "class_error": {"full": [0.001, 0.02]}}
        return ArmResult(kind, kind, 1, counts, counts, counts, counts, accuracy, by_class, 0.001, **more)

    test = {"n": 100_000, "text": "a test set", "of_class": [99_000, 1_000]}
    about = {"fix": "epochs", "margin": 0.01, "level": 0.95, "seed": 0, "seeds": 3, "test": test}
    about |= {"learner": {"learner": "ridge"}, "near_duplicates": {"text": ""}, "notes": []}
    arms = (arm("full", [right, right]), arm("coreset", [right, right - lost], beside={"full": "full"}))
    with RunDirectory(tmp_path / "run") as run:
        run.open({"format": 1, "seed": 0})
        run.save_output("evaluation.parquet", Evaluation(arms, ("most", "few"), about))
    page = page_of(tmp_path / "run", tmp_path)
    assert Elements(page).count("div", **{"class": f"verdict {word}"}) == 1
    assert "coreset against full: lossless for ridge regression within 1 points" in page
    assert ("; class few loses 20.0 ± 4.5 points" in page) == bool(lost)
    assert ("accuracy says little here: ridge regression trained on everything" in page) == (right < 0.99)
    assert not re.search(r"\.mixed[^}]*--good", page)


def test_runs_that_add_nothing_are_refused(digits_run, pictures_run, tmp_path):
    with pytest.raises(ArgumentError, match=r"must be a run on the samples of .* but it is on others \(36\)"):
        unseen.report(digits_run, beside=[pictures_run])
    # As many samples, numbered alike, with other labels, beside which a test set is on record.
    x, y = np.random.default_rng(0).normal(size=(1897, 2)), np.arange(1897) % 3
    half, out = unseen.Coreset(ids=np.arange(900), indices=np.arange(900), n=1797), tmp_path / "evaluated"
    unseen.evaluate(x[:1797], y[:1797], test=(x[1797:], y[1797:]), coresets=half, learner="ridge", seeds=2, out=out)
    with pytest.raises(ArgumentError, match=r"with the same labels, but it is on others \(1,797\)"):
        unseen.report(digits_run, beside=[out])
    other = made(tmp_path / "run", resolve("digits"))
    with RunDirectory(tmp_path / "loss") as run:
        run.open({"format": 1, "seed": 0})
        run.save_table(unseen.ScoreTable.of("loss", np.arange(1797.0), direction="harder"))
    with pytest.raises(ArgumentError, match="adds nothing to the report"):
        unseen.report(other, beside=[tmp_path / "loss"])


def test_steps_are_shown(tmp_path):
    unseen.grow("digits", keep=0.2, steps=2, learner="logistic", threads=1, out=tmp_path / "grown")
    page = page_of(tmp_path / "grown", tmp_path, data="digits")
    assert 'data-kind="step1-entered"' in page
    assert "It was chosen in several steps: 180 samples, then 269, then 359." in page


def test_curves_are_shown(tmp_path):
    unseen.sweep(
        "digits", methods=["folds:k=2/el2n/top"], keep=[0.5, 0.2], seeds=1, learner="logistic", out=tmp_path / "swept"
    )
    page = page_of(tmp_path / "swept", tmp_path)
    assert 'id="chart-curve"' in page
    assert "folds:k=2/el2n/top" in page
    assert "Measured" in page or re.search(r"Better than random in \d of 2 comparisons", page)
    assert "50 % pruned: best, by hindsight, is folds:k=2/el2n/top" in page
    assert "Methods were compared on 1,437 samples." in page
    assert 'href="#galleries"' not in page


def test_targets_are_told_as_bins(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    run = tmp_path / "run"
    data = unseen.data.from_arrays(X, target=X[:, 0])
    unseen.prune(data, keep=0.5, rule="top", learner="ridge", threads=1, out=run)
    page = page_of(run, tmp_path, data=data)
    assert "Bins of the target, before and after" in page
    assert "contradicted by" not in page
    choices = re.findall(r'<option value="(-?[\d.]+) \.\. ', page)
    assert len(choices) > 5
    assert choices == sorted(choices, key=float)


@pytest.mark.parametrize("images", [-1, 201, 2.5, True])
def test_images_out_of_range_are_refused(digits_run, images):
    with pytest.raises(ArgumentError, match="images must be an integer from 0 to 200"):
        unseen.report(digits_run, images=images)


def test_what_is_no_finished_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="holds no run"):
        unseen.report(tmp_path)
    with RunDirectory(tmp_path / "begun") as run:
        run.open({"format": 1, "seed": 0})
    with pytest.raises(RunError, match="holds no results yet"):
        unseen.report(tmp_path / "begun")


def test_a_run_of_a_newer_format_says_which(tmp_path):
    with RunDirectory(tmp_path / "new") as run:
        run.open({"format": 7, "versions": {"unseen": "4.2"}})
    with pytest.raises(RunError, match=r"run of format 7, written by unseen 4\.2.*formats up to 1; upgrade unseen"):
        unseen.report(tmp_path / "new")


def test_a_place_that_cannot_be_written_is_named(digits_run, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*file/page\.html: .*; choose a folder that can be written"):
        unseen.report(digits_run, out=tmp_path / "file" / "page.html", images=0)


def test_only_an_earlier_report_is_replaced(digits_run, tmp_path):
    notes = tmp_path / "notes.html"
    notes.write_text("<h1>mine</h1>")
    with pytest.raises(ArgumentError, match="exists already and is not a report"):
        unseen.report(digits_run, out=notes, images=0)
    assert notes.read_text() == "<h1>mine</h1>"
    first = unseen.report(digits_run, out=tmp_path / "page.html", images=0).read_bytes()
    assert unseen.report(digits_run, out=tmp_path / "page.html", images=0).read_bytes() == first


@pytest.mark.parametrize("n", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_as_many_classes_as_samples(tmp_path, n):
    table = unseen.ScoreTable(
        ids=np.arange(n),
        labels=np.arange(n),
        class_names=tuple(map(str, range(n))),
        folds=np.zeros((1, n), np.int32),
        values={"el2n": np.linspace(0, 1, n)[None]},
        directions={"el2n": "harder"},
    )
    with RunDirectory(tmp_path / "run") as run:
        run.open({"format": 1, "seed": 0})
        run.save_table(table)
    page = page_of(tmp_path / "run", tmp_path)
    assert f"The 60 largest of {n:,}." in page
    assert len(page) < n


@pytest.mark.slow
def test_a_data_set_of_the_size_of_imagenet(tmp_path):
    n, classes = 1_281_167, 1000
    rng = np.random.default_rng(0)
    data = unseen.data.from_arrays(rng.integers(0, 256, (n, 4, 4, 3), dtype=np.uint8), rng.integers(0, classes, n))
    run = made(tmp_path / "run", data)
    page = unseen.report(run, data=data, images=200, out=tmp_path / "page.html")
    assert page.stat().st_size < 15_000_000


def test_scores_all_the_same_or_missing(tmp_path):
    for name, values in (("same", np.full(20, 0.5)), ("missing", np.full(20, np.nan))):
        with RunDirectory(tmp_path / name) as run:
            run.open({"format": 1, "seed": 0})
            run.save_table(unseen.ScoreTable.of("el2n", values, direction="harder"))
        assert ('id="chart-distribution"' in page_of(tmp_path / name, tmp_path)) == (name == "same")


def test_a_damaged_command_does_not_stop_it(tmp_path):
    run = made(tmp_path / "run", resolve("digits"), source="digits")
    (run / "command.json").write_text("{")
    assert "is damaged" in page_of(run, tmp_path)
    (run / "command.json").write_text(json.dumps({"command": "prune", "options": []}))
    assert "is damaged" in page_of(run, tmp_path)
