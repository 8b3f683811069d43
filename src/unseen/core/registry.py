"""Registries of scores, rules and learners by name: built-in ones, and those of other packages by entry point."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import entry_points
from pkgutil import resolve_name
from typing import Any, Generic, TypeVar

from unseen.errors import ArgumentError, UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """A table of entries by name. A second entry of the same name is refused.

    `kind` is the word for messages, such as `"score"`; `group` the entry-point group for entries of other packages.
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group
        self._entries: dict[str, T] = {}
        self._foreign_loaded = False

    def add(self, name: str, entry: T) -> T:
        """Add an entry under its name, and return it."""
        if name in self._entries:
            raise ArgumentError(f"a {self.kind} named {name!r} is already registered; choose another name")
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> T:
        """Return the entry of that name; an unknown name is an error that lists the nearest names."""
        if name not in self._entries:
            self._load_foreign()
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self._entries) from None

    def __iter__(self) -> Iterator[str]:
        self._load_foreign()
        return iter(self._entries)

    def items(self) -> list[tuple[str, T]]:
        """Return all entries with their names, in order of registration."""
        self._load_foreign()
        return list(self._entries.items())

    def _load_foreign(self) -> None:
        if self._foreign_loaded:
            return
        loaded: list[tuple[str, T]] = []  # added once all are loaded, so that a failure is the same each time
        for point in entry_points(group=self.group):
            try:
                loaded.append((point.name, point.load()))
            except Exception as error:
                raise ArgumentError(
                    f"the {self.kind} {point.name!r} ({point.value}) of another package cannot be loaded: {error}; "
                    "update or uninstall that package"
                ) from error
        self._foreign_loaded = True
        for name, entry in loaded:
            self.add(name, entry)


def options_of(kind: Any) -> dict[str, Any]:
    """Return the options of a score or a rule, which are the fields of its dataclass, with their defaults."""
    return {field.name: field.default for field in fields(kind)}


def import_named(what: str, place: str) -> Any:
    """Import the function of a user, `module:function`; `what` names its use in messages, as in `"learner 'a:b'"`."""
    try:
        found = resolve_name(place)
    except (ImportError, AttributeError, ValueError) as error:
        module, hint = place.partition(":")[0], ""
        if module.endswith(".py"):
            hint = "; leave out .py, as in an import"
        elif isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
            hint = "; a module in this folder is found with PYTHONPATH=. in front of the command"
        raise ArgumentError(f"{what} must be module:function, but it cannot be imported: {error}{hint}") from error
    if not callable(found):
        raise ArgumentError(f"{what} must be module:function, but it is {type(found).__name__}")
    return found


def parse_spec(text: str) -> tuple[str, dict[str, object]]:
    """Split `"dual:window=5,epochs=20"` into its name and options, values read as Python literals or words.

    >>> parse_spec("dual:window=5,epochs=20")
    ('dual', {'window': 5, 'epochs': 20})
    >>> parse_spec("el2n:epochs=(3,4)")
    ('el2n', {'epochs': (3, 4)})
    """
    name, _, tail = text.partition(":")
    options: dict[str, object] = {}
    for item in filter(None, _items(tail)):
        key, equals, value = item.partition("=")
        if not equals:
            raise ArgumentError(
                f"expected name:option=value,... but got {text!r}: {item!r} has no '='; name it, as in folds:k=2"
            )
        word = value.strip()
        try:
            options[key.strip()] = ast.literal_eval(word)
        except (ValueError, SyntaxError):
            options[key.strip()] = {"true": True, "false": False, "none": None}.get(word.lower(), word)
    return name.strip(), options


def _items(text: str) -> list[str]:
    """Split a text at its commas, except those inside brackets."""
    items, depth = [""], 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            items.append("")
        else:
            items[-1] += sign
    return items
