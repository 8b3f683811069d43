"""Columns of text in tables that are no categories: dates in other forms, and text that differs in most rows."""

import warnings

import numpy as np
import pyarrow as pa
import pytest

import unseen
from unseen.data import from_frame
from unseen.data.parts import Joined

N = 60
LABELS = ["yes", "no"] * (N // 2)
NUMBERS = np.random.default_rng(0).normal(size=N)


def opened(entries):
    return from_frame(
        pa.table({"x": NUMBERS, "what": pa.array(entries), "label": LABELS}), label="label", features=["x", "what"]
    )


@pytest.mark.parametrize(
    "entries",
    [
        [f"{1 + i % 12:02}/{1 + i % 28:02}/2023" for i in range(N)],
        [f"{1 + i % 28}.{1 + i % 12}.23" for i in range(N)],
        [f"{1 + i % 28}-Jan-2023 10:00" for i in range(N)],
        [f"2023/{1 + i % 12}/{1 + i % 28}" for i in range(N)],
        [None, *(f"{1 + i % 12:02}/{1 + i % 28:02}/2023" for i in range(N - 1))],
    ],
)
def test_dates_in_another_form_are_told(entries):
    with pytest.warns(UserWarning, match=r"column 'what' holds dates such as .*, and is read as categories"):
        assert opened(entries).kind == "table"


def test_text_that_differs_in_most_rows_is_told():
    with pytest.warns(UserWarning, match="column 'what' holds text that differs in most rows"):
        opened([f"Mr {chr(65 + i % 26)} the {i}th" for i in range(N)])


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([f"{i / 7:.4f}" for i in range(N)], "column 'what' holds numbers written as text, and"),
        (["?", *(f"{i - 9}" for i in range(1, N))], r"column 'what' holds numbers written as text but for \?, and"),
        ([f" {i}e-3" for i in range(N)], "numbers written as text, and"),
    ],
)
def test_numbers_written_as_text_are_told(entries, told):
    with pytest.warns(UserWarning, match=told) as caught:
        opened(entries)
    assert not any("differs in most rows" in str(one.message) for one in caught)


@pytest.mark.parametrize("form", ["${:,.2f}", "{:.1f}%", "{:.2f} €", "-£{:.0f}"])
def test_numbers_with_a_sign_are_told_and_are_no_names_of_rows(form):
    what, other = [form.format(977.5 * i) for i in range(N)], ["a", "b", "b"] * (N // 3)
    table = pa.table({"x": NUMBERS, "what": what, "of": other, "label": LABELS})
    with pytest.warns(UserWarning, match=r"column 'what' holds numbers with a sign, such as '.*0.*', and") as caught:
        data = from_frame(table)
    assert len(caught) == 1
    assert data.feature_names == ("x", "what", "of")


def test_numbers_that_one_entry_makes_text_are_told_where_they_are_the_only_input():
    table = pa.table({"x": ["n.a.", *map(str, NUMBERS[1:])], "label": LABELS})
    with pytest.warns(UserWarning, match=r"'x' holds numbers written as text but for n\.a\., and is read as text;"):
        assert from_frame(table).kind == "text"
    assert from_frame(table, text="x").kind == "text"  # without a warning


def test_an_array_of_text_that_holds_numbers_is_told():
    x = np.random.default_rng(0).normal(size=(60, 2))
    with pytest.warns(UserWarning, match="each of '0', '1' holds numbers written as text, and"):
        unseen.data.from_arrays(x.astype(str), np.arange(60) % 2)


@pytest.mark.parametrize(
    "entries",
    [
        [f"0{i // 2}" for i in range(N)],  # codes with a zero in front
        ["Rome", "Oslo", "Lima"] * (N // 3),
        ["1/2", "3/4", "5/6"] * (N // 3),  # fractions
        ["10-20", "20-30", "30-40"] * (N // 3),  # ranges
        ["192.168.0.1", "10.0.0.1", "10.1.2.3"] * (N // 3),  # addresses
        [f"word {i // 2}" for i in range(N)],  # half of them differ
    ],
)
def test_categories_are_not(entries):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert opened(entries).kind == "table"


def test_dates_that_are_read_as_days_are_noted():
    with pytest.warns(UserWarning, match="days since 1970"):
        data = opened([f"2023-01-{1 + i % 28:02}" for i in range(N)])
    assert "dates are read as days since 1970-01-01: what" in data.notes


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        (["YES", "NO", None], ["column 'what' of the test set has no text of the training set, but for example 'YES'"]),
        ([None, None, None], ["column 'what' of the test set is empty"]),
        (["yes", "NO", None], []),
    ],
)
def test_a_column_of_which_a_test_set_has_nothing_known_is_noted(entries, told):
    train = from_frame(pa.table({"what": ["yes", "no", None], "x": [1.0, 2.0, 3.0], "y": [0, 1, 0]}), label="y")
    frame = pa.table({"what": pa.array(entries, pa.string()), "x": [4.0, 5.0, 6.0], "y": [0, 1, 0]})
    test = from_frame(frame, label="y", features=["what", "x"])
    noted = set(Joined(train, test).notes) - {*train.notes, *test.notes}
    assert list(noted) == told
