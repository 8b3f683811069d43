"""Every command line that the README and the documentation show is one that the program takes."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import typer

from unseen.cli._app import app

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "website"))

import method_pages  # noqa: E402

LINE = re.compile(r"^ {4}(?:\$ )?unseen ((?:.*\\\n)*.*)$", flags=re.M)


def shown():
    pages = {
        p.relative_to(ROOT).as_posix(): p.read_text() for p in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    }
    for page, text in {**pages, **method_pages.pages()}.items():
        for line in LINE.findall(text):
            yield page, line.replace("\\\n", " ")


def parse(line):
    words = shlex.split(re.split(r" (?:>|\||&&) ?", line)[0], comments=True)  # what the shell does with it, left out
    command = typer.main.get_command(app).commands[words[0]]
    command.make_context(words[0], words[1:]).close()


@pytest.mark.parametrize(("page", "line"), sorted(set(shown())))
def test_a_command_line_is_one_that_the_program_takes(page, line):
    parse(line)


def test_a_line_that_it_does_not_take_is_found():
    with pytest.raises(Exception, match="No such option"):
        parse("prune digits --keep 0.7 --no-such-option")
    with pytest.raises(KeyError):
        parse("no-such-command digits")
