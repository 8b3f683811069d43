"""The registry of learners by name: `"convnet"`, `"ridge:lam=2"`, `"sklearn:module:function"` and others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from typing import Any

from unseen.core.checks import check_known, check_options
from unseen.core.protocols import Data, Learner
from unseen.core.registry import Registry, import_named, parse_spec
from unseen.errors import ArgumentError, MissingDependencyError
from unseen.learners.base import ESTIMATORS
from unseen.learners.ridge import RidgeLearner
from unseen.learners.softmax import SoftmaxLearner, softmax_or_ridge
from unseen.learners.torch import PRESETS, Recipe, TorchLearner

# A maker takes the data set and the options of the spec, and returns a learner.
Maker = Callable[[Data, Mapping[str, Any]], Learner]

LEARNERS: Registry[Maker] = Registry("learner", "unseen.learners")

DEFAULTS = {"image": "convnet", "vector": "logistic", "text": "tfidf", "table": "hist_gradient_boosting"}

STEPS, MOST_EPOCHS = 500, 200  # of the network on few images


def default_learner(data: Data) -> str:
    """Name the default learner for a data set.

    On few images the network gets more epochs than its preset has, until they make 500 steps: with fewer, it is
    hardly better than chance.

    >>> import numpy as np
    >>> from unseen.data import from_arrays
    >>> default_learner(from_arrays(np.zeros((2000, 8, 8, 3), np.uint8), np.arange(2000) % 10))
    'convnet:epochs=16'
    """
    if data.targets is not None:
        return "ridge" if data.kind in ("image", "vector") else DEFAULTS[data.kind]
    if data.kind != "image":
        return DEFAULTS[data.kind]
    preset = PRESETS[DEFAULTS["image"]]
    epochs = min(MOST_EPOCHS, -(-STEPS * preset["batch_size"] // len(data)))
    return f"{DEFAULTS['image']}:epochs={epochs}" if epochs > preset["epochs"] else DEFAULTS["image"]


def resolve(spec: str | Learner | Any | None, data: Data) -> Learner:
    """Make a learner from a name with options or a scikit-learn estimator; return a learner as it is.

    Args:
        spec: `"convnet:epochs=8,lr=0.2"` or another name of `unseen.learners.LEARNERS`; `"sklearn:module:function"`,
            a function without arguments that makes an estimator; `"torch:module:function"`, one that makes an
            `nn.Module`, with the options of a recipe after another colon; an unfitted estimator; a `Learner`; None:
            `convnet` for images, with more epochs for few, `logistic` for vectors, `tfidf` for text,
            `hist_gradient_boosting` for tables; `ridge` for vectors with a regression target.
        data: the data set to learn from; presets read its kind and columns, not its labels.

    Raises:
        UnknownNameError: there is no learner of that name; the message lists the nearest.
        ArgumentError: the learner does not have an option.
    """
    found = _make_learner(default_learner(data) if spec is None else spec, data)
    return found.suited(data)


def imported_by(spec: str) -> str | None:
    """Return the `"module:function"` that a learner of this name imports, or None where it imports nothing.

    >>> imported_by("sklearn:os:abort"), imported_by("convnet:network=a.b:f,epochs=2"), imported_by("forest")
    ('os:abort', 'a.b:f', None)
    """
    place, rest = _split(spec)
    if place:
        return place
    network = parse_spec(rest)[1].get("network")
    return network if isinstance(network, str) and ":" in network else None


def is_described(spec: str, about: Mapping[str, Any]) -> bool:
    """Return whether a learner of this name imports the function of a manifest's description; import nothing.

    >>> is_described("sklearn:sklearn.naive_bayes:GaussianNB", {"learner": "sklearn:GaussianNB"})
    True
    >>> is_described("sklearn:os:abort", {"learner": "sklearn:LogisticRegression"})
    False
    """
    place = imported_by(spec)
    if place is None:
        return True  # such a learner can be made and compared as a whole
    if spec.startswith("sklearn:"):
        made_by = about.get("made_by")
        return made_by == place if made_by else about.get("learner") == f"sklearn:{place.rpartition(':')[2]}"
    recipe = about.get("recipe")
    return isinstance(recipe, Mapping) and recipe.get("network") == place


def _make_learner(spec: Any, data: Data) -> Learner:
    if isinstance(spec, type):
        raise ArgumentError(f"learner must be an instance, got the class {spec.__name__}; call it: {spec.__name__}()")
    if isinstance(spec, Learner):
        return spec
    if not isinstance(spec, str):
        if not hasattr(spec, "get_params"):
            raise ArgumentError(
                "learner must be a name, an estimator of scikit-learn, or derive from unseen.core.protocols.Learner, "
                f"got an object of {type(spec).__name__}{_remedy(spec)}"
            )
        return _wrap_estimator(spec)
    place, rest = _split(spec)
    if place and spec.startswith("sklearn:"):
        return _wrap_estimator(_make_estimator(place), made_by=place)
    name, options = parse_spec(rest)
    if place:
        check_known("recipe field", options, [entry.name for entry in fields(Recipe) if entry.name != "network"])
        recipe: dict[str, Any] = {"network": place, **options}
        return _make_torch(spec.removeprefix("torch:"), Recipe(**recipe))
    return LEARNERS.get(name)(data, options)


def _remedy(spec: Any) -> str:
    """Say what to pass in place of a network, or a function that makes one, since each fit needs a new one."""
    if isinstance(spec, Recipe):
        return "; pass unseen.learners.TorchLearner(recipe)"
    if callable(spec):
        return (
            "; each fit needs a new network, so name the function that makes it, as in "
            "learner='torch:package.module:function', or train it in your own loop with unseen.Recorder"
        )
    return ""


def _split(spec: str) -> tuple[str, str]:
    """Split a spec into the `module:function` that it imports, or an empty text, and a name with options."""
    prefix, _, rest = spec.partition(":")
    if prefix not in ("sklearn", "torch"):
        return "", spec
    place, options = rest, ""
    if prefix == "torch" and "=" in rest:  # the options of a recipe may follow a function
        place, _, options = rest.rpartition(":")
    is_name = ":" not in place or "=" in place  # of this registry, perhaps with options
    return ("", rest) if is_name else (place, f"x:{options}")


def _make_preset(name: str, data: Data, options: Mapping[str, Any]) -> Learner:
    learners = import_module("unseen.learners.sklearn")
    estimator = getattr(learners, name)(data)
    own = learners.last_step(estimator)
    check_options(f"learner {name!r}", options, sorted(own.get_params(deep=False)))
    own.set_params(**options)
    return _wrap_estimator(estimator, frames=False)  # its encoder finds columns by their positions in `Data.take`


def _wrap_estimator(estimator: Any, made_by: str | None = None, *, frames: bool = True) -> Learner:
    from unseen.learners.sklearn import SklearnLearner  # imports scikit-learn, which other learners do not need

    return SklearnLearner(estimator, made_by=made_by, frames=frames)


def _make_ridge(data: Data, options: Mapping[str, Any]) -> Learner:
    check_options("learner 'ridge'", options, signature(RidgeLearner).parameters)
    return RidgeLearner(**options)


def _make_softmax(data: Data, options: Mapping[str, Any]) -> Learner:
    check_options("learner 'softmax'", options, signature(SoftmaxLearner).parameters)
    return softmax_or_ridge(data, SoftmaxLearner(**options))


def _make_torch(name: str, recipe: Recipe) -> Learner:
    if find_spec("torch") is None:
        raise MissingDependencyError("torch", f"the learner {name!r}", extra="torch")
    return TorchLearner(recipe)


def _make_torch_preset(name: str, data: Data, options: Mapping[str, Any]) -> Learner:
    return _make_torch(name, Recipe.named(name, **options))


def _make_estimator(place: str) -> Any:
    """Make an estimator by the function of a user, `module:function`."""
    make = import_named(f"learner {place!r}", place)
    try:
        return make()
    except Exception as error:  # the function of a user may raise anything
        raise ArgumentError(
            f"learner {place!r} must be a function without arguments that makes an estimator, but calling it fails: "
            f"{type(error).__name__}: {error}"
        ) from error


for _name in ESTIMATORS:
    LEARNERS.add(_name, partial(_make_preset, _name))
LEARNERS.add("ridge", _make_ridge)
LEARNERS.add("softmax", _make_softmax)
for _name in PRESETS:
    LEARNERS.add(_name, partial(_make_torch_preset, _name))
