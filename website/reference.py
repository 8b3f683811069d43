"""The public names that the pages of the reference do not place by hand."""

from __future__ import annotations

import re
from importlib import import_module

PLACE = "<!-- more -->"
PAGES = ("data", "functional", "learners", "rules")  # which have pages of their own


def filled(markdown: str, room: str = "unseen") -> str:
    """The page with every public name of the package, or of one of its rooms, on it."""
    placed = set(re.findall(rf"^::: {re.escape(room)}\.(\w+)$", markdown, flags=re.M))
    rest = [
        name for name in import_module(room).__all__ if name not in placed and name not in PAGES and not name.isupper()
    ]
    more = ["## More", "", *(line for name in rest for line in (f"::: {room}.{name}", ""))] if rest else []
    return markdown.replace(PLACE, "\n".join(more))
