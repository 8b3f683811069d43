"""Every registered score keeps the contract, and equals its pure function and a naive loop; broken ones are caught."""

import math
from dataclasses import dataclass, fields, replace

import naive_scores as naive
import numpy as np
import pytest

from unseen import functional
from unseen.scores import SCORES, resolve
from unseen.scores.dynamics import DynUnc
from unseen.scores.pointwise import El2n, Grand, Loss
from unseen.scores.streaming import Course
from unseen.scores.two_sided import Memorization
from unseen.testing import Story, check_score, play

POINTWISE = (
    "el2n",
    "loss",
    "entropy",
    "least_confidence",
    "margin",
    "label_margin",
    "grand_last_layer",
    "self_confidence",
    "normalized_margin",
)
COURSE = ("aum", "forgetting", "correctness", "confidence", "variability", "dyn_unc", "dual", "tdds")
TWO_SIDED = ("memorization", "holdout_gap", "reducible", "disagreement")
# For each score the specs that vary its options, and the names of options that its pure function takes too.
# Scores that are a field of the observation.
OBSERVED = {"grand": "grad_norm", "leverage": "leverage", "cooks_distance": "cooks_distance"}
SPECS = {
    **{name: [f"{name}:epochs=1", f"{name}:epochs=(1,3)"] for name in (*POINTWISE, *OBSERVED)},
    **{name: [f"{name}:epochs=3"] for name in COURSE},
    "memorization": ["memorization:probabilities=true"],
    "reducible": ["reducible:epoch=2"],
    "holdout_gap": [],
    "disagreement": [],
    "label_issue": [],
}
SPECS["label_margin"].append("label_margin:space=logits")
SPECS["grand_last_layer"].append("grand_last_layer:bias=false")
SPECS["aum"].append("aum:space=probabilities")
SPECS["dyn_unc"] = ["dyn_unc:window=4", "dyn_unc:epochs=11"]
SPECS["dual"] = ["dual:window=4", "dual:epochs=11"]
SPECS["tdds"] = ["tdds:window=4", "tdds:epochs=11", "tdds:decay=0.5", "tdds:decay=1.0"]


def default(name):
    return resolve("reducible:epoch=1" if name == "reducible" else name)


def options(score, *left_out):
    return {field.name: getattr(score, field.name) for field in fields(score) if field.name not in left_out}


def epochs_of(score, story):
    if score.epochs is None:
        return [story.epochs]
    return [score.epochs] if isinstance(score.epochs, int) else list(score.epochs)


def two_sided_arrays(story):
    """Repeat r of the story has a model that saw every sample and one that did not."""
    both = np.concatenate([story.logits["seen"], story.logits["unseen"]])
    mask = np.zeros((len(both), len(story.labels)), bool)
    mask[: story.repeats] = True
    return both, mask


def by_pure_function(score, story):
    function, name = getattr(functional, score.name), score.name
    rows = []
    for r in range(story.repeats):
        history = story.logits["unseen"][r]
        if name in COURSE:
            rows.append(function(history, story.labels, **options(score)))
        elif name == "label_issue":
            rows.append(function(history[-1], story.labels).astype(float))
        elif name in POINTWISE:
            more = [story.features["unseen"][r]] if name == "grand_last_layer" else []
            parts = [
                function(history[e - 1], *(m[e - 1] for m in more), story.labels, **options(score, "epochs"))
                for e in epochs_of(score, story)
            ]
            rows.append(np.mean(parts, axis=0))
        else:
            both, mask = two_sided_arrays(story)
            one = [r, story.repeats + r]
            early = [both[one, score.epoch - 1]] if name == "reducible" else []
            rows.append(function(*early, both[one, -1], story.labels, mask[one], **options(score, "epoch")))
    return np.stack(rows)


def by_loops(score, story):
    function, name = getattr(naive, score.name), score.name
    out = np.empty((story.repeats, len(story.labels)))
    for r in range(story.repeats):
        for i, y in enumerate(story.labels.tolist()):
            course = story.logits["unseen"][r, :, i].tolist()
            seen = story.logits["seen"][r, :, i].tolist()
            if name in COURSE:
                out[r, i] = function(course[: score.epochs], y, **options(score, "epochs"))
            elif name in POINTWISE:
                h = [story.features["unseen"][r, :, i].tolist()] if name == "grand_last_layer" else []
                parts = [
                    function(course[e - 1], *(x[e - 1] for x in h), y, **options(score, "epochs"))
                    for e in epochs_of(score, story)
                ]
                out[r, i] = np.mean(parts)
            elif name == "reducible":
                out[r, i] = function([seen[score.epoch - 1]], [course[-1]], y)
            else:
                out[r, i] = function([seen[-1]], [course[-1]], y, **options(score))
    return out


def expected(score, story):
    """By the pure function, checked against the loops; for scores without one, by hand."""
    if score.name in OBSERVED:
        observed = getattr(story, OBSERVED[score.name])["unseen"]
        return np.mean([observed[:, e - 1] for e in epochs_of(score, story)], axis=0)
    if score.name == "disagreement":
        last = story.logits["unseen"][:, -1]
        loops = [naive.disagreement(last[:, i].tolist()) for i in range(len(story.labels))]
        both, mask = two_sided_arrays(story)
        np.testing.assert_allclose(functional.disagreement(both[:, -1], None, mask), loops, atol=1e-12)
        return np.array([loops])
    pure = by_pure_function(score, story)
    if score.name == "label_issue":
        for r in range(story.repeats):
            loops = naive.label_issue(story.logits["unseen"][r, -1].tolist(), story.labels.tolist())
            np.testing.assert_array_equal(pure[r], loops)
    else:
        np.testing.assert_allclose(pure, by_loops(score, story), rtol=1e-10, atol=1e-12)
    return pure


@pytest.mark.parametrize("name", list(SCORES))
def test_every_registered_score_conforms(name):
    check_score(default(name))


@pytest.mark.parametrize("name", list(SPECS))
def test_streaming_equals_the_pure_function_and_the_loops(name):
    variants = [resolve(spec) for spec in SPECS[name]]
    check_score(default(name), variants=variants, reference=lambda story: expected(default(name), story))
    for variant in variants:
        longest = replace(variant, **({"epochs": None} if "epochs" in options(variant) else {}))
        story = Story.random(variant if variant.least_epochs > longest.least_epochs else longest, seed=5)
        np.testing.assert_allclose(play(variant, story), expected(variant, story), rtol=1e-10, atol=1e-10)


# Planted violations: the conformance test must catch a broken score.


@dataclass(frozen=True, kw_only=True)
class OutOfRange(El2n):
    def measure(self, observation, labels):
        return super().measure(observation, labels) + 0.1


@dataclass(frozen=True, kw_only=True)
class WrongWayRound(El2n):
    direction = "easier"


@dataclass(frozen=True, kw_only=True)
class DependsOnBatch(Loss):
    def measure(self, observation, labels):
        loss = super().measure(observation, labels)
        return loss / loss.max()


@dataclass(frozen=True, kw_only=True)
class DependsOnOrder(El2n):
    def finish(self, state, side):
        value = super().finish(state, side)["value"]
        return {"value": value * np.linspace(0.5, 1.0, len(value))}


@dataclass(frozen=True, kw_only=True)
class WritesToItsInput(Grand):
    def measure(self, observation, labels):
        observation.grad_norm[:] = abs(observation.grad_norm) + 1.0
        return observation.grad_norm


@dataclass(frozen=True, kw_only=True)
class GrowingState(El2n):
    def update(self, state, side, at, observation, labels):
        super().update(state, side, at, observation, labels)
        state["history"] = np.tile(state["sum"][:, None], (1, observation.epoch))


@dataclass(frozen=True, kw_only=True)
class WholeHistory(El2n):
    def start(self, side, m, classes):
        return {**super().start(side, m, classes), "history": np.zeros((m, 200))}


@dataclass(frozen=True, kw_only=True)
class ClassesInSecret(El2n):
    def start(self, side, m, classes):
        return {**super().start(side, m, classes), "p": np.zeros((m, classes))}


@dataclass(frozen=True, kw_only=True)
class StateOfOtherLength(El2n):
    def start(self, side, m, classes):
        return {**super().start(side, m, classes), "threshold": np.zeros(classes)}


@dataclass(frozen=True, kw_only=True)
class HiddenState(El2n):
    def update(self, state, side, at, observation, labels):
        object.__setattr__(self, "calls", getattr(self, "calls", 0) + 1)
        super().update(state, side, at, observation, labels)
        state["sum"][at] /= self.calls


@dataclass(frozen=True, kw_only=True)
class IdleOption(El2n):
    sharpness: float = 1.0


@dataclass(frozen=True, kw_only=True)
class DividesByNothing(DynUnc):
    def value(self, state):
        return super().value(state) / (state["count"] - state["count"].max())


@dataclass(frozen=True, kw_only=True)
class TorchDiffers(Loss):
    def measure(self, observation, labels):
        loss = super().measure(observation, labels)
        return loss if isinstance(loss, np.ndarray) else loss.float()


@dataclass(frozen=True, kw_only=True)
class PopulationDeviation(DynUnc):
    def statistic(self, p):
        return np.std(p, axis=0)


@dataclass(frozen=True, kw_only=True)
class SecretlyBothSides(El2n):
    def wants(self, side, epoch, last):
        return epoch == last


@dataclass(frozen=True, kw_only=True)
class ComparesSamples(El2n):
    def finish(self, state, side):
        value = super().finish(state, side)["value"]
        return {"value": value / (1 + value.mean())}


@dataclass(frozen=True, kw_only=True)
class AddsUnasked(El2n):
    """Adds up all epochs, of which it asks for the last one: beside other scores it would be another score."""

    def update(self, state, side, at, observation, labels):
        before = state["sum"][at].copy()
        super().update(state, side, at, observation, labels)
        state["sum"][at] = (state["sum"][at] + observation.epoch * before) / (observation.epoch + 1)


@dataclass(frozen=True, kw_only=True)
class ReadsUndeclared(El2n):
    def measure(self, observation, labels):
        return super().measure(observation, labels) * (observation.grad_norm > 0)


@dataclass(frozen=True, kw_only=True)
class ReadsLabels(El2n):
    label_free = True


@dataclass(frozen=True, kw_only=True)
class NeedsMoreEpochs(DynUnc):
    least_epochs = 2

    def __post_init__(self):
        """Allow any number of epochs."""

    def value(self, state):
        return super().value(state) + np.where(state["count"] < 3, np.nan, 0.0)


class NeverAsks(El2n):
    def wants(self, side, epoch, last):
        return False


BROKEN = {
    OutOfRange: r"within \[0, 1.414\]",
    WrongWayRound: "easier when higher",
    DependsOnBatch: "any batches",
    DependsOnOrder: "shuffled samples",
    WritesToItsInput: "leaves the grad_norm",
    GrowingState: "state keeps its size",
    WholeHistory: "O.1. state below 200 bytes",
    ClassesInSecret: "state is O.1.",
    StateOfOtherLength: "one entry a sample",
    HiddenState: "any batches",
    IdleOption: "option sharpness changes something",
    TorchDiffers: "torch tensors",
    PopulationDeviation: "streaming equals the reference",
    ComparesSamples: "'value' of a sample does not depend on the others",
    SecretlyBothSides: "only the sides it declares",
    AddsUnasked: "epochs that it does not want, .*, change nothing, got a difference",
    ReadsUndeclared: "fields that it does not need, change nothing, got .*NoneType",
    ReadsLabels: "labels change nothing",
    NeedsMoreEpochs: "finite from as few epochs as it declares, 2",
    NeverAsks: "wants some observation",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_score_is_caught(broken):
    variants = [broken(epochs=1)] if issubclass(broken, El2n) else []
    if broken is IdleOption:
        variants.append(IdleOption(sharpness=2.0))
    reference = None
    if broken is PopulationDeviation:

        def reference(story):
            return by_pure_function(DynUnc(), story)

    with pytest.raises(AssertionError, match=BROKEN[broken]):
        check_score(broken(), variants=variants, reference=reference)


def test_infinite_scores_are_caught():
    with np.errstate(divide="ignore"), pytest.raises(AssertionError, match="finite on finite logits"):
        check_score(DividesByNothing())


def test_an_option_left_out_of_the_variants_is_caught():
    with pytest.raises(AssertionError, match=r"vary every option; missing, got \['probabilities'\]"):
        check_score(Memorization(), variants=[])


def test_the_deviation_stays_stable_on_long_and_nearly_constant_courses():
    """A running sum of squares would lose all digits here."""
    rng = np.random.default_rng(0)
    score = resolve("dyn_unc:window=10")
    story = Story.random(score)
    p = 0.9 + 1e-9 * rng.normal(size=story.logits["unseen"].shape[:3])
    logits = np.stack([np.log(p), np.log1p(-p)], axis=-1)
    steady = replace(story, labels=np.zeros(len(story.labels), int), logits={"unseen": logits, "seen": logits})
    deviations = [np.std(p[:, w : w + 10], axis=1, ddof=1) for w in range(story.epochs - 9)]
    np.testing.assert_allclose(play(score, steady), np.mean(deviations, axis=0), rtol=1e-5)
    variability = resolve("variability")
    np.testing.assert_allclose(play(variability, steady), np.std(p, axis=1, ddof=1), rtol=1e-5)


def test_bounds_are_those_of_the_formulas():
    assert SCORES.get("el2n").high == math.sqrt(2)
    assert issubclass(SCORES.get("dual"), Course)
    assert resolve("label_margin").high == 1.0
    assert resolve("label_margin:space=logits").high == math.inf
