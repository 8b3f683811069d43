"""What mkdocs does not do by itself: pages from outside docs, a page for each score and rule, their pictures.

Nothing here is typed twice. The landing page is the README, pages of methods from the registries and docstrings of
the library, pictures from one small computation on scikit-learn's digits (`pictures.py`), made when the site is built.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import landing
import method_pages
import pictures
import reference

LOADED = re.compile(
    r'<(?:script|img|iframe|source)[^>]*\ssrc="https?:[^>]*|<link[^>]*rel="(?:stylesheet|preload|icon)"[^>]*href="https?:[^>]*'
)
PLACE = re.compile(r"<!-- picture (\w+/\w+) -->")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the parts of the navigation that nobody should have to keep up by hand."""
    named = {name for section in config.nav for part in section.values() for name in part}
    root = Path(config.docs_dir)
    found = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.md"))
    folders: dict[str, list[str]] = {}  # of guides that are several pages
    guides: list[Any] = []
    for name in (name for name in found if name not in named):
        folder, inside, _ = name.rpartition("/")
        (folders.setdefault(folder, []) if inside else guides).append(name)
    guides += [{folder.replace("_", " ").capitalize(): pages} for folder, pages in folders.items()]
    fill = {"Guides": guides, "Scores": method_pages.paths("scores"), "Rules": method_pages.paths("rules")}
    for section in config.nav:
        for title, pages in section.items():
            pages += fill.get(title, [])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of scores and rules, and those beside the scripts of the study."""
    for path, text in {**method_pages.pages(), **landing.beside()}.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Put the README and the reference in their places, and mark sessions of the interpreter as such."""
    if page.file.src_uri == "index.md":
        markdown = landing.filled(markdown)
    if page.file.src_uri == "reference.md":
        markdown = reference.filled(markdown)
    for room in ("data", "functional", "rules"):
        if page.file.src_uri == f"reference/{room}.md":
            markdown = reference.filled(markdown, f"unseen.{room}")
    markdown = landing.linked(markdown, page.file.src_uri)
    return re.sub(r"^( *)```python(?=\n *>>>)", r"\1```pycon", markdown, flags=re.M)


def on_page_content(html: str, **_: Any) -> str:
    """Put the pictures in their places: after Markdown, which is not to read them."""
    return PLACE.sub(lambda found: pictures.picture(found[1]), html)


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Refuse a page that would load anything from elsewhere: the site is to work without a network."""
    if found := LOADED.search(output):
        raise PluginError(f"{page.file.src_uri} loads something from elsewhere: {found[0]}")
    return output
