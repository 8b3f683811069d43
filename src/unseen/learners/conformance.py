"""The conformance test of learners, on a few dozen samples."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import Arrays, IntArray, is_tensor
from unseen.core.conformance import as_json, ensure, sent_away
from unseen.core.exposure import Fit
from unseen.core.observation import Observation, Side
from unseen.core.plans import Folds
from unseen.core.protocols import CheckpointStore, Data, Learner
from unseen.data.arrays import from_arrays
from unseen.data.parts import Part
from unseen.errors import UnseenError
from unseen.learners import registry as learners
from unseen.scores.conformance import OBSERVED

NEAR = 1e-5  # relative: what float32 and sums in another order leave; a leak moves far more
_SIDES: tuple[Side, ...] = ("unseen", "seen")
Named = dict[str, npt.NDArray[Any]]


def check_learner(learner: Any, data: Data | None = None, *, seed: int = 0) -> None:
    """Check that a learner keeps what it declares and what is asked of every learner.

    It learns from `fit.train` only: labels and inputs of all other samples change nothing. It observes each watched row
    once an epoch, where the sink asks for it. The same seed gives the same bits, in this process or after a journey to
    another, whatever it did before; the global random state is left alone; shuffled rows take their observations along.
    A training that is killed after a checkpoint goes on from there and ends as an unbroken one. Threads, epochs and
    workers change neither its name nor the learner that was asked. A closed form equals fits one by one, and passes
    over parts equal the fit. What it says of itself is JSON.

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
    fit, elsewhere = _fit_of(data)
    kept = data.labels.copy(), data.take(np.arange(len(data)))
    plain = _trained(who, data, fit, seed)
    _check_observed(who, data, fit, plain)
    _check_what_is_asked(who, data, fit, seed)
    _check_leaks(who, data, fit, elsewhere, plain, seed)
    _check_bits(who, data, fit, plain, seed)
    _check_shuffled(who, data, fit, plain, seed)
    _check_resumed(who, data, fit, plain, seed)
    _check_changed(who, data, fit, seed)
    _check_figures(who, data)
    _check_together(who, data, seed)
    untouched = np.array_equal(kept[0], data.labels) and np.array_equal(kept[1], data.take(np.arange(len(data))))
    ensure(untouched, who, "leaves the data set alone")


@dataclass
class _Tape:
    """A sink that keeps all that it is told, by side, epoch and field."""

    words: frozenset[str]
    epochs: Sequence[int] | None = None  # after which it asks; None: each
    sides: Sequence[Side] = _SIDES
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
        """All that was told, in the order of the rows."""
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


def _fit_of(data: Data) -> tuple[Fit, IntArray]:
    """Make a fit on half of each class, asked about a quarter of it and of what it saw; and the rest of the rows."""
    order = np.argsort(data.labels, kind="stable")
    parts = [np.sort(order[np.isin(np.arange(len(order)) % 4, of)]) for of in ((0, 2), (1,), (3,))]
    return Fit(train=parts[0], unseen=parts[1], seen=parts[0][::3]), parts[2]


def _words(who: Learner) -> frozenset[str]:
    """Return the fields to ask for; leverage and Cook's distance belong to one plan only."""
    return who.provides & {"logits", "loss", "features", "grad_norm"}


def _trained(
    who: Learner,
    data: Data,
    fit: Fit,
    seed: int,
    *,
    tape: _Tape | None = None,
    store: _Store | None = None,
    epochs: list[int] | None = None,
) -> Named:
    """Return the observations of a training, in the order of the rows."""
    tape = _Tape(_words(who)) if tape is None else tape

    def report(kind: str, **fields: Any) -> None:
        if kind == "epoch" and epochs is not None:
            epochs.append(int(fields["epoch"]))

    who.fit(data, fit, tape, _Store() if store is None else store, seed=seed, report=report)
    return tape.in_order()


def _equal(of: Learner, rule: str, got: Named, wanted: Named, *, near: bool = False) -> None:
    ensure(got.keys() == wanted.keys(), of, rule, f"{sorted(got)} in place of {sorted(wanted)}")
    for name, values in wanted.items():
        other = got[name]
        fine = other.shape == values.shape
        if near:
            scale = max(1.0, float(np.abs(values).max(initial=0.0)))
            fine = fine and np.allclose(other, values, rtol=NEAR, atol=NEAR * scale)
        else:
            fine = fine and np.array_equal(other, values)
        ensure(fine, of, rule, f"other {name!r}")


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


def _check_observed(who: Learner, data: Data, fit: Fit, told: Named) -> None:
    for epoch in range(1, (who.epochs or 1) + 1):
        for side in _SIDES:
            rows, watched = told.get(f"{side} {epoch} rows"), np.sort(fit.watch(side))
            rule = f"observes each watched row of the {side} side once after epoch {epoch}"
            ensure(rows is not None and np.array_equal(rows, watched), who, rule, rows)
            for word in _words(who):
                ensure(f"{side} {epoch} {word}" in told or f"{side} {epoch} loss" in told, who, f"observes the {word}")
            logits = told.get(f"{side} {epoch} logits")
            shape = (len(watched), len(data.class_names))
            ensure(logits is None or logits.shape == shape, who, f"logits are {shape}", "another shape")
    ensure(all(np.isfinite(values).all() for values in told.values()), who, "observations are finite")
    epochs = {int(name.split()[1]) for name in told}
    ensure(epochs == set(range(1, (who.epochs or 1) + 1)), who, f"has {who.epochs or 1} epochs", sorted(epochs))


def _check_what_is_asked(who: Learner, data: Data, fit: Fit, seed: int) -> None:
    last = who.epochs or 1
    told = _trained(who, data, fit, seed, tape=_Tape(_words(who), epochs=[last], sides=["unseen"]))
    odd = sorted({name.rpartition(" ")[0] for name in told} - {f"unseen {last}"})
    ensure(not odd, who, "observes only what the sink asks for", odd)
    ensure(not _trained(who, data, fit, seed, tape=_Tape(frozenset())), who, "observes nothing if nothing is asked")


def _check_leaks(who: Learner, data: Data, fit: Fit, elsewhere: IntArray, plain: Named, seed: int) -> None:
    """Labels of all samples not trained on, and inputs of those that are not compared, become others."""
    kept, changed = fit.unseen[::2], np.concatenate([fit.unseen[1::2], elsewhere])
    source = np.arange(len(data))
    source[changed] = changed[len(changed) // 2]  # all alike, so that no mean or vocabulary stays
    other = Part(data, source)
    other.ids, other.labels = data.ids, data.labels.copy()
    if data.targets is None:
        outside = np.concatenate([fit.unseen, elsewhere])
        other.labels[outside] = (other.labels[outside] + 1) % len(data.class_names)
    told = _trained(who, other, fit, seed)

    def compared(told: Named) -> Named:
        at = np.isin(np.sort(fit.unseen), kept)
        return {name: values[at] for name, values in told.items() if name.startswith("unseen") and _of_inputs(name)}

    rule = "learns from fit.train only: labels and inputs of other samples change nothing"
    _equal(who, rule, compared(told), compared(plain), near=True)


def _of_inputs(name: str) -> bool:
    """Whether a field does not depend on the sample's own label."""
    return not name.endswith("grad_norm")


def _check_bits(who: Learner, data: Data, fit: Fit, plain: Named, seed: int) -> None:
    held = np.random.get_state()  # noqa: NPY002 - the global state is what is looked at
    try:
        np.random.seed(1)  # noqa: NPY002
        before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
        again = _trained(who, data, fit, seed)
        moved = not np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002
    finally:
        np.random.set_state(held)  # noqa: NPY002
    _equal(who, "the same seed gives the same bits, whatever was done before", again, plain)
    ensure(not moved, who, "leaves the global random state alone")
    _equal(who, "a copy in another process gives the same bits", _trained(sent_away(who), data, fit, seed), plain)


def _check_shuffled(who: Learner, data: Data, fit: Fit, plain: Named, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(data))
    place = np.argsort(order)
    train, unseen, seen = (np.sort(place[rows]) for rows in (fit.train, fit.unseen, fit.seen))
    moved = Fit(train=train, unseen=unseen, seen=seen)
    told, back = _trained(who, Part(data, order), moved, seed), {}
    for name, values in told.items():
        rows = order[told[f"{name.rpartition(' ')[0]} rows"]]
        back[name] = (rows if name.endswith("rows") else values)[np.argsort(rows)]
    _equal(who, "shuffled rows take their observations along", back, plain, near=True)


def _check_resumed(who: Learner, data: Data, fit: Fit, plain: Named, seed: int) -> None:
    if who.epochs is None:
        return
    epochs: list[int] = []
    store = _Store()
    _trained(who, data, fit, seed, store=store, epochs=epochs)
    ensure(store.saves == who.epochs, who, f"saves one checkpoint after each of {who.epochs} epochs", store.saves)
    ensure(epochs == list(range(1, who.epochs + 1)), who, f"reports each of {who.epochs} epochs", epochs)
    for dies_after in sorted({1, who.epochs - 1} - {0}):
        store = _Store(dies_after=dies_after)
        with suppress(_KilledError):
            _trained(sent_away(who), data, fit, seed, store=store)
        saved = store.saves
        told = _trained(sent_away(who), data, fit, seed, store=store)
        _equal(who, f"killed after epoch {dies_after} and resumed, it gives the same bits", told, plain)
        rest = store.saves - saved
        ensure(rest == who.epochs - dies_after, who, f"goes on after epoch {dies_after}", f"{rest} more epochs")


def _check_changed(who: Learner, data: Data, fit: Fit, seed: int) -> None:
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
        _check_observed(longer, data, fit, _trained(longer, data, fit, seed))
        ensure(longer.epochs == epochs + 1, who, "with_epochs has so many epochs", longer.epochs)
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


def _check_figures(who: Learner, data: Data) -> None:
    own = who.memory(data, Folds(2, together=who.closed_form))
    ensure(own is None or own >= 0, who, "memory is a number of bytes", own)
    ensure(isinstance(who.holds(1), bool), who, "holds says yes or no")
    fixed, each = who.network_bytes(data)
    ensure(fixed >= 0 and each >= 0, who, "network_bytes are two numbers of bytes", (fixed, each))
    ensure(who.suited(data).name == who.name, who, "suited keeps its name")


def _check_together(who: Learner, data: Data, seed: int) -> None:
    """One fit that stands for two folds, against a fit of each."""
    ensure(who.closed_form or not who.in_passes, who, "in_passes goes with closed_form")
    if not who.closed_form:
        return
    rows, none = np.arange(len(data)), np.empty(0, np.int64)
    folds = np.empty(len(data), np.int64)
    folds[np.argsort(data.labels, kind="stable")] = rows % 2
    fit = Fit(train=none, unseen=rows, apart=folds, folds=folds)
    told = _trained(who, data, fit, seed)
    ensure(np.array_equal(told["unseen 1 rows"], rows), who, "observes each row once where folds are done at once")
    if "fitted_on_labels" not in who.describe():  # options chosen by all labels differ from those of each fold
        each = [_trained(who, data, Fit(train=rows[folds != k], unseen=rows[folds == k]), seed) for k in (0, 1)]
        order = np.argsort(np.concatenate([part["unseen 1 rows"] for part in each]))
        alone = {name: np.concatenate([part[name] for part in each])[order] for name in told}
        _equal(who, "folds done at once equal folds one by one", told, alone, near=True)
    if who.in_passes:
        _equal(who, "passes over parts equal the fit", _in_passes(who, data, fit, seed), told, near=True)


def _in_passes(who: Learner, data: Data, fit: Fit, seed: int) -> Named:
    tape = _Tape(_words(who))

    made = who.in_parts(data, fit, tape.words, seed)
    summed, judged, parts = made.summed, made.judged, sent_away(made)
    parts.give(data)
    sums = [sent_away(parts.sums(sent_away(part))) for part in summed]
    while len(sums) > 1:
        sums = [parts.added(sums[at : at + parts.fan]) for at in range(0, len(sums), parts.fan)]
    solution = sent_away(parts.solved(sums[0]))
    for blocks in judged:
        for _ in parts.judge(sent_away(blocks), solution, tape):
            pass
    return tape.in_order()
