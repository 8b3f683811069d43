"""Learners by name: `"convnet"`, `"ridge:lam=2"`, `"sklearn:module:function"`, `"torch:module:function"`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from typing import Any

from unseen.errors import ArgumentError, MissingDependencyError
from unseen.learners.defaults import ESTIMATORS, default_learner
from unseen.learners.ridge import RidgeLearner
from unseen.learners.softmax.fallback import softmax_or_ridge
from unseen.learners.torch.recipe import PRESETS
from unseen.protocols import Data, Learner
from unseen.registry import Registry, parse_spec

__all__ = ["LEARNERS", "resolve"]

# A maker gets the data set and the options of the spec, and gives a learner.
Maker = Callable[[Data, Mapping[str, Any]], Learner]

LEARNERS: Registry[Maker] = Registry("learner", "unseen.learners")


def resolve(spec: str | Learner | Any | None, data: Data) -> Learner:
    """The learner of a name with options, of a scikit-learn estimator, or the learner itself.

    Args:
        spec: `"convnet:epochs=8,lr=0.2"` or another name of `unseen.learners.LEARNERS`; `"sklearn:module:function"`,
            a function without arguments that makes an estimator; `"torch:module:function"`, one that makes an
            `nn.Module`, with the options of a recipe behind another colon; an unfitted estimator; a `Learner`; None:
            `convnet` for images, `logistic` for vectors, `tfidf` for text, `hist_gradient_boosting` for tables,
            `ridge` where there is a regression target.
        data: the data set to learn from; presets read its kind and columns, not its labels.

    Raises:
        UnknownNameError: no learner of that name; the nearest are named.
        ArgumentError: an option that the learner does not have.
    """
    found = _learner(default_learner(data) if spec is None else spec, data)
    suited: Learner = found.suited(data) if hasattr(found, "suited") else found
    return suited


def _learner(spec: Any, data: Data) -> Learner:
    if isinstance(spec, type):
        raise ArgumentError(f"learner must be an instance, got the class {spec.__name__}; call it: {spec.__name__}()")
    if not isinstance(spec, str):
        if hasattr(spec, "provides"):
            learner: Learner = spec
            return learner
        return _estimator(spec)
    prefix, _, rest = spec.partition(":")
    if prefix == "sklearn" and ":" in rest and "=" not in rest:
        return _estimator(_imported(rest)())
    if prefix == "torch" and ":" in rest:
        return _torch_network(rest)
    name, options = parse_spec(rest if prefix in ("sklearn", "torch") else spec)
    return LEARNERS.get(name)(data, options)


def _preset(name: str, data: Data, options: Mapping[str, Any]) -> Learner:
    estimator = getattr(import_module("unseen.learners.presets"), name)(data)
    own = _last_step(estimator)
    unknown = [key for key in options if key not in own.get_params(deep=False)]
    if unknown:
        known = ", ".join(sorted(own.get_params(deep=False)))
        raise ArgumentError(f"learner {name!r} has no option {unknown[0]!r}; its options: {known}")
    own.set_params(**options)
    return _estimator(estimator, frames=False)  # its columns are told apart by their places in `Data.take`


def _estimator(estimator: Any, *, frames: bool = True) -> Learner:
    from unseen.learners.sklearn import SklearnLearner  # with scikit-learn, whose import other learners do without

    return SklearnLearner(estimator, frames=frames)


def _last_step(estimator: Any) -> Any:
    return estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator


def _ridge(data: Data, options: Mapping[str, Any]) -> Learner:
    known = signature(RidgeLearner).parameters
    unknown = [key for key in options if key not in known]
    if unknown:
        raise ArgumentError(f"learner 'ridge' has no option {unknown[0]!r}; its options: {', '.join(known)}")
    learner: Learner = RidgeLearner(**options)
    return learner


def _torch_preset(name: str, data: Data, options: Mapping[str, Any]) -> Learner:
    torch_room = _torch_room(name)
    learner: Learner = torch_room.TorchLearner(torch_room.Recipe.named(name, **options))
    return learner


def _torch_network(rest: str) -> Learner:
    """`module:function` and, behind a further colon, the options of a recipe."""
    place, _, tail = rest.rpartition(":")
    if "=" not in tail:
        place, tail = rest, ""
    options = parse_spec(f"x:{tail}")[1]
    torch_room = _torch_room(rest)
    learner: Learner = torch_room.TorchLearner(torch_room.Recipe(network=place, **options))
    return learner


def _torch_room(name: str) -> Any:
    if find_spec("torch") is None:  # not imported here: the room says how its threads shall wait, first
        raise MissingDependencyError("torch", f"the learner {name!r}", extra="torch")
    return import_module("unseen.learners.torch")


def _imported(place: str) -> Callable[[], Any]:
    module, _, function = place.partition(":")
    try:
        found: Callable[[], Any] = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ArgumentError(f"learner {place!r} must be module:function, but it cannot be imported: {error}") from error
    return found


for _name in ESTIMATORS:
    LEARNERS.add(_name, partial(_preset, _name))
LEARNERS.add("ridge", _ridge)
LEARNERS.add("softmax", softmax_or_ridge)
for _name in PRESETS:
    LEARNERS.add(_name, partial(_torch_preset, _name))
