"""The conformance test for scores, built-in or your own.

Observations are random, so no model is trained. A violation raises an `AssertionError` that names the rule.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from types import UnionType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import FloatArray, IntArray, Named
from unseen.core.conformance import ensure
from unseen.core.exposure import SIDES, Observation, Side
from unseen.core.registry import options_of
from unseen.core.table import DIRECTIONS
from unseen.scores.registry import resolve
from unseen.scores.streaming import Score, State

SAMPLES, CLASSES, FEATURES = 40, 4, 3
CLOSE = 1e-10
O1_BYTES = 200  # largest state of a sample, for a score that declares O(1)
Split = Callable[[int, int], Sequence[IntArray]]

# The fields of an `Observation` that a story contains.
OBSERVED = ("logits", "features", "grad_norm", "leverage", "cooks_distance")


@dataclass(frozen=True, eq=False)
class Story:
    """Made-up observations of n samples by all models of a plan: R repeats, T epochs, on each side."""

    labels: IntArray  # int64 (n,)
    logits: Mapping[Side, npt.NDArray[Any]]  # float (R, T, n, C)
    features: Mapping[Side, npt.NDArray[Any]]  # float (R, T, n, d)
    grad_norm: Mapping[Side, npt.NDArray[Any]]  # float (R, T, n), as the next two
    leverage: Mapping[Side, npt.NDArray[Any]]
    cooks_distance: Mapping[Side, npt.NDArray[Any]]

    @classmethod
    def random(cls, score: Score, *, seed: int = 0, classes: int = CLASSES) -> Story:
        """Make random observations, for a few more epochs and repeats than the score needs."""
        rng = np.random.default_rng(seed)
        shape = (score.least_repeats + 1, score.least_epochs + 3, SAMPLES)
        return cls(
            labels=rng.integers(0, classes, SAMPLES),
            logits={side: 3.0 * rng.normal(size=(*shape, classes)) for side in SIDES},
            features={side: rng.normal(size=(*shape, FEATURES)) for side in SIDES},
            grad_norm={side: rng.exponential(size=shape) for side in SIDES},
            leverage={side: rng.uniform(size=shape) for side in SIDES},
            cooks_distance={side: rng.exponential(size=shape) for side in SIDES},
        )

    @property
    def epochs(self) -> int:
        """T, the number of epochs."""
        return int(self.logits["unseen"].shape[1])

    @property
    def repeats(self) -> int:
        """R, the number of repeats."""
        return len(self.logits["unseen"])

    def take(self, rows: IntArray) -> Story:
        """Return the story of these samples, in that order."""
        parts = {name: {side: x[:, :, rows] for side, x in getattr(self, name).items()} for name in OBSERVED}
        return Story(self.labels[rows], **parts)

    def first(self, epochs: int) -> Story:
        """Return the story of the first epochs."""
        parts = {name: {side: x[:, :epochs] for side, x in getattr(self, name).items()} for name in OBSERVED}
        return Story(self.labels, **parts)

    def observation(self, side: Side, repeat: int, epoch: int, rows: IntArray, *, torch: bool = False) -> Observation:
        """Make the observation of these rows that a learner would push."""
        parts = {name: getattr(self, name)[side][repeat, epoch - 1, rows] for name in OBSERVED}
        if torch:
            import torch as library

            parts = {name: library.from_numpy(np.array(part)) for name, part in parts.items()}
        return Observation(rows=rows, epoch=epoch, **parts)


def play(
    score: Score, story: Story, *, split: Split | None = None, torch: bool = False, least: bool = False
) -> FloatArray:
    """Compute the score of every sample as a run does, float64 (R, n), or (1, n) if it uses all repeats at once.

    `split` gives the batches of an epoch, arrays of positions, from (m, epoch); by default there is one. With `torch`,
    observations are tensors. With `least`, there are only the observations that the score wants, and what it needs of
    them; otherwise there are all, as beside other scores.
    """
    groups = [[r] for r in range(story.repeats)] if score.per_repeat else [list(range(story.repeats))]
    scores = []
    for group in groups:
        means: dict[Side, Named] = {}
        for side in score.sides:
            fits = [score.finish(_watch(score, story, side, r, split, torch=torch, least=least), side) for r in group]
            means[side] = {name: np.mean([fit[name] for fit in fits], axis=0) for name in fits[0]}
        scores.append(score.join(means))
    return np.stack(scores)


def _watch(
    score: Score,
    story: Story,
    side: Side,
    repeat: int = 0,
    split: Split | None = None,
    *,
    torch: bool = False,
    least: bool = False,
) -> State:
    """Return the state after all epochs of a repeat."""
    m, last = len(story.labels), story.epochs
    state = score.start(side, m, story.logits[side].shape[-1])
    unread: dict[str, Any] = {name: None for name in OBSERVED if least and name not in score.needs}
    for epoch in range(1, last + 1):
        if least and not score.wants(side, epoch, last):
            continue
        for at in split(m, epoch) if split else [np.arange(m)]:
            observation = replace(story.observation(side, repeat, epoch, at, torch=torch), **unread)
            score.update(state, side, at, observation, _frozen(story.labels[at]))
        # As after a kill: only these arrays survive.
        state = {name: array.copy() for name, array in state.items()}
        score = replace(cast(Any, score))
    return state


def check_score(
    score: Score | str,
    *,
    variants: Sequence[Score] | None = None,
    reference: Callable[[Story], FloatArray] | None = None,
    seed: int = 0,
) -> None:
    """Check that a score meets its declarations and the rules for every score.

    The rules: range, direction and state are as declared; the result is the same for any batches, any order of
    samples, NumPy and torch, and after a restart between epochs; epochs that the score does not want, fields that it
    does not need and, if it is label-free, labels change nothing; the result of a sample does not depend on other
    samples, unless the score declares `whole`; inputs are not changed; every option changes something. The first rule
    that is broken is named by an `AssertionError`.

    Args:
        score: the score to check, or its name.
        variants: the same score with other options; together they must vary every option, and each must matter. By
            default one is made for each option, by its type.
        reference: other code for the score of each sample, float (R, n) or (1, n); both must agree to 1e-10.
        seed: the seed of the random observations.

    >>> check_score("el2n")
    """
    score = resolve(score)
    story = Story.random(score, seed=seed)
    _check_declared(score, story.epochs)
    values = play(score, story)
    _check_values(score, values, story)
    _check_direction(score)
    _check_state(score)
    rng = np.random.default_rng(seed)

    def split(m: int, epoch: int) -> list[IntArray]:
        cuts = np.sort(rng.integers(0, m + 1, 5))
        return [part for part in np.split(rng.permutation(m), cuts) if len(part)]

    _same(score, "any batches give the same", play(score, story, split=split), values)
    order = np.random.default_rng(seed).permutation(SAMPLES)
    _same(score, "shuffled samples take their scores along", play(score, story.take(order)), values[:, order])
    _check_reading(score, story, values)
    _check_pieces(score, story)
    _check_inputs(score, story)
    if importlib.util.find_spec("torch") is not None:
        _same(score, "torch tensors give the same as NumPy arrays", play(score, story, torch=True), values)
    if reference is not None:
        _same(score, "streaming equals the reference", values, reference(story))
    _check_options(score, variants, story, values)


def _same(score: Score, rule: str, left: FloatArray, right: FloatArray) -> None:
    ensure(left.shape == right.shape, score, f"{rule} (shape)", f"{left.shape} and {right.shape}")
    gap = np.abs(left - right) / np.maximum(1.0, np.abs(right))
    ensure(not (gap > CLOSE).any() and not np.isnan(gap).any(), score, rule, f"a difference of {gap.max():.3g}")


def _check_declared(score: Score, epochs: int) -> None:
    ensure(is_dataclass(score), score, "a score is a frozen dataclass, its fields the options")
    ensure(score.direction in DIRECTIONS, score, f"direction is one of {DIRECTIONS}", score.direction)
    ensure(score.low < score.high, score, "low is below high", (score.low, score.high))
    fields_known = {*OBSERVED, "loss"}
    ensure(score.needs and score.needs <= fields_known, score, f"needs are among {sorted(fields_known)}", score.needs)
    ensure(score.state in ("O(1)", "O(J)", "O(C)"), score, "state is 'O(1)', 'O(J)' or 'O(C)'", score.state)
    ensure(score.formula and score.source, score, "formula and source are stated")
    for side in score.sides:
        wanted = any(score.wants(side, epoch, epochs) for epoch in range(1, epochs + 1))
        ensure(wanted, score, f"wants some observation of the {side} side in {epochs} epochs")
    # An observation that is not needed would cost a forward pass.
    ensure("seen" in score.sides or not score.wants("seen", epochs, epochs), score, "wants only the sides it declares")


def _check_values(score: Score, values: FloatArray, story: Story) -> None:
    rows = story.repeats if score.per_repeat else 1
    ensure(values.shape == (rows, SAMPLES), score, "one float64 a sample", f"shape {values.shape}")
    ensure(values.dtype == np.float64, score, "one float64 a sample", values.dtype)
    ensure(np.isfinite(values).all(), score, "finite on finite logits")
    shortest = play(score, story.first(score.least_epochs))
    ensure(np.isfinite(shortest).all(), score, f"finite from as few epochs as it declares, {score.least_epochs}")
    other = Story.random(score, seed=1)
    confident = replace(other, logits={side: 100.0 * x for side, x in other.logits.items()})
    for shown in (values, play(score, confident)):  # very confident predictions, right and wrong ones
        inside = shown.min() >= score.low - CLOSE and shown.max() <= score.high + CLOSE
        ensure(inside, score, f"within [{score.low:.4g}, {score.high:.4g}]", f"{shown.min():.6g} .. {shown.max():.6g}")


def _check_direction(score: Score) -> None:
    """Check that a wrong prediction scores harder than a right one.

    Held out, sample 0 is confidently right and sample 1 confidently wrong; in sample, both are right. For a label-free
    score, sample 1 is undecided instead.
    """
    if score.direction == "worth":
        return  # high means worth keeping, which right and wrong predictions do not determine
    story = Story.random(score, seed=2)
    right = 8.0 * np.eye(CLASSES)[story.labels]
    logits: dict[Side, npt.NDArray[Any]] = {
        side: np.broadcast_to(right, x.shape).copy() for side, x in story.logits.items()
    }
    wrong = np.zeros(CLASSES) if score.label_free else 8.0 * np.eye(CLASSES)[(story.labels[1] + 1) % CLASSES]
    logits["unseen"][:, :, 1] = wrong
    norms = {side: np.ones(x.shape) for side, x in story.grad_norm.items()}
    norms["unseen"][:, :, 1] = 5.0
    features = {side: np.ones(x.shape) for side, x in story.features.items()}
    easy, hard = play(score, replace(story, logits=logits, features=features, grad_norm=norms))[0, :2]
    sane = hard > easy if score.direction == "harder" else hard < easy
    ensure(sane, score, f"{score.direction} when higher", f"{hard:.4g} for a wrong and {easy:.4g} for a right sample")


def _check_state(score: Score) -> None:
    sizes = {}
    for classes in (10 * CLASSES, 20 * CLASSES):
        story = Story.random(score, classes=classes)
        before = score.start("unseen", SAMPLES, classes)
        after = _watch(score, story, "unseen")
        for name, array in {**before, **after}.items():
            ensure(len(array) == SAMPLES, score, f"state {name!r} has one entry a sample", array.shape)
        sizes[classes] = sum(array.nbytes for array in after.values()) / SAMPLES
        ensure(sizes[classes] == sum(a.nbytes for a in before.values()) / SAMPLES, score, "state keeps its size")
    grows = sizes[20 * CLASSES] > sizes[10 * CLASSES]
    ensure(grows == (score.state == "O(C)"), score, f"state is {score.state}", f"{sizes} bytes by number of classes")
    if score.state == "O(1)":
        size = sizes[20 * CLASSES]
        ensure(size < O1_BYTES, score, f"O(1) state below {O1_BYTES} bytes a sample", size)


def _check_reading(score: Score, story: Story, values: FloatArray) -> None:
    """Check that only what is declared is read: in a run, other scores decide which observations come besides."""
    rule = "epochs that it does not want, and fields that it does not need, change nothing"
    try:
        least = play(score, story, least=True)
    except (AttributeError, TypeError) as error:  # of a field that is None
        raise AssertionError(f"score {score.name!r}: {rule}, got {error}") from error
    _same(score, rule, least, values)
    if score.label_free:
        other = replace(story, labels=(story.labels + 1) % CLASSES)
        _same(score, "labels change nothing, or the score is not label_free", play(score, other), values)


def _check_pieces(score: Score, story: Story) -> None:
    """Check that a part of the samples is finished alike, as workers do it, unless the score declares `whole`."""
    if score.whole:
        return
    for side in score.sides:
        state, cut = _watch(score, story, side), SAMPLES // 3
        part = {name: array[:cut] for name, array in state.items()}
        for name, value in score.finish(part, side).items():
            rule = f"{name!r} of a sample does not depend on the others, or the score says whole = True"
            _same(score, rule, value, score.finish(state, side)[name][:cut])


def _check_inputs(score: Score, story: Story) -> None:
    rows = np.arange(SAMPLES)
    for side in score.sides:
        state = score.start(side, SAMPLES, CLASSES)
        for epoch in range(1, story.epochs + 1):
            given, kept = (story.observation(side, 0, epoch, rows) for _ in range(2))
            score.update(state, side, rows, given, _frozen(story.labels.copy()))
            for name in OBSERVED:
                untouched = np.array_equal(getattr(given, name), getattr(kept, name))
                ensure(untouched, score, f"leaves the {name} it is given alone")


def _another(score: Score, value: Any, kind: Any) -> Any:
    """Another value of an option: of the words it may be, or a number beside it."""
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    words = [word for one in kinds if get_origin(one) is Literal for word in get_args(one)]
    if words:
        return next(word for word in words if word != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 or 0.5
    if value is None and int in kinds:
        return score.least_epochs + 1  # fewer than the story has
    raise AssertionError(f"score {score.name!r}: variants= must be given, no other value is known beside {value!r}")


def _check_options(score: Score, variants: Sequence[Score] | None, story: Story, values: FloatArray) -> None:
    names = list(options_of(score))
    if variants is None:
        types = get_type_hints(type(score))
        others = {name: _another(score, getattr(score, name), types[name]) for name in names}
        variants = [replace(cast(Any, score), **{name: value}) for name, value in others.items()]
    varied: set[str] = set()
    for variant in variants:
        differs = {name for name in names if getattr(variant, name) != getattr(score, name)}
        varied |= differs
        changed = play(variant, story)
        matters = not np.array_equal(changed, values)
        ensure(matters, score, f"option {', '.join(sorted(differs))} changes something", repr(variant))
    ensure(varied == set(names), score, "variants vary every option; missing", sorted({*names} - varied))


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.flags.writeable = False
    return array
