"""The class from which a library wants its callbacks to inherit, imported when a callback is made."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from unseen.errors import MissingDependencyError

__all__ = ["callback_of"]


def callback_of(hooks: type, name: str, package: str, *modules: str) -> Any:
    """A class with these hooks that inherits the rest of them from the library's own.

    Args:
        hooks: a class of hooks.
        name: of the library's class.
        package: to install, for the message.
        modules: where the class may be, in the order in which they are tried.

    Raises:
        MissingDependencyError: none of them is installed.
    """
    for module in modules:
        try:
            base = getattr(import_module(module), name)
        except ImportError:
            continue
        return type("HeldOut", (hooks, base), {})
    raise MissingDependencyError(package, f"held_out of unseen.integrations, for {package},")
