"""The pages of the site that lie outside docs: the README, which is its landing page, and the pages of results.

Links between pages are written as the repository has them; here they become those of the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = "<!-- README -->"
RESULTS = "benchmarks/quality"  # its pages are in the folder `quality` of the site
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def filled(markdown: str) -> str:
    """Put the README in its place."""
    if PLACE not in markdown:
        raise ValueError(f"the landing page has no place {PLACE!r} for the README")
    return markdown.replace(PLACE, (ROOT / "README.md").read_text())


def beside() -> dict[str, str]:
    """Give the pages beside the scripts of the study: path in the site to text."""
    return {f"quality/{path.name}": path.read_text() for path in sorted((ROOT / RESULTS).glob("*.md"))}


def linked(markdown: str, page: str) -> str:
    """Turn links of a page of the site that the repository resolves into links of the site.

    A link to a file that is not in the site becomes its text.
    """
    home = _in_repository(page)

    def link(found: re.Match[str]) -> str:
        mark, words, target, anchor = found[1], found[2], found[3], found[4] or ""
        place = posixpath.normpath(posixpath.join(posixpath.dirname(home), target))
        if not (ROOT / place).is_file():
            return found[0]  # a page that is made when the site is built, or a fault that mkdocs reports
        site = _in_site(place)
        if site is None:
            return words
        return f"{mark}[{words}]({posixpath.relpath(site, posixpath.dirname(page) or '.')}{anchor})"

    return LINK.sub(link, markdown)


def _in_repository(page: str) -> str:
    if page == "index.md":
        return "README.md"
    folder, _, name = page.partition("/")
    return f"{RESULTS}/{name}" if folder == "quality" else f"docs/{page}"


def _in_site(place: str) -> str | None:
    if place == "README.md":
        return "index.md"
    folder, _, name = place.rpartition("/")
    if folder == RESULTS and name.endswith(".md"):
        return f"quality/{name}"
    return place.removeprefix("docs/") if place.startswith("docs/") else None
