"""The conformance test of learners, on a few dozen samples."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import Arrays, Named, is_tensor
from unseen.core.conformance import as_json, ensure, sent_away
from unseen.core.exposure import SIDES, Fit, Observation, Side
from unseen.core.plans import Folds
from unseen.core.protocols import CheckpointStore, Data, Learner
from unseen.data.arrays import from_arrays
from unseen.data.parts import Part
from unseen.errors import UnseenError
from unseen.learners import registry as learners
from unseen.learners.base import look_like_probabilities
from unseen.scores.conformance import OBSERVED

NEAR = 1e-5  # relative: what float32 and sums in another order leave; a leak moves far more


def check_learner(learner: Any, data: Data | None = None, *, seed: int = 0) -> None:
    """Check that a learner keeps what it declares and what is asked of every learner.

    It learns from `fit.train` only: labels and inputs of all other samples change nothing. It observes each watched row
    once an epoch, where the sink asks for it. The same seed gives the same bits, in this process or another, whatever
    was done before. The global random state does not change, and shuffled rows keep their observations. A training that
    is killed after a checkpoint continues from there to the same end. Threads, epochs and workers change neither its
    name nor the learner itself. A closed form equals fits one by one, and passes over parts equal the fit. Its
    description is JSON.

    Args:
        learner: a name, an estimator or a learner, as `unseen.learners.resolve` takes it.
        data: what to learn from, 30 samples or more; by default 60 vectors of 3 classes.
        seed: of the trainings.

    Raises:
        AssertionError: the first thing that is wrong.

    >>> check_learner("ridge:lam=1.0,temperature=1.0")
    """
    data = _vectors() if data is None else data
    who = learners.resolve(learner, data)
    _check_described(who)
    who.check(data)
    kept = data.labels.copy(), data.take(np.arange(len(data)))
    case = _Case(who, data, seed)
    _check_asked(case)
    _check_leaks(case)
    _check_bits(case)
    _check_shuffled(case)
    _check_resumed(case)
    _check_changed(case)
    _check_figures(case)
    _check_together(case)
    untouched = np.array_equal(kept[0], data.labels) and np.array_equal(kept[1], data.take(np.arange(len(data))))
    ensure(untouched, who, "leaves the data set alone")


@dataclass
class _Tape:
    """A sink that keeps all that it is told, by side, epoch and field."""

    words: frozenset[str]
    epochs: Sequence[int] | None = None  # after which it asks; None: each
    sides: Sequence[Side] = SIDES
    told: dict[str, list[npt.NDArray[Any]]] = field(default_factory=dict)

    def wants(self, side: Side, epoch: int, last: int) -> frozenset[str]:
        return self.words if side in self.sides and (self.epochs is None or epoch in self.epochs) else frozenset()

    def observe(self, side: Side, observation: Observation) -> None:
        for name in ("rows", "loss", *OBSERVED):
            value = getattr(observation, name)
            if value is not None:
                value = value.detach().cpu().float().numpy() if is_tensor(value) else np.asarray(value)
                self.told.setdefault(f"{side} {observation.epoch} {name}", []).append(value.copy())

    def state(self) -> Named:
        return {name: np.concatenate(parts) for name, parts in self.told.items()}

    def restore(self, state: Arrays) -> None:
        self.told = {name: [np.array(array)] for name, array in state.items()}

    def in_order(self) -> Named:
        """Return all observations, in the order of the rows."""
        state = self.state()
        return {
            name: values[np.argsort(state[f"{name.rpartition(' ')[0]} rows"], kind="stable")]
            for name, values in state.items()
        }


class _KilledError(BaseException):
    """Stands for the end of a process; no learner catches it."""


@dataclass
class _Store:
    """Checkpoints in memory; the process dies after so many have been saved."""

    dies_after: int | None = None
    saves: int = 0
    latest: Named | None = None
    parts: dict[str, _Store] = field(default_factory=dict)

    def load(self) -> Named | None:
        return None if self.latest is None else {name: array.copy() for name, array in self.latest.items()}

    def save(self, arrays: Arrays) -> None:
        self.latest = {name: np.array(array) for name, array in arrays.items()}
        odd = sorted(name for name, array in self.latest.items() if array.dtype.hasobject)
        if odd:
            raise AssertionError(f"a checkpoint holds arrays without objects, got {odd}")
        self.saves += 1
        if self.saves == self.dies_after:
            raise _KilledError

    def part(self, name: str) -> CheckpointStore:
        return self.parts.setdefault(name, _Store())


def _vectors() -> Data:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    inputs = rng.normal(size=(60, 6)) + 1.5 * np.eye(6)[labels]
    return from_arrays(inputs.astype(np.float32), labels, ids=rng.permutation(1000)[:60])


class _Case:
    """A learner, data, and a fit on half of each class, which is asked about a quarter and about what it saw."""

    def __init__(self, who: Learner, data: Data, seed: int) -> None:
        self.who, self.data, self.seed = who, data, seed
        order = np.argsort(data.labels, kind="stable")
        parts = [np.sort(order[np.isin(np.arange(len(order)) % 4, of)]) for of in ((0, 2), (1,), (3,))]
        self.fit = Fit(train=parts[0], unseen=parts[1], seen=parts[0][::3])
        self.elsewhere = parts[2]  # the other rows
        # The fields to ask for; leverage and Cook's distance belong to one plan only.
        self.words = who.provides & {"logits", "loss", "features", "grad_norm"}
        self.plain = self.train()
        _check_observed(self, who, self.plain)

    def train(
        self,
        *,
        who: Learner | None = None,
        data: Data | None = None,
        fit: Fit | None = None,
        tape: _Tape | None = None,
        store: _Store | None = None,
        epochs: list[int] | None = None,
    ) -> Named:
        """Return the observations of a training, in the order of the rows; by default of the learner, data and fit."""
        tape, store = tape or _Tape(self.words), store or _Store()

        def report(kind: str, **fields: Any) -> None:
            if kind == "epoch" and epochs is not None:
                epochs.append(int(fields["epoch"]))

        (who or self.who).fit(data or self.data, fit or self.fit, tape, store, seed=self.seed, report=report)
        return tape.in_order()


def _equal(of: Learner, rule: str, got: Named, wanted: Named, *, near: bool = False) -> None:
    ensure(got.keys() == wanted.keys(), of, rule, f"{sorted(got)} in place of {sorted(wanted)}")
    for name, values in wanted.items():
        other, scale = got[name], max(1.0, float(np.abs(values).max(initial=0.0)))
        rtol, atol = (NEAR, NEAR * scale) if near else (0.0, 0.0)
        same = other.shape == values.shape and np.allclose(other, values, rtol, atol)
        ensure(same, of, rule, f"other {name!r}")


def _check_described(who: Learner) -> None:
    ensure(isinstance(getattr(who, "name", None), str) and who.name, who, "name is text")
    ensure(who.epochs is None or who.epochs >= 1, who, "epochs is None or at least 1", who.epochs)
    known = {*OBSERVED, "loss"}
    ensure(who.provides and who.provides <= known, who, f"provides are among {sorted(known)}", set(who.provides))
    about = as_json(who, "describe()", who.describe())
    ensure(" at 0x" not in about, who, "describe() names no address in memory", about)
    ensure(about == as_json(who, "describe()", who.describe()), who, "describe() says the same each time", about)
    copied = as_json(who, "describe()", sent_away(who).describe())
    ensure(about == copied, who, "describe() says the same in another process", copied)


def _check_observed(case: _Case, who: Learner, told: Named) -> None:
    epochs = range(1, (who.epochs or 1) + 1)
    for epoch in epochs:
        for side in SIDES:
            rows, watched = told.get(f"{side} {epoch} rows"), np.sort(case.fit.watch(side))
            rule = f"observes each watched row of the {side} side once after epoch {epoch}"
            ensure(rows is not None and np.array_equal(rows, watched), who, rule, rows)
            for word in case.words:
                ensure(f"{side} {epoch} {word}" in told or f"{side} {epoch} loss" in told, who, f"observes the {word}")
            logits = told.get(f"{side} {epoch} logits")
            shape = (len(watched), len(case.data.class_names))
            ensure(logits is None or logits.shape == shape, who, f"logits are {shape}", "another shape")
            taken = logits is not None and look_like_probabilities(logits)
            ensure(not taken, who, "logits are no probabilities, whose logarithm they may be")
    ensure(all(np.isfinite(values).all() for values in told.values()), who, "observations are finite")
    found = {int(name.split()[1]) for name in told}
    ensure(found == set(epochs), who, f"has {len(epochs)} epochs", sorted(found))


def _check_asked(case: _Case) -> None:
    last = case.who.epochs or 1
    told = case.train(tape=_Tape(case.words, epochs=[last], sides=["unseen"]))
    odd = sorted({name.rpartition(" ")[0] for name in told} - {f"unseen {last}"})
    ensure(not odd, case.who, "observes only what the sink asks for", odd)
    ensure(not case.train(tape=_Tape(frozenset())), case.who, "observes nothing if nothing is asked")


def _check_leaks(case: _Case) -> None:
    """Change the labels of all samples not trained on, and the inputs of those that are not compared."""
    data, fit = case.data, case.fit
    kept, changed = fit.unseen[::2], np.concatenate([fit.unseen[1::2], case.elsewhere])
    source = np.arange(len(data))
    source[changed] = changed[len(changed) // 2]  # all alike, so that no mean or vocabulary stays
    other = Part(data, source)
    other.ids, other.labels = data.ids, data.labels.copy()
    if data.targets is None:
        outside = np.concatenate([fit.unseen, case.elsewhere])
        other.labels[outside] = (other.labels[outside] + 1) % len(data.class_names)
    at = np.isin(np.sort(fit.unseen), kept)

    def compared(told: Named) -> Named:
        """Return what the compared samples have that does not depend on their own labels."""
        names = [name for name in told if name.startswith("unseen") and not name.endswith("grad_norm")]
        return {name: told[name][at] for name in names}

    rule = "learns from fit.train only: labels and inputs of other samples change nothing"
    _equal(case.who, rule, compared(case.train(data=other)), compared(case.plain), near=True)


def _check_bits(case: _Case) -> None:
    held = np.random.get_state()  # noqa: NPY002 - the global state is what is looked at
    try:
        np.random.seed(1)  # noqa: NPY002
        before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
        again = case.train()
        moved = not np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002
    finally:
        np.random.set_state(held)  # noqa: NPY002
    _equal(case.who, "the same seed gives the same bits, whatever was done before", again, case.plain)
    ensure(not moved, case.who, "leaves the global random state alone")
    sent = case.train(who=sent_away(case.who))
    _equal(case.who, "a copy in another process gives the same bits", sent, case.plain)


def _check_shuffled(case: _Case) -> None:
    order = np.random.default_rng(case.seed).permutation(len(case.data))
    place = np.argsort(order)
    train, unseen, seen = (np.sort(place[rows]) for rows in (case.fit.train, case.fit.unseen, case.fit.seen))
    told = case.train(data=Part(case.data, order), fit=Fit(train=train, unseen=unseen, seen=seen))
    back = {}
    for name, values in told.items():
        rows = order[told[f"{name.rpartition(' ')[0]} rows"]]
        back[name] = (rows if name.endswith("rows") else values)[np.argsort(rows)]
    _equal(case.who, "shuffled rows take their observations along", back, case.plain, near=True)


def _check_resumed(case: _Case) -> None:
    who = case.who
    if who.epochs is None:
        return
    epochs: list[int] = []
    store = _Store()
    case.train(store=store, epochs=epochs)
    ensure(store.saves == who.epochs, who, f"saves one checkpoint after each of {who.epochs} epochs", store.saves)
    ensure(epochs == list(range(1, who.epochs + 1)), who, f"reports each of {who.epochs} epochs", epochs)
    for dies_after in sorted({1, who.epochs - 1} - {0}):
        store = _Store(dies_after=dies_after)
        with suppress(_KilledError):
            case.train(who=sent_away(who), store=store)
        saved = store.saves
        told = case.train(who=sent_away(who), store=store)
        _equal(who, f"killed after epoch {dies_after} and resumed, it gives the same bits", told, case.plain)
        rest = store.saves - saved
        ensure(rest == who.epochs - dies_after, who, f"goes on after epoch {dies_after}", f"{rest} more epochs")


def _check_changed(case: _Case) -> None:
    who = case.who
    about = who.describe()
    threads = who.with_threads(1)
    if threads is not None:
        ensure(threads.name == who.name, who, "with_threads keeps its name", threads.name)
        ensure((threads.threads or 0) >= 1, who, "with_threads says how many threads it takes", threads.threads)
    steps = who.steps(100)
    epochs = who.epochs or 1
    longer = who.with_epochs(epochs + 1)
    if longer is not None:
        ensure(who.epochs is not None, who, "with_epochs is of a learner that has epochs")
        ensure(longer.name == who.name, who, "with_epochs keeps its name", longer.name)
        _check_observed(case, longer, case.train(who=longer))
        ensure(longer.epochs == epochs + 1, who, "with_epochs has the epochs asked for", longer.epochs)
    if steps is not None:
        ensure(longer is not None, who, "steps go with with_epochs")
        more = cast(Learner, longer).steps(100) or 0
        fine = steps >= 1 and steps * (epochs + 1) == more * epochs
        ensure(fine, who, "steps are in proportion to epochs", f"{steps} and, of an epoch more, {more}")
    try:
        team = who.with_workers(2)
    except UnseenError:
        team = None  # it can, but not this one
    ensure(team is None or team.name == who.name, who, "with_workers keeps its name")
    ensure(who.describe() == about, who, "with_threads, with_epochs and with_workers leave the learner as it is")


def _check_figures(case: _Case) -> None:
    who = case.who
    own = who.memory(case.data, Folds(2, together=who.closed_form))
    ensure(own is None or own >= 0, who, "memory is a number of bytes", own)
    ensure(isinstance(who.holds(1), bool), who, "holds says yes or no")
    fixed, each = who.network_bytes(case.data)
    ensure(fixed >= 0 and each >= 0, who, "network_bytes are two numbers of bytes", (fixed, each))
    ensure(who.suited(case.data).name == who.name, who, "suited keeps its name")


def _check_together(case: _Case) -> None:
    """Compare one fit that stands for two folds with a fit of each, and passes over its parts with the fit."""
    who, data = case.who, case.data
    ensure(who.closed_form or not who.in_passes, who, "in_passes goes with closed_form")
    if not who.closed_form:
        return
    rows, none = np.arange(len(data)), np.empty(0, np.int64)
    folds = np.empty(len(data), np.int64)
    folds[np.argsort(data.labels, kind="stable")] = rows % 2
    fit = Fit(train=none, unseen=rows, apart=folds, folds=folds)
    told = case.train(fit=fit)
    ensure(np.array_equal(told["unseen 1 rows"], rows), who, "observes each row once where folds are done at once")
    if "fitted_on_labels" not in who.describe():  # options chosen by all labels differ from those of each fold
        each = [case.train(fit=Fit(train=rows[folds != k], unseen=rows[folds == k])) for k in (0, 1)]
        order = np.argsort(np.concatenate([part["unseen 1 rows"] for part in each]))
        alone = {name: np.concatenate([part[name] for part in each])[order] for name in told}
        _equal(who, "folds done at once equal folds one by one", told, alone, near=True)
    if not who.in_passes:
        return
    tape = _Tape(case.words)
    made = who.in_parts(data, fit, tape.words, case.seed)
    summed, judged, parts = made.summed, made.judged, sent_away(made)
    parts.give(data)
    sums = [sent_away(parts.sums(sent_away(part))) for part in summed]
    while len(sums) > 1:
        sums = [parts.added(sums[at : at + parts.fan]) for at in range(0, len(sums), parts.fan)]
    solution = sent_away(parts.solved(sums[0]))
    for blocks in judged:
        for _ in parts.judge(sent_away(blocks), solution, tape):
            pass
    _equal(who, "passes over parts equal the fit", tape.in_order(), told, near=True)
