"""The help: it comes at once, shows what most people need, and all of it where all is asked for."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys

import pytest
import typer
from command_line import SCRIPT, unseen_says_fixture  # noqa: F401

import unseen
from unseen.cli import _options
from unseen.cli._app import COMMANDS, app
from unseen.cli._options import Brief, subcommand

NAMES = [name for commands in COMMANDS.values() for name in commands]
# Each of these takes a tenth of a second or more to import.
SLOW = ("numpy", "scipy", "pyarrow", "sklearn", "torch", "pandas", "pydantic")


def options_in(text):
    """The options that a help shows, one a line of a panel."""
    return re.findall(r"^│ [* ]*(--[a-z-]+)", text, re.M)


@pytest.mark.parametrize("argv", [["--help"], ["prune", "--help"], ["evaluate", "--help"], ["prune", "--help-all"]])
def test_the_help_imports_nothing_slow(argv):
    script = (
        "import sys; from unseen.cli import main\n"
        f"sys.argv = ['unseen', *{argv!r}]\n"
        "try: main()\n"
        f"except SystemExit: print('SLOW', [m for m in {SLOW!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "SLOW []" or argv == ["prune", "--help-all"], done.stdout[-200:]
    assert "numpy" not in done.stdout.splitlines()[-1]


def test_the_commands_stand_in_the_order_in_which_people_use_them(unseen_says):
    shown = re.findall(r"^│ ([a-z]+) ", unseen_says("--help").out, re.M)
    assert shown == NAMES
    assert shown[:4] == ["prune", "evaluate", "export", "report"]


@pytest.mark.parametrize("name", NAMES)
def test_the_help_shows_fifteen_options_at_most_and_all_where_all_are_asked_for(unseen_says, name):
    brief = unseen_says(name, "--help").out
    assert len(options_in(brief)) <= 15
    assert all(len(line) <= 100 for line in brief.splitlines())
    own = typer.main.get_command(app).commands[name].params
    has = {max(one.opts, key=len) for one in own if "-" in one.opts[0] and not one.hidden}
    if has - set(options_in(brief)):
        assert f"{len(has - set(options_in(brief)))} more options: unseen {name} --help-all" in brief
        said = unseen_says(name, "--help-all")
        assert said.code == 0
        assert set(options_in(said.out)) == has | {"--help"}
        assert "more options" not in said.out
    else:
        assert "--help-all" not in brief


def test_an_option_that_the_help_leaves_out_is_completed():
    prune = typer.main.get_command(app).commands["prune"]
    assert isinstance(prune, Brief)
    with prune.make_context("prune", ["digits", "--out", "x"]) as context:
        prune.get_help(context)
        assert [item.value for item in prune.shell_complete(context, "--over")] == []
        assert [item.value for item in prune.shell_complete(context, "--quo")] == ["--quota"]


def test_completion_is_installed_and_completes(tmp_path):
    place = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    said = subprocess.run(
        [SCRIPT, "--install-completion", "bash"], env=place, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    script = (tmp_path / ".bash_completions" / "unseen.sh").read_text()
    assert "_UNSEEN_COMPLETE=complete_bash" in script
    words = {"_UNSEEN_COMPLETE": "complete_bash", "COMP_WORDS": "unseen ev", "COMP_CWORD": "1"}
    found = subprocess.run([SCRIPT], env={**place, **words}, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["evaluate"]


def test_no_function_of_the_command_line_takes_too_many_parameters():
    """Sixteen for a command, where a bundle counts as one; ten for any other function."""
    from importlib import import_module
    from pkgutil import iter_modules

    import unseen.cli

    checked = 0
    for module in iter_modules(unseen.cli.__path__, "unseen.cli."):
        for name, function in inspect.getmembers(import_module(module.name), inspect.isfunction):
            if function.__module__ == module.name and name != "command":
                assert len(inspect.signature(function).parameters) <= 10 or hasattr(function, "usual"), name
                checked += 1
    assert checked > 50


def test_a_bundle_gives_names_defaults_and_texts_once():
    def plain(running: _options.RunOptions) -> None:
        found.append(running)

    found: list[_options.RunOptions] = []
    command = subcommand("seed")(plain)
    command(seed=3)
    assert found == [_options.RunOptions(seed=3)]
    parameters = inspect.signature(command).parameters
    assert {name: one.default for name, one in parameters.items()} == {**vars(_options.RunOptions()), "help_all": False}
    with pytest.raises(TypeError, match="names options that it does not have: sed"):
        subcommand("sed")(plain)


def test_dir_shows_public_names_only():
    assert set(dir(unseen)) == {*unseen.__all__, "__version__"}


@pytest.mark.parametrize("command", ["report", "export", "prune"])
def test_help_all_is_understood_everywhere(unseen_says, command):
    said = unseen_says(command, "--help-all")
    assert said.code == 0
    assert "Usage: unseen" in said.out


@pytest.mark.parametrize("command", ["prune", "select", "grow"])
def test_the_help_says_what_the_default_rule_is_on_uneven_classes(unseen_says, command):
    text = " ".join(re.sub("[│╭╮╰╯─]", " ", unseen_says(command, "--help").out).split())
    assert "Where classes are uneven, the default has by=rank: strata of equal count." in text
