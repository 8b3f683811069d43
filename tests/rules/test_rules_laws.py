"""Law 4 over all rules by hypothesis, with and without quotas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.core.table import ScoreTable
from unseen.rules import RULES, choose, resolve

SPECS = [*RULES, "top:first=easy", "window:offset=1", "bws:over=all,steps=4", "stratified:by=rank,strata=3"]
SPECS += ["stratified:cutoff=0.2,strata=5"]


@st.composite
def tables(draw):
    n = draw(st.integers(1, 25))
    some = st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.0 + 1e-12, 3.0, float("nan")]), min_size=n, max_size=n)
    labels = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    ids = draw(st.lists(st.integers(-50, 50), min_size=n, max_size=n, unique=True))
    confidence = draw(st.lists(st.sampled_from([0.0, 0.3, 1.0]), min_size=n, max_size=n))
    values = draw(st.sampled_from([np.zeros(n), np.array(draw(some)), np.arange(n) / n]))
    return ScoreTable.of("el2n", values, direction="harder", labels=labels, ids=ids, mean_confidence=confidence)


def reordered(table, at):
    return ScoreTable.of(
        "el2n",
        table.column("el2n")[at],
        direction="harder",
        labels=table.labels[at],
        ids=table.ids[at],
        mean_confidence=table.mean_confidence[at],
    )


@pytest.mark.parametrize("spec", SPECS)
@settings(max_examples=25, deadline=None)
@given(table=tables(), part=st.floats(0, 1), quota=st.sampled_from([None, "proportional", "uniform"]), data=st.data())
def test_exact_unique_and_blind_to_the_order_of_rows(spec, table, part, quota, data):
    rule, n = resolve(spec), len(table)
    quota = quota if rule.inside_classes else None
    nan = None if rule.reads == "nothing" else "last"
    features = np.stack([table.ids % 7, table.ids % 3], axis=1).astype(float)
    finite = np.isfinite(table.column("el2n")) if nan else np.ones(n, bool)
    groups = [np.ones(n, bool)] if quota is None else [table.labels == c for c in np.unique(table.labels)]
    room = [rule.capacity(int((g & finite).sum())) + int((g & ~finite).sum()) for g in groups]
    if min(room) == 0:
        return
    budget = len(groups) + int(part * (sum(room) - len(groups)))
    seed = data.draw(st.integers(0, 3))
    got = choose(rule, table, keep=budget, features=features, quota=quota, nan=nan, seed=seed)
    assert len(got) == budget
    assert (np.diff(got.indices) > 0).all()
    assert (got.ids == table.ids[got.indices]).all()
    if got.order is not None:
        assert sorted(got.order.tolist()) == got.indices.tolist()
    if quota is not None:
        assert set(table.labels[got.indices]) == set(table.labels)
    at = np.array(data.draw(st.permutations(range(n))))
    again = choose(rule, reordered(table, at), keep=budget, features=features[at], quota=quota, nan=nan, seed=seed)
    assert sorted(again.ids.tolist()) == sorted(got.ids.tolist())
    if got.order is not None:
        assert table.ids[at][again.order].tolist() == table.ids[got.order].tolist()


def test_a_coreset_can_be_saved_and_read_back(tmp_path):
    table = ScoreTable.of("el2n", np.arange(20.0), direction="harder", labels=np.arange(20) % 2)
    for spec in ("top", "stratified:cutoff=0.2,cutoff_by=el2n"):
        coreset = choose(resolve(spec), table, score="el2n", keep=6, quota="uniform")
        back = type(coreset).load(coreset.save(tmp_path / "coreset.parquet"))
        assert back.ids.tolist() == coreset.ids.tolist()
        assert back.provenance == coreset.provenance
        assert back.sources.tolist() == coreset.sources.tolist()
        assert (back.order is None) == (coreset.order is None)
        assert coreset.order is None or back.order.tolist() == coreset.order.tolist()
