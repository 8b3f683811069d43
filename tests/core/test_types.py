"""Score tables and coresets: what they compute, refuse and save."""

import dataclasses
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

import unseen
from unseen.core.coreset import Coreset
from unseen.core.files import read_parquet, write_parquet
from unseen.core.table import OWN_COLUMNS, ScoreTable


def table(repeats=3, n=40, text=False, provenance=None):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(repeats, n))
    values[0, 3] = np.nan
    values[:, 5] = np.nan
    return ScoreTable(
        ids=np.array([f"bild/{i}-ü.png" for i in range(n)]) if text else np.arange(n) * 3 - 6,
        labels=rng.integers(0, 3, n),
        class_names=("Äpfel", "b", "c"),
        folds=rng.integers(-1, 4, (repeats, n)).astype(np.int32),
        values={"el2n": values, "disagreement:x=1": rng.normal(size=(1, n))},
        directions={"el2n": "harder", "disagreement:x=1": "worth"},
        mean_confidence=rng.uniform(size=n),
        predictions=rng.integers(-1, 3, n),
        provenance=provenance or {"plan": {"plan": "folds", "k": 4}, "seed": 0},
    )


def assert_same(a, b):
    assert (a.class_names, a.directions, a.provenance) == (b.class_names, b.directions, b.provenance)
    assert list(a.values) == list(b.values)
    for name, one, other in [
        ("ids", a.ids, b.ids), ("labels", a.labels, b.labels), ("folds", a.folds, b.folds),
        ("confidence", a.mean_confidence, b.mean_confidence), ("predictions", a.predictions, b.predictions),
        *((name, a.values[name], b.values[name]) for name in a.values),
    ]:  # fmt: skip
        np.testing.assert_array_equal(one, other, err_msg=name)
        assert one is None or name == "ids" or one.dtype == other.dtype


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("text", [False, True])
def test_a_table_comes_back_and_saves_to_the_same_bytes(tmp_path, repeats, text):
    first = table(repeats, text=text)
    back = ScoreTable.load(first.save(tmp_path / "a.parquet"))
    assert_same(first, back)
    back.save(tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert_same(unseen.load(tmp_path / "b.parquet"), first)


def test_a_name_with_a_colon_is_no_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ScoreTable.of("el2n", [0.3, 1.2, 0.1], direction="harder").save("photos:2.parquet")
    assert ScoreTable.load("photos:2.parquet").column("el2n").tolist() == [0.3, 1.2, 0.1]


def test_a_table_without_predictions(tmp_path):
    bare = ScoreTable.of("el2n", [0.1, 0.2], direction="harder")
    back = ScoreTable.load(bare.save(tmp_path / "a.parquet"))
    assert back.mean_confidence is None
    assert back.predictions is None
    assert_same(bare, back)


@pytest.mark.parametrize(
    "choose",
    [
        lambda scores: unseen.rules.window(scores, keep=5, offset=np.int64(2), direction="harder"),
        lambda scores: unseen.rules.stratified(scores, keep=5, strata=np.int64(3), direction="harder"),
        lambda scores: unseen.rules.trimmed(scores, keep=5, times=np.float32(3), direction="harder"),
        lambda scores: unseen.rules.window(scores, keep=5, offset=Fraction(1, 4), direction="harder"),
    ],
)
def test_options_may_be_numbers_of_numpy(tmp_path, choose):
    coreset = choose(np.random.default_rng(0).random(20))
    options = Coreset.load(coreset.save(tmp_path / "coreset.parquet")).provenance["options"]
    assert options == coreset.provenance["options"]


def test_a_plan_may_count_with_numbers_of_numpy(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32), np.arange(40) % 2
    scored = unseen.score(x, y, plan=unseen.folds(np.int64(3)), learner="ridge")
    assert ScoreTable.load(scored.save(tmp_path / "scores.parquet")).provenance["plan"]["k"] == 3


def test_columns_are_as_documented(tmp_path):
    """Read by pyarrow alone: the file is for other tools too."""
    own = table()
    file = pq.read_table(own.save(tmp_path / "a.parquet"))
    assert file.column_names == [
        "id", "label", "fold.0", "fold.1", "fold.2", "el2n", "el2n.std", "el2n.0", "el2n.1", "el2n.2",
        "disagreement:x=1", "mean_confidence", "prediction",
    ]  # fmt: skip
    np.testing.assert_array_equal(file["el2n.1"].to_numpy(), own.values["el2n"][1])
    assert table(1).to_columns().keys() >= {"fold", "el2n"}


@pytest.mark.parametrize("text", [False, True])
def test_a_coreset_comes_back_and_saves_to_the_same_bytes(tmp_path, text):
    indices = np.array([2, 5, 6])
    first = Coreset(
        ids=np.array([f"s{i}" for i in indices]) if text else indices * 10,
        indices=indices,
        n=9,
        order=np.array([6, 2, 5]),
        sources=np.array(["stratum 1", "stratum 1", "stratum 7"]),
        provenance={"rule": "top", "seed": 0},
    )
    back = Coreset.load(first.save(tmp_path / "a.parquet"))
    for name in ("ids", "indices", "order", "sources"):
        np.testing.assert_array_equal(getattr(back, name), getattr(first, name))
    assert (back.n, back.provenance) == (9, first.provenance)
    back.save(tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    plain = Coreset.load(Coreset(ids=indices, indices=indices, n=9).save(tmp_path / "c.parquet"))
    assert plain.order is None
    assert plain.sources is None


def test_a_coreset_knows_its_complement():
    coreset = Coreset(ids=np.array([4, 7]), indices=np.array([4, 7]), n=10, provenance={"rule": "top"})
    assert coreset.mask.nonzero()[0].tolist() == [4, 7]
    assert coreset.pruned.tolist() == [0, 1, 2, 3, 5, 6, 8, 9]
    assert len(coreset) == 2
    assert repr(coreset) == "Coreset(2 of 10 samples kept, 20.0 % by top)"


# Files that are damaged, or not ours


def test_every_flipped_bit_is_found_or_harmless(tmp_path):
    own = table(1, n=6)
    whole = own.save(tmp_path / "a.parquet").read_bytes()
    damaged, messages = tmp_path / "damaged.parquet", []
    places = range(0, len(whole), max(1, len(whole) // 400))
    for place in places:
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        damaged.write_bytes(data)
        try:
            back = ScoreTable.load(damaged)
        except unseen.CorruptFileError as error:
            messages.append(str(error))
        else:
            assert_same(own, back)  # a bit that means nothing, such as one of an unread statistic
    assert len(messages) > 0.6 * len(places)
    assert all(str(damaged) in message for message in messages)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999])
def test_truncated_files_are_found(tmp_path, share):
    path = table().save(tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(unseen.CorruptFileError, match=r"a\.parquet is damaged or was not written by unseen"):
        ScoreTable.load(path)


def test_foreign_files_are_found(tmp_path):
    pq.write_table(pa.table({"id": [1]}), tmp_path / "foreign.parquet")
    with pytest.raises(unseen.CorruptFileError, match="was not written by unseen"):
        ScoreTable.load(tmp_path / "foreign.parquet")
    path = table().save(tmp_path / "a.parquet")
    with pytest.raises(unseen.CorruptFileError, match="must hold a file of kind 'coreset', but it holds 'scores'"):
        Coreset.load(path)
    with pytest.raises(FileNotFoundError):
        ScoreTable.load(tmp_path / "none.parquet")


def test_an_edited_column_is_found(tmp_path):
    path = table().save(tmp_path / "a.parquet")
    file = pq.read_table(path)
    changed = file.set_column(1, "label", pa.array(np.zeros(40, np.int64))).replace_schema_metadata(
        file.schema.metadata
    )
    pq.write_table(changed, path)
    with pytest.raises(unseen.CorruptFileError, match="its content does not match its digest"):
        read_parquet(path, "scores")


def test_a_failed_save_keeps_the_old_file(tmp_path):
    path = table(provenance={"a": 1}).save(tmp_path / "a.parquet")
    before = path.read_bytes()
    with pytest.raises(TypeError, match="not JSON serializable"):
        table(provenance={"a": object()}).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# What a table refuses


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScoreTable.of("a", [1, 2, 3], direction="harder", ids=[1, 2, 1]), "these occur twice: 1"),
        (lambda: ScoreTable.of("a", [1, 2], direction="up"), r"direction of 'a' must be one of \('harder', .* 'up'"),
        (lambda: ScoreTable.of("a", [1, 2], direction="harder", ids=[1]), "one entry for each of the 1 ids, got 2"),
        (lambda: ScoreTable.of("a", [1, 2], direction="harder", labels=[0]), "labels must have one entry .* got 1"),
        (
            lambda: ScoreTable.of("a", [1, 2], direction="harder", mean_confidence=[0.5]),
            "mean_confidence must have one entry .* got 1",
        ),
        (lambda: dataclasses.replace(table(), predictions=np.zeros(2, int)), "predictions must have one .* got 2"),
        *(
            (lambda name=name: ScoreTable.of(name, [1], direction="harder"), f"must not be named '{name}'")
            for name in OWN_COLUMNS
        ),
        (lambda: table()["el3n"], "this table has no score 'el3n'; did you mean 'el2n'"),
        (lambda: table().column("x"), "this table has no score 'x'"),
    ],
)
def test_a_table_refuses(make, message):
    with pytest.raises(unseen.ArgumentError, match=message):
        make()


# What it computes


def test_means_and_spreads_pass_over_what_was_not_scored():
    values = np.array([[1.0, 2.0, np.nan, np.nan], [3.0, np.nan, 5.0, np.nan], [8.0, np.nan, 7.0, np.nan]])
    own = ScoreTable.of("a", values, direction="harder")
    np.testing.assert_array_equal(own.column("a"), [4.0, 2.0, 6.0, np.nan])
    np.testing.assert_allclose(own.spread("a"), [np.std([1, 3, 8], ddof=1), np.nan, np.sqrt(2), np.nan])
    assert repr(own) == "ScoreTable(4 samples, 3 repeats; a: harder when higher, 2 .. 6)"


def test_a_column_of_nothing_prints_and_saves(tmp_path):
    own = ScoreTable.of("a", [np.nan, np.nan], direction="easier")
    assert repr(own) == "ScoreTable(2 samples, 1 repeat; a: easier when higher, nan .. nan)"
    assert np.isnan(ScoreTable.load(own.save(tmp_path / "a.parquet")).column("a")).all()
    assert repr(ScoreTable.of("a", np.zeros((1, 0)), direction="worth")).startswith("ScoreTable(0 samples")


def test_one_score_of_a_table():
    one = table()["el2n"]
    assert one.scores == ("el2n",)
    assert one.directions == {"el2n": "harder"}
    np.testing.assert_array_equal(one.labels, table().labels)


@pytest.mark.parametrize(("repeats", "noise"), [(2, 0.5), (4, 1.0), (8, 2.0)])
def test_reliability_foretells_the_correlation_of_two_scorings(repeats, noise):
    """Against a simulation: truth plus noise, scored twice by as many repeats."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=20_000)
    one, other = truth + noise * rng.normal(size=(2, repeats, 20_000))
    foretold = ScoreTable.of("a", one, direction="harder").reliability("a")
    assert foretold == pytest.approx(stats.spearmanr(one.mean(axis=0), other.mean(axis=0)).statistic, abs=0.02)


def skewed(rng, n, truth, noise):
    """Lognormal scores: equal odds of being twice too high and half."""
    true = truth * rng.normal(size=n)
    return lambda repeats: np.exp(true + noise * rng.normal(size=(repeats, n)))


@pytest.mark.parametrize(("truth", "noise"), [(1, 1), (1, 1.5), (1, 2), (2, 2)])
@pytest.mark.parametrize("repeats", [3, 4, 5, 10])
def test_reliability_of_skewed_scores(repeats, truth, noise):
    """Spearman and Brown on single repeats say 0.90 where 0.87 is true, and 0.70 for 0.53 (ten repeats).

    The largest fault that is left is 0.03, where five repeats of very skewed scores are extended from two.
    """
    rng = np.random.default_rng(0)
    said, true = [], []
    for _ in range(6):
        draw = skewed(rng, 5000, truth, noise)
        one, other = draw(repeats), draw(repeats)
        said.append(ScoreTable.of("a", one, direction="harder").reliability("a"))
        true.append(stats.spearmanr(one.mean(axis=0), other.mean(axis=0)).statistic)
    assert np.mean(said) == pytest.approx(np.mean(true), abs=0.035 if noise > truth * 1.5 else 0.02)


@pytest.mark.parametrize("repeats", [2, 3, 4, 5, 10])
@pytest.mark.parametrize("noise", [1, 3])
def test_reliability_of_few_samples_is_right_on_average(repeats, noise):
    rng = np.random.default_rng(0)
    said, true = [], []
    for _ in range(60):
        truth = rng.normal(size=200)
        one, other = truth + noise * rng.normal(size=(2, repeats, 200))
        said.append(ScoreTable.of("a", one, direction="harder").reliability("a"))
        true.append(stats.spearmanr(one.mean(axis=0), other.mean(axis=0)).statistic)
    assert np.mean(said) == pytest.approx(np.mean(true), abs=0.03)


def test_two_repeats_of_skewed_scores_are_noted():
    def note(values):
        return ScoreTable.of("a", values, direction="harder").reliability_note("a")

    draw = skewed(np.random.default_rng(0), 2000, 1, 1)
    assert "likely too high" in note(draw(2))
    assert note(draw(3)) == note(draw(1)) == note(np.log(draw(2))) == ""


def test_reliability_at_its_ends():
    def reliability(*values):
        return ScoreTable.of("a", np.array(values), direction="harder").reliability("a")

    assert np.isnan(reliability([1.0, 2.0, 3.0]))
    assert np.isnan(reliability([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]))
    assert np.isnan(reliability([1.0, np.nan, 3.0], [np.nan, 1.0, 1.0]))
    assert reliability([1.0, 2.0, 3.0], [10.0, 20.0, 70.0]) == pytest.approx(1)
    assert reliability([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == pytest.approx(-1)
    assert reliability([1.0, 2.0, 3.0, np.nan], [1.0, 3.0, 2.0, 9.0]) == pytest.approx(2 * 0.5 / 1.5)


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads of a process as Linux shows them")
def test_a_file_is_read_without_another_thread(tmp_path):
    """Arrow's threads now and then abort a program that ends at once, as one that refuses what it was asked for."""
    write_parquet(tmp_path / "a.parquet", {"a": np.arange(3), "b": np.arange(3)}, {"kind": "scores"})
    code = (
        "import os, pathlib, sys; from unseen.core.files import read_parquet"
        "\ncount = lambda: len(os.listdir(sys.argv[2]))"
        "\nbefore = count(); read_parquet(pathlib.Path(sys.argv[1]), 'scores'); print(count() - before)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.parquet"), "/proc/self/task"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "0\n"


@pytest.mark.parametrize(
    ("rows", "ids", "message"),
    [
        ([3, 1], [3, 1], "rows in 0..4 as indices, ascending, each once"),
        ([1, 1], [1, 1], "rows in 0..4 as indices, ascending, each once"),
        ([-1, 1], [-1, 1], "rows in 0..4 as indices"),
        ([1, 5], [1, 5], "rows in 0..4 as indices"),
        ([1, 2], [1], "as many ids, got 2 indices and 1 ids"),
        ([True, False], [0, 1], "got a boolean mask; np.flatnonzero"),
    ],
)
def test_rows_that_are_no_coreset_are_refused(rows, ids, message):
    assert Coreset(ids=[1, 3], indices=[1, 3], n=5).mask.tolist() == [False, True, False, True, False]
    with pytest.raises(unseen.ArgumentError, match=message):
        Coreset(ids=np.array(ids), indices=np.array(rows), n=5)
