"""What the documentation site makes by itself: pages of scores and rules, pictures, the table of the landing page."""

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import unseen
from unseen.rules import RULES
from unseen.scores import SCORES
from unseen.types import meaning

ROOT = Path(__file__).parents[1]
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
    cost, fails = (method_pages.section(method.__doc__, title) for title in ("Cost", "Fails"))
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


def test_a_section_ends_where_the_next_one_begins():
    text = "First.\n\n    Cost:\n        One\n        line.\n\n    Fails:\n        Two.\n    "
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
    page = (ROOT / "docs" / "reference" / f"{room}.md").read_text()
    assert set(re.findall(rf"^::: unseen\.{room}\.(\w+)$", page, flags=re.M)) == set(getattr(unseen, room).__all__)


def test_the_landing_page_begins_with_the_results_and_random_beside():
    page = landing.filled((ROOT / "docs" / "index.md").read_text())
    table = page[: page.index("\n## ")]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(landing.DATA) * len(landing.SHARES)
    study = (ROOT / "docs" / "results.md").read_text()
    for row in rows[2:]:
        for cell in row[2:]:
            figure = cell.replace("\N{NO-BREAK SPACE}", " ").replace("<br>", " ").strip(" |")
            assert re.fullmatch(r"\d+\.\d ± \d+\.\d( \([+-]\d+\.\d ± \d+\.\d( \*)?\))?", figure), figure
            assert f" {figure} |" in study, figure
    with pytest.raises(ValueError, match="no place"):
        landing.filled("# A page without it")


def test_a_picture_is_svg_in_the_colours_of_the_page_and_says_what_it_shows():
    import pictures

    html = pictures.picture("scores/leverage")
    figure = ElementTree.fromstring(html)
    svg = figure.find("{http://www.w3.org/2000/svg}svg")
    assert svg.get("aria-label") == figure.find("figcaption").text
    assert "leverage (worth more when higher)" in "".join(svg.itertext())
    assert not re.search(r"(fill|stroke): ?#(000000|ffffff)", html), "black or white is not seen in one of the two"
    assert 'width="' not in html[: html.index("<defs")], "it must shrink on a phone"
