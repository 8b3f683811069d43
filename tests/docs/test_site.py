"""What the documentation site makes by itself: pages of scores and rules, pictures, the table of the landing page."""

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import unseen
from unseen.core.table import meaning
from unseen.rules import RULES
from unseen.scores import SCORES

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "website"))

import landing  # noqa: E402
import method_pages  # noqa: E402
import reference  # noqa: E402

METHODS = [("scores", name) for name in SCORES] + [("rules", name) for name in RULES]


@pytest.fixture(scope="module")
def pages():
    return method_pages.pages()


@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_a_page_for_each_says_formula_direction_cost_paper_and_when_it_fails(pages, kind, name):
    method = (SCORES if kind == "scores" else RULES).get(name)
    cost, fails = (method_pages.section_of(method, title) for title in ("Cost", "Fails"))
    assert cost, "its docstring says nothing of its cost"
    assert fails, "its docstring does not say when it fails"
    page = pages[f"{kind}/{name}.md"]
    assert page.startswith(f"# {name}\n")
    for part in (method.formula, cost.split(" (docs/")[0][:40], fails[:20], method.source.partition(" (")[0]):
        assert part.replace("|", "\\|") in page, part
    if kind == "scores":
        assert meaning(method.direction) in page
    assert f"<!-- picture {kind}/{name} -->" in page
    assert f"{kind}/{name}.md" in method_pages.paths(kind)
    assert f"]({name}.md)" in pages[f"{kind}/index.md"]


@pytest.mark.parametrize("gap", [" ", "\n        "])
def test_a_section_ends_where_the_next_one_begins(gap):
    text = f"First.\n\n    Cost:{gap}One\n    line.\n\n    Fails:{gap}Two.\n    "
    assert method_pages.section(text, "Cost") == "One line."
    assert method_pages.section(text, "Fails") == "Two."
    assert method_pages.section("First.", "Fails") == ""


def test_the_reference_has_every_public_name():
    page = reference.filled((ROOT / "docs" / "reference.md").read_text())
    shown = re.findall(r"^::: unseen\.(\w+)$", page, flags=re.M)
    assert sorted(shown) == sorted(set(shown)), "a name is there twice"
    assert {*shown, *reference.PAGES} == set(unseen.__all__)


@pytest.mark.parametrize("room", ["data", "functional"])
def test_the_pages_of_rooms_have_all_of_them(room):
    page = reference.filled((ROOT / "docs" / "reference" / f"{room}.md").read_text(), f"unseen.{room}")
    assert set(re.findall(rf"^::: unseen\.{room}\.(\w+)$", page, flags=re.M)) == set(getattr(unseen, room).__all__)


def test_the_landing_page_is_the_readme_with_the_links_of_the_site():
    page = landing.linked(landing.filled((ROOT / "docs" / "index.md").read_text()), "index.md")
    readme = (ROOT / "README.md").read_text()
    assert "](docs/" in readme
    assert "](docs/" not in page
    assert "](results.md)" in page
    assert "(images/report-desktop.png)" in page
    assert "](CHANGELOG.md)" not in page  # not in the site, so its words alone
    with pytest.raises(ValueError, match="no place"):
        landing.filled("# A page without it")


@pytest.mark.parametrize(
    ("page", "link", "there"),
    [
        ("results.md", "../benchmarks/quality/results.md#every-cell", "quality/results.md#every-cell"),
        ("tutorials/text.md", "../results.md", "../results.md"),
        ("quality/results.md", "../../docs/results.md#a", "../results.md#a"),
        ("scores/el2n.md", "../rules/index.md", "../rules/index.md"),  # made when the site is built
        ("results.md", "https://arxiv.org/abs/1", "https://arxiv.org/abs/1"),
    ],
)
def test_links_of_the_repository_become_links_of_the_site(page, link, there):
    assert landing.linked(f"see [it]({link}).", page) == f"see [it]({there})."


def test_the_pages_beside_the_scripts_are_in_the_site():
    pages = landing.beside()
    assert {"quality/results.md", "quality/text_and_tables.md"} <= set(pages)
    assert all(path in (ROOT / "mkdocs.yml").read_text() for path in pages)


def test_a_picture_is_svg_in_the_colours_of_the_page_and_says_what_it_shows():
    import pictures

    html = pictures.picture("scores/leverage")
    figure = ElementTree.fromstring(html)
    svg = figure.find("{http://www.w3.org/2000/svg}svg")
    assert svg.get("aria-label") == figure.find("figcaption").text
    assert "leverage (worth more when higher)" in "".join(svg.itertext())
    assert not re.search(r"(fill|stroke): ?#(000000|ffffff)", html), "black or white is not seen in one of the two"
    assert 'width="' not in html[: html.index("<defs")], "it must shrink on a phone"
