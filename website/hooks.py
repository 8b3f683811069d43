"""What mkdocs does not do by itself: the table of the landing page, a page for each score and rule, their pictures.

Nothing here is typed twice. Tables come from benchmarks/results, pages of methods from the registries and docstrings of
the library, pictures from one small computation on scikit-learn's digits (`pictures.py`), made when the site is built.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import landing
import method_pages
import pictures
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PLACE = re.compile(r"<!-- picture (\w+/\w+) -->")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the parts of the navigation that nobody should have to keep up by hand."""
    named = {name for section in config.nav for part in section.values() for name in part}
    top = sorted(path.name for path in Path(config.docs_dir).glob("*.md"))
    fill = {
        "Guides": [name for name in top if name not in named],
        "Scores": method_pages.paths("scores"),
        "Rules": method_pages.paths("rules"),
    }
    for section in config.nav:
        for title, pages in section.items():
            pages += fill.get(title, [])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of scores and rules."""
    for path, text in method_pages.pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Put the results in their place, and mark sessions of the interpreter as such."""
    if page.file.src_uri == "index.md":
        markdown = landing.filled(markdown)
    return re.sub(r"^( *)```python(?=\n *>>>)", r"\1```pycon", markdown, flags=re.M)


def on_page_content(html: str, **_: Any) -> str:
    """Put the pictures in their places: after Markdown, which is not to read them."""
    return PLACE.sub(lambda found: pictures.picture(found[1]), html)
