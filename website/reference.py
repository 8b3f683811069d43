"""The public names that the page of the reference does not place by hand."""

from __future__ import annotations

import re

import unseen

PLACE = "<!-- more -->"
PAGES = ("data", "functional", "learners", "rules")  # which have pages of their own


def filled(markdown: str) -> str:
    """The page with every public name on it."""
    placed = set(re.findall(r"^::: unseen\.(\w+)$", markdown, flags=re.M))
    rest = [name for name in unseen.__all__ if name not in placed and name not in PAGES]
    more = ["## More", "", *(line for name in rest for line in (f"::: unseen.{name}", ""))] if rest else []
    return markdown.replace(PLACE, "\n".join(more))
