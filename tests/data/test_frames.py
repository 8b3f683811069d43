"""Frames of pandas and polars and tables of Arrow: one way in for all of them, in every verb."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import unseen
from unseen.data import from_arrays, from_frame, resolve
from unseen.data.sources import resolve_like
from unseen.errors import ArgumentError, DataError, UnknownNameError

N = 120
RNG = np.random.default_rng(0)
AGE = RNG.integers(18, 80, N)
PEOPLE = pd.DataFrame(
    {
        "age": AGE,
        "job": RNG.choice(["clerk", "cook", "smith"], N),
        "hours": RNG.normal(40, 5, N),
        "income": np.where(AGE + RNG.normal(0, 5, N) > 45, ">50K", "<=50K"),
    }
)
FAST = {"learner": "logistic", "plan": unseen.folds(2)}


def everything(data):
    return data.take(np.arange(len(data))).tolist()


def polars_frame(frame):
    polars = pytest.importorskip("polars")
    return polars.from_arrow(pa.Table.from_pandas(frame, preserve_index=False))


def hugging_face(frame):
    datasets = pytest.importorskip("datasets")
    return datasets.Dataset.from_pandas(frame, preserve_index=False)


def parquet(frame, folder):
    frame.to_parquet(folder / "people.parquet", index=False)
    return folder / "people.parquet"


def csv(frame, folder):
    frame.to_csv(folder / "people.csv", index=False)
    return folder / "people.csv"


def semicolons(frame, folder):
    frame.to_csv(folder / "eu.csv", index=False, sep=";", decimal=",")
    return folder / "eu.csv"


def json_lines(frame, folder):
    frame.to_json(folder / "people.jsonl", orient="records", lines=True, double_precision=15)
    return folder / "people.jsonl"


WAYS = {
    "pandas": lambda frame, _: frame,
    "polars": lambda frame, _: polars_frame(frame),
    "arrow": lambda frame, _: pa.Table.from_pandas(frame, preserve_index=False),
    "hugging face": lambda frame, _: hugging_face(frame),
    "parquet": parquet,
    "csv": csv,
    "csv with semicolons": semicolons,
    "json lines": json_lines,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_table_is_the_same_data_set(way, tmp_path):
    source = WAYS[way](PEOPLE, tmp_path)
    for data in (resolve(source, label="income"), resolve(source, label="income", features=["age", "job", "hours"])):
        assert (data.kind, data.feature_names) == ("table", ("age", "job", "hours"))
        assert data.class_names == ("<=50K", ">50K")
        assert [data.class_names[label] for label in data.labels] == PEOPLE["income"].tolist()
        found = everything(data)
        assert [row[:2] for row in found] == PEOPLE[["age", "job"]].values.tolist()
        np.testing.assert_allclose([row[2] for row in found], PEOPLE["hours"], rtol=1e-12)
    table, coreset = unseen.prune(source, label="income", keep=0.5, **FAST)
    same, _ = unseen.prune(PEOPLE, "income", keep=0.5, **FAST)
    np.testing.assert_allclose(table.column("el2n"), same.column("el2n"), rtol=1e-9)
    assert len(coreset) == N // 2


@pytest.mark.parametrize("way", WAYS)
def test_columns_are_asked_for_and_nearest_names_told(way, tmp_path):
    source = WAYS[way](PEOPLE, tmp_path)
    with pytest.raises(
        ArgumentError, match="must name the column of labels, as in label='income'; the columns are age"
    ):
        unseen.prune(source, keep=0.7)
    with pytest.raises(UnknownNameError, match="unknown column for label 'incom'; did you mean 'income'"):
        unseen.prune(source, label="incom", keep=0.7)
    with pytest.raises(UnknownNameError, match="unknown column for features 'jobs'; did you mean 'job'"):
        unseen.score(source, label="income", features=["jobs"])
    with pytest.raises(UnknownNameError, match="unknown column for group 'hour'; did you mean 'hours'"):
        unseen.score(source, label="income", group="hour")


@pytest.mark.parametrize("verb", ["score", "prune", "grow"])
def test_roles_of_columns_in_every_verb(verb):
    frame = PEOPLE.assign(name=[f"p{i:03}" for i in range(N)])
    calls = {
        "score": lambda: unseen.score(frame, label="income", id="name", features=["age", "hours"], group="job", **FAST),
        "prune": lambda: (
            unseen.prune(frame, "income", keep=0.5, id="name", features=["age", "hours"], group="job", **FAST).scores
        ),
        "grow": lambda: (
            unseen.grow(
                frame,
                label="income",
                keep=0.5,
                plan=unseen.folds(2),
                learner="logistic",
                id="name",
                features=["age", "hours"],
            ).scores
        ),
    }
    table = calls[verb]()
    assert table.ids.tolist() == frame["name"].tolist()
    assert table.class_names == ("<=50K", ">50K")
    if verb != "grow":  # a job never parts
        assert all(len(set(table.folds[0][(frame["job"] == job).to_numpy()])) == 1 for job in set(frame["job"]))


@pytest.mark.parametrize("way", ["pandas", "polars", "csv", "parquet", "hugging face"])
def test_numbers_of_a_test_set_are_a_table_where_the_training_set_has_gaps(way, tmp_path):
    rng = np.random.default_rng(0)
    full = pd.DataFrame({"age": rng.integers(18, 70, 90) * 1.0, "hours": rng.random(90), "label": np.arange(90) % 2})
    train, test = full[:60].copy(), full[60:].reset_index(drop=True)
    train.loc[5, "age"] = None
    test.loc[0] = train.loc[7]  # a copy, whose age is a whole number in the test set
    sources = [
        WAYS[way](frame.astype({"label": int}), made)
        for frame, made in zip((train, test), folders(tmp_path), strict=True)
    ]
    half = unseen.rules.random(60, keep=0.5)
    with pytest.raises(DataError, match=r"1 of 30 test samples are exact copies"):
        unseen.evaluate(sources[0], coresets=half, test=sources[1], seeds=1)
    found = unseen.evaluate(sources[0], coresets=half, test=sources[1], seeds=1, overlap="drop")
    assert found.about["test"]["n"] == 29
    swapped = unseen.rules.random(30, keep=0.5)
    with pytest.raises(DataError, match="kind is table, not vector; in the test set, entries are missing in age: fill"):
        unseen.evaluate(sources[1], coresets=swapped, test=sources[0], seeds=1)


def folders(path):
    for name in ("train", "test"):
        (path / name).mkdir()
        yield path / name


def test_the_other_verbs_take_columns_too():
    more = {"label": "income", "features": ["age", "hours"]}
    coreset = unseen.prune(PEOPLE, keep=0.5, **FAST, **more).coreset
    test = PEOPLE.assign(age=PEOPLE["age"] + 0.5)
    found = unseen.evaluate(PEOPLE, coresets=coreset, test=test, learner="logistic", seeds=1, **more)
    assert found.about["test"]["n"] == N
    assert unseen.embed(PEOPLE, label="income").sample_shape == (5,)
    assert unseen.estimate(PEOPLE, learner="logistic", **more).fits == 2
    swept = unseen.sweep(PEOPLE, methods=["el2n/top"], keep=[0.5], seeds=1, learner="logistic", test=test, **more)
    assert "360" not in repr(swept)
    assert "120 samples" in repr(swept)
    assert unseen.advise(PEOPLE, method="el2n/top", quick=True, step=0.5, searching=2, **more).n < N


@pytest.mark.parametrize("y", [PEOPLE["income"], PEOPLE[["income"]], PEOPLE["income"].to_numpy(), "income"])
def test_labels_in_every_form(y):
    X = PEOPLE if isinstance(y, str) else PEOPLE.drop(columns="income")
    data = resolve((X, y))
    assert data.feature_names == ("age", "job", "hours")
    assert data.class_names == ("<=50K", ">50K")
    if not isinstance(y, str):
        assert resolve((PEOPLE[["age"]].to_numpy(), y)).class_names == ("<=50K", ">50K")


def test_a_series_is_called_by_its_name():
    with pytest.raises(DataError, match="column 'hours' must hold classes, but row 0 has"):
        resolve((PEOPLE[["age"]].to_numpy(), PEOPLE["hours"]))
    with pytest.raises(DataError, match="column 'hours' must hold classes, but row 0 has"):
        resolve((PEOPLE[["age"]], PEOPLE[["hours"]]))
    with pytest.raises(DataError, match="y must be one column, but it has 2: age, hours; choose one"):
        resolve((PEOPLE[["age"]], PEOPLE[["age", "hours"]]))
    with pytest.raises(ArgumentError, match="y='income' names a column, but X has none"):
        resolve((PEOPLE[["age"]].to_numpy(), "income"))
    with pytest.raises(ArgumentError, match="label='income' names a column, and from_arrays has none"):
        unseen.prune(PEOPLE[["age"]].to_numpy(), PEOPLE["income"], label="income", keep=0.5)
    with pytest.raises(ArgumentError, match="labels are given twice, as an array and by label='income'"):
        unseen.prune(PEOPLE, PEOPLE["income"], label="income", keep=0.5)
    with pytest.raises(ArgumentError, match="named twice: y='income' and label='job'"):
        unseen.prune(PEOPLE, "income", label="job", keep=0.5)


def test_ids_are_an_index_that_was_set():
    shuffled = PEOPLE.sample(frac=1, random_state=0)
    assert resolve(shuffled, label="income").ids.tolist() == shuffled.index.tolist()
    named = PEOPLE.set_index(pd.Index([f"p{i}" for i in range(N)]))
    assert resolve(named, label="income").ids[:2].tolist() == ["p0", "p1"]
    assert resolve(PEOPLE, label="income").ids.tolist() == list(range(N))
    twice = pd.concat([PEOPLE, PEOPLE])
    data = resolve(twice, label="income")
    assert data.ids.tolist() == list(range(2 * N))
    assert any("not of unique integers or text" in note for note in data.notes)


def test_one_split_of_a_frame():
    frame = PEOPLE.assign(split=["train", "test"] * (N // 2))
    data = resolve(frame, label="income", split="test")
    assert [row[0] for row in everything(data)] == frame["age"][1::2].tolist()
    assert data.as_frame(np.array([0]))["age"].tolist() == [frame["age"][1]]
    with pytest.raises(ArgumentError, match="split must be one of test, train, got 'tset'"):
        resolve(frame, label="income", split="tset")


ODD = {
    "lists": ([[1.0], [1.0, 2.0], [3.0], [4.0]], "column 'odd' holds lists of numbers, which are inputs only"),
    "mixed": (
        [1, "a", 2, 3],
        "column 'odd' must hold entries of one type, but row 1 holds str 'a' among int; make it t",
    ),
    "objects": ([object()] * 4, "column 'odd' has entries of object, which is no feature; drop it"),
    "infinite": ([1.0, np.inf, 2.0, 3.0], "'odd' is infinite in row 1; make|row 1, column odd"),
}
SMALL = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "label": [0, 1, 0, 1]})


def test_times_and_decimals_are_numbers():
    seconds = {
        "time": [datetime.time(0, 0, second) for second in (1, 2, 3, 4)],
        "duration": pd.to_timedelta([1, 2, 3, 4], unit="s"),
        "decimal": [decimal.Decimal(f"{second}.00") for second in (1, 2, 3, 4)],
    }
    frame = SMALL.assign(**seconds)
    data = resolve(frame)
    assert data.kind == "vector"
    assert data.feature_names == ("a", *seconds)
    assert "decimals are read as real numbers, which may have fewer digits: decimal" in data.notes
    assert "durations and times are read as seconds: time, duration" in data.notes
    np.testing.assert_array_equal(data.take(np.arange(4))[:, 1:], np.outer([1, 2, 3, 4], [1, 1, 1]))
    target = resolve(frame.drop(columns="label"), target="decimal")
    assert target.targets.tolist() == [1, 2, 3, 4]
    assert from_arrays(data.take(np.arange(4)), target=seconds["decimal"]).targets.tolist() == [1, 2, 3, 4]


def test_whole_decimals_keep_all_digits_in_ids_groups_and_labels():
    large = [decimal.Decimal(2**60 + at) for at in range(4)]
    assert resolve(SMALL.assign(key=large), id="key").ids.tolist() == [int(key) for key in large]
    assert len(set(resolve(SMALL.assign(key=large), group="key").groups.tolist())) == 4
    assert len(resolve(SMALL.assign(label=large)).class_names) == 4


@pytest.mark.parametrize(
    "odd",
    [pa.array([b"xx"] * 4, pa.binary(2)), pa.array([(1, 2, 3)] * 4, pa.month_day_nano_interval())],
    ids=["bytes of one length", "months"],
)
def test_types_of_arrow_that_no_model_reads_are_left_out(odd):
    table = pa.table({"a": [1.0, 2.0, 3.0, 4.0], "odd": odd, "label": [0, 1, 0, 1]})
    with pytest.warns(UserWarning, match="left out of the inputs, .* 'odd'"):
        assert resolve(table).feature_names == ("a",)


def test_intervals_are_categories():
    frame = pd.DataFrame({"x": np.sin(np.arange(40)), "cut": pd.cut(np.arange(40) % 7, 3), "label": [0, 1] * 20})
    data = resolve(frame)
    assert data.kind == "table"
    assert data.feature_names == ("x", "cut")
    assert resolve(frame, label="cut").class_names == tuple(map(str, sorted(map(str, frame["cut"].cat.categories))))
    assert len(unseen.prune(frame, keep=20, rule="random", plan=unseen.seen()).coreset) == 20


def test_columns_that_no_model_reads_are_left_out_and_named(tmp_path):
    odd = {"period": pd.period_range("2020", periods=4, freq="D"), "words": [["x"], ["y", "z"], [], ["x"]]}
    frame = SMALL.assign(**odd)
    with pytest.warns(UserWarning, match=r"left out of the inputs, .* 'period' \(.*period.*\), 'words' \(list<"):
        data = resolve(frame)
    assert data.feature_names == ("a",)
    with pytest.raises(DataError, match=r"column 'words' has type list.* name the other columns by features="):
        resolve(frame, features=["a", "words"])
    nested = frame.drop(columns="period")
    with pytest.warns(UserWarning, match="left out of the inputs"):
        kept = unseen.prune(nested, keep=2, rule="random", learner=GaussianNB(), plan=unseen.seen())
    with pytest.warns(UserWarning, match="left out of the inputs"):
        path = unseen.export(kept, "parquet", tmp_path / "kept.parquet", data=nested)
    assert set(pd.read_parquet(path).columns) >= {"a", "words", "label"}


@pytest.mark.parametrize("odd", ODD)
def test_odd_columns_are_refused_by_name(odd, tmp_path):
    values, message = ODD[odd]
    frame = SMALL.assign(odd=values)
    for call in (
        lambda: unseen.prune(frame, keep=0.5),
        lambda: unseen.score(frame.drop(columns="label"), frame["label"]),
        lambda: unseen.grow(frame, keep=0.5),
        lambda: unseen.evaluate(frame, coresets={}),
        lambda: unseen.embed(frame),
        lambda: unseen.Pruner(0.5).fit(frame.drop(columns="label"), frame["label"]),
    ):
        with pytest.raises(DataError, match=message):
            call()


ENCODED = {
    "booleans with gaps": (pd.array([True, None, False, True], dtype="boolean"), [True, None, False, True]),
    "objects with gaps": (np.array([True, None, False, True], object), [True, None, False, True]),
    "unused levels": (pd.Categorical(["x", "y", "x", "y"], categories=["x", "y", "z"]), ["x", "y", "x", "y"]),
    "nullable integers": (pd.array([1, None, 3, 4], dtype="Int64"), [1, None, 3, 4]),
}


@pytest.mark.parametrize("case", ENCODED)
def test_columns_with_gaps_are_encoded(case):
    values, expected = ENCODED[case]
    data = from_frame(SMALL.assign(odd=values))
    assert data.kind == "table"
    assert [row[1] for row in everything(data)] == expected
    frame = pd.concat([SMALL.assign(odd=values)] * 10, ignore_index=True)
    assert len(unseen.score(frame, learner="logistic", groups=None, plan=unseen.folds(2))) == 40


EMPTY = {"missing": None, "NaN": np.nan, "blanks": " ", "a category": pd.Categorical([None] * 90)}


@pytest.mark.parametrize("way", ["pandas", "beside labels", "polars", "csv", "parquet", "json lines", "hugging face"])
@pytest.mark.parametrize("values", EMPTY)
def test_a_column_that_holds_nothing_is_left_out_with_a_note(way, values, tmp_path):
    rng = np.random.default_rng(0)
    full = pd.DataFrame({"age": rng.random(90), "hours": rng.random(90), "label": np.arange(90) % 2})
    odd = full.assign(odd=EMPTY[values])
    if way == "beside labels":
        data = resolve((odd.drop(columns="label"), full["label"]))
    else:
        data = resolve(WAYS[way](odd, tmp_path))
    assert (data.kind, data.feature_names) == ("vector", ("age", "hours"))
    assert "left out of the inputs, as they hold nothing: 'odd'" in data.notes
    np.testing.assert_allclose(everything(data), full[["age", "hours"]], rtol=1e-6)


def test_a_comma_at_the_end_of_every_row_changes_nothing(tmp_path):
    rows = [f"{a / 7:.3f},{a % 5},{a % 2}" for a in range(60)]
    for name, end in (("plain.csv", ""), ("comma.csv", ",")):
        (tmp_path / name).write_text("\n".join(f"{row}{end}" for row in ["a,b,label", *rows]))
    plain, comma = (unseen.prune(tmp_path / name, keep=0.5) for name in ("plain.csv", "comma.csv"))
    assert plain.coreset.ids.tolist() == comma.coreset.ids.tolist()
    with pytest.raises(DataError, match=r"there is no column of inputs beside label; left .* hold nothing: 'a'"):
        resolve(pd.DataFrame({"a": [None] * 4, "label": [0, 1] * 2}))


@pytest.mark.parametrize("codes", [["10", "007", ""], ["true", "false", "true"]])
@pytest.mark.parametrize("split", [None, "test"])
def test_a_column_that_is_text_in_the_training_set_is_text_in_the_test_set(tmp_path, codes, split):
    test = tmp_path / "test.csv"
    if split is None:
        rows = [f"{code},{at}.5,{at % 2}" for at, code in enumerate(codes * 2)]
        test.write_text("\n".join(["code,a,label", *rows]))
    else:
        rows = [f"{code},{at}.5,{at % 2},{name}" for name in ("other", "test") for at, code in enumerate(codes * 2)]
        test.write_text("\n".join(["code,a,label,split", *rows]))
    frame = pd.DataFrame({"code": ["A12", *codes, codes[0], "A12"], "a": np.arange(6) / 2, "label": [0, 1] * 3})
    data = resolve_like(test, resolve(frame), split=split)
    assert data.kind == "table"
    table = data.take(np.arange(6))
    assert table[:, 0].tolist() == [code or None for code in codes] * 2
    assert table[:, 1].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]


def test_a_column_that_is_empty_in_one_of_two_sets():
    rng = np.random.default_rng(0)
    full = pd.DataFrame({"a": rng.random(90), "b": rng.choice(["x", "y"], 90), "label": np.arange(90) % 2})
    train, test = full[:60], full[60:].reset_index(drop=True)
    half = unseen.rules.random(60, keep=0.5)
    found = unseen.evaluate(train, coresets=half, test=test.assign(b=None), seeds=1)
    assert found.about["test"]["n"] == 30
    found = unseen.evaluate(train.assign(c=None), coresets=half, test=test.assign(c=None), seeds=1)
    assert found.about["test"]["n"] == 30
    found = unseen.evaluate(train.assign(c=None), coresets=half, test=test.assign(c=1.0), seeds=1)
    assert found.about["test"]["n"] == 30
    named = resolve(train.assign(c=None), features=["a", "c"])
    assert named.kind == "table"
    assert "entries are missing in c: the columns are a table, not vectors" in named.notes


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (
            pd.DataFrame([[1, 2, 0], [3, 4, 1]], columns=["a", "a", "label"]),
            {},
            "must not have two columns of one name, b",
        ),
        (SMALL.head(0), {}, "the data set is empty"),
        (pd.DataFrame(), {"label": "a"}, "unknown column for label 'a'"),
        (SMALL[["label"]], {}, "there is no column of inputs beside label"),
        (SMALL.assign(label=[[1], [2], [1], [2]]), {}, "column 'label' must have one entry a sample, but row 0 holds"),
        (SMALL.assign(label=[0.5, 1.5, 0.5, 1.5]), {}, "column 'label' must hold classes, but row 0 has 0.5"),
        (
            SMALL.assign(label=[None] * 4),
            {},
            "column 'label' must be given for every sample, but it is missing in 4 rows",
        ),
        (
            SMALL.assign(v=[[1.0], [1.0, 2.0], [1.0], [1.0]]),
            {"features": "v"},
            "row 0 has 1 entries and row 1 has 2; pad",
        ),
        (SMALL.astype({"a": pd.SparseDtype(float)}), {}, "column 'a' is sparse"),
        (SMALL, {"id": "label", "ids": [1, 2, 3, 4]}, "give ids .an array. or id .a column., got both"),
    ],
)
def test_bad_frames(frame, options, message):
    with pytest.raises((DataError, ArgumentError), match=message):
        unseen.score(frame, **options)


def test_images_in_a_frame():
    import io

    from PIL import Image

    def png(grey):
        file = io.BytesIO()
        Image.new("L", (4, 4), grey).save(file, "png")
        return {"bytes": file.getvalue(), "path": None}

    frame = pd.DataFrame({"image": [png(i) for i in range(4)], "label": list("abab")})
    data = resolve(frame, mode="L")
    assert (data.kind, data.sample_shape) == ("image", (4, 4, 1))
    assert data.take(np.arange(4))[:, 0, 0, 0].tolist() == [0, 1, 2, 3]


def test_unknown_arguments_are_answered_with_those_of_the_whole_call():
    for call, message in (
        (lambda: unseen.prune(PEOPLE, label="income", kep=0.7), "prune has no argument 'kep'; did you mean 'keep'"),
        (lambda: unseen.prune(PEOPLE, label="income", keep=0.7, scores="el2n"), "did you mean 'score'"),
        (lambda: unseen.prune(PEOPLE, lable="income", keep=0.7), "prune has no argument 'lable'; did you mean 'label'"),
        (lambda: unseen.prune(PEOPLE, keep=0.7, random_state=1), "'random_state'; did you mean 'seed'"),
        (lambda: unseen.score(PEOPLE, n_jobs=1), "score has no argument 'n_jobs'; did you mean 'jobs'"),
        (
            lambda: unseen.grow(PEOPLE, keep=0.5, batch=3),
            "'batch'; options of training are the learner's, as in learner=",
        ),
        (
            lambda: unseen.select(unseen.score(PEOPLE, label="income", **FAST), keap=3),
            "select has no argument 'keap'; did you mean 'keep'",
        ),
    ):
        with pytest.raises(unseen.errors.UnknownArgumentError, match=message) as caught:
            call()
        assert isinstance(caught.value, TypeError)


def test_a_series_in_another_order_is_refused_and_one_without_is_paired_by_position():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0]}, index=[10, 11, 12, 13])
    labels = pd.Series(["x", "y", "x", "y"], index=[13, 12, 11, 10])
    for name in ("y", "target"):
        values = labels if name == "y" else labels.map({"x": 0.5, "y": 1.5})
        with pytest.raises(DataError, match=f"{name} has the index of the frame in another order"):
            from_frame(frame, **{name: values})
    for name in ("ids", "groups"):  # groups mixed up would let models see what they judge
        with pytest.raises(DataError, match=f"{name} has the index of the frame in another order"):
            from_frame(frame, labels.loc[frame.index], **{name: labels.index.to_series()})
    with pytest.raises(DataError, match="groups has the index of the frame in another order"):
        unseen.score(frame, labels.loc[frame.index], groups=labels, **FAST)
    assert from_frame(frame, labels.loc[frame.index]).labels.tolist() == [1, 0, 1, 0]
    for other in (labels.to_numpy(), labels.reset_index(drop=True), labels.set_axis([1, 1, 2, 2])):
        assert from_frame(frame, other).labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("inputs", "answers", "named"),
    [
        (PEOPLE, {"y": PEOPLE["income"]}, "'income'"),  # text: a table
        (PEOPLE.assign(paid=PEOPLE["income"].map({">50K": 7, "<=50K": 3}))[["age", "paid"]], {}, "'paid'"),
        (np.c_[RNG.normal(size=N), PEOPLE["income"] == ">50K"], {}, "1"),
        (PEOPLE, {"target": PEOPLE["hours"]}, "'hours'"),
        (PEOPLE[["age", "hours"]], {"target": PEOPLE["hours"]}, "'hours'"),  # numbers: vectors
    ],
)
def test_an_input_that_is_the_answer_is_named(inputs, answers, named):
    answers = answers or {"y": PEOPLE["income"]}
    what = "target" if "target" in answers else "labels"
    with pytest.warns(UserWarning, match=f"^column {named} of the inputs is the same as the {what}: "):
        unseen.data.from_arrays(inputs, **answers)


def test_an_input_that_is_nearly_the_answer_is_not_named():
    nearly = (PEOPLE["income"] == ">50K").to_numpy(np.int64)
    nearly[7] = 1 - nearly[7]
    codes = np.c_[nearly, np.zeros(N), np.arange(N)]  # nor are a constant column and the row numbers
    from_frame(pd.DataFrame(codes, columns=list("abc")), PEOPLE["income"])
    few = np.arange(10) % 2  # of ten samples, it may be chance
    unseen.data.from_arrays(few[:, None], few)


def test_numbers_that_float32_does_not_tell_apart_are_named():
    """Seconds since 1970 a few minutes apart all became a few values, silently."""
    seconds = 1.7e9 + 100 * RNG.normal(size=N)
    columns = np.c_[RNG.normal(size=N), seconds, 2.0**24 * np.arange(N), np.full(N, 1e12)]
    told = "^column {} of the inputs holds numbers that float32"
    with pytest.warns(UserWarning, match=told.format("1")):
        unseen.data.from_arrays(columns, AGE > 40)
    with pytest.warns(UserWarning, match=told.format("'when'")):
        from_frame(pd.DataFrame(columns[:, :2], columns=["age", "when"]), AGE > 40)
    unseen.data.from_arrays(columns[:, [0, 2, 3]], AGE > 40)
    unseen.data.from_arrays(np.c_[seconds - seconds.min(), 2000 + AGE], AGE > 40)


DAYS = pd.date_range("2020-01-01 12:00", periods=N)


@pytest.mark.parametrize(
    "dates",
    [DAYS, DAYS.tz_localize("UTC"), DAYS.strftime("%Y-%m-%d %H:%M"), [None, *DAYS[1:]], [None, *DAYS[1:].astype(str)]],
    ids=["dates", "zone", "text", "gaps", "text with gaps"],
)
def test_dates_are_read_as_days(dates):
    frame = PEOPLE.assign(day=list(dates))[["age", "day", "income"]].sample(frac=1, random_state=0)
    with pytest.warns(UserWarning, match="column 'day' holds dates"):
        data = from_frame(frame, label="income")
    expected = [18262.5 + row for row in range(N)]
    found = [data.take(np.array([data.ids.tolist().index(row)]))[0, 1] for row in range(N)]
    gap = int(next(iter(dates)) is None)
    assert found[gap:] == expected[gap:]
    assert found[0] is None or not gap
    assert data.as_frame(np.arange(N))["day"].dtype == np.float64  # estimators get numbers, too


@pytest.mark.filterwarnings("ignore:column 'day' holds dates")
def test_a_pipeline_that_names_columns_is_trained_on_a_frame_with_dates():
    frame = PEOPLE[["age", "job"]].assign(day=DAYS.strftime("%Y-%m-%d"))
    columns = make_column_transformer((StandardScaler(), ["age", "day"]), (OneHotEncoder(), ["job"]))
    learner = make_pipeline(columns, LogisticRegression())
    table = unseen.score(frame, PEOPLE["income"], learner=learner, plan=unseen.folds(2), threads=1)
    assert np.isfinite(table.column("el2n")).all()


@pytest.mark.filterwarnings("ignore:column .day. holds text that differs")
def test_text_with_one_entry_that_is_no_date_stays_text():
    frame = PEOPLE[["age", "income"]].assign(day=[*DAYS.astype(str)[:-1], "2020"])
    assert from_frame(frame.sample(frac=1, random_state=0), label="income").kind == "table"


@pytest.mark.filterwarnings("ignore:column 'day' holds dates")
def test_exports_keep_dates(tmp_path):
    frame = PEOPLE[["age", "income"]].assign(day=DAYS)
    pruned = unseen.prune(frame, label="income", keep=0.5, **FAST)
    unseen.export(pruned, "parquet", tmp_path / "out.parquet", data=frame, label="income")
    assert pd.read_parquet(tmp_path / "out.parquet")["day"].isin(DAYS).all()


def test_dates_of_every_kind_of_arrow_and_texts_of_polars():
    days = pa.array([0, 366, 18262, None], pa.int32()).cast(pa.date32())
    kinds = [pa.date64(), pa.timestamp("s"), pa.timestamp("ns"), pa.large_string(), pa.string_view()]
    columns = {"a": days} | {str(kind): days.cast(pa.string() if "string" in str(kind) else kind) for kind in kinds}
    columns["string_view"] = columns["string_view"].cast(pa.string_view())
    table = pa.table({**columns, "job": pa.array(["x", None, "x", "y"], pa.string_view()), "label": [0, 1, 0, 1]})
    with pytest.warns(UserWarning, match="holds dates"):
        rows = everything(from_frame(table))
    assert rows == [
        [day] * 6 + [job] for day, job in zip([0.0, 366.0, 18262.0, None], ["x", None, "x", "y"], strict=True)
    ]


def test_dates_far_away_are_right():
    table = pa.table({"a": pa.array([10**13, 0], pa.timestamp("s")), "b": [1.0, 2.0], "label": [0, 1]})
    with pytest.warns(UserWarning, match="holds dates"):
        assert everything(from_frame(table))[0][0] == np.float32(10**13 / 86_400)


@pytest.mark.filterwarnings("ignore:left out of the inputs, since no model reads their type")
def test_views_of_text_and_categories_of_views_are_read_as_polars_gives_them(tmp_path):
    def of_views(values):
        return pa.array(values, pa.string_view())

    def categories(values):
        coded = pa.array(values).dictionary_encode()
        return pa.DictionaryArray.from_arrays(coded.indices, coded.dictionary.cast(pa.string_view()))

    words = {"job": ["x", "y", None] * 4, "label": ["yes", "no"] * 6}
    others = {
        "n": pa.array(range(1, 13)),
        "said": pa.array([["a"], None, []] * 4, pa.list_(pa.string_view())),
        "raw": pa.array([b"1", b"2", None] * 4, pa.binary_view()),
        "deep": pa.array([{"of": "a"}] * 12, pa.struct({"of": pa.string_view()})),
        "split": of_views(["train", "train", "train", "test"] * 3),
    }
    frame = pa.table({**others, **{name: categories(values) for name, values in words.items()}})
    stored = pa.table({**others, **{name: of_views(values) for name, values in words.items()}})
    pq.write_table(stored, tmp_path / "t.parquet")  # which cannot hold categories of views
    train = [0, 1, 2, 4, 5, 6, 8, 9, 10]
    options = {"split": "train", "features": ["job", "n"]}
    for source in (frame, tmp_path / "t.parquet"):
        data = resolve(source, **options)
        assert everything(data) == [[words["job"][row], row + 1.0] for row in train]
        assert [data.class_names[label] for label in data.labels] == [words["label"][row] for row in train]
        pruned = unseen.prune(source, keep=4, split="train", rule="random", learner="forest:n_estimators=3")
        out = tmp_path / f"of_{type(source).__name__}.parquet"
        unseen.export(pruned, "parquet", out, data=source, split="train")
        kept = [train[row] for row in pruned.coreset.indices]
        assert pq.read_table(out).to_pylist() == [frame.to_pylist()[row] for row in kept]
