"""The program `unseen`: its subcommands, and what an error, Ctrl-C or SIGTERM becomes."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any, NoReturn

import typer
from rich.text import Text
from typer.core import TyperGroup

import unseen
from unseen.cli import (
    INTERRUPTED,
    TERMINATED,
    Terminated,
    _decide,
    _embed,
    _evaluate,
    _grow,
    _lists,
    _prune,
    _report,
    _resume,
)
from unseen.cli._console import Interrupted, complain, err, out, warn, warned
from unseen.cli._options import Brief
from unseen.errors import RunError, UnseenError

# Exit codes, told in `unseen --help`.
FAILED, RUN_PROBLEM = 1, 3


class _Group(TyperGroup):
    """The subcommands. Ctrl-C passes through; typer would turn it into a silent exit."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options of the program itself, which stand before the subcommand."""
        if not args or args[0].startswith("-"):
            return super().parse_args(ctx, args)
        # There are none. Even so typer would load pydantic to read them, a fifth of a second.
        params, self.params, self.add_help_option = self.params, [], False
        try:
            return super().parse_args(ctx, args)
        finally:
            self.params, self.add_help_option = params, True

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except SystemExit as error:
            raise (find_cause(error, KeyboardInterrupt) or error) from None


app = typer.Typer(
    name="unseen",
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=(
        "Exit codes: 0 done; 1 refused or failed, the message says why; 2 wrong usage; 3 the run directory cannot be "
        "used; 4, 5 of resume --dry-run, see its help; 130 interrupted, "
        "143 terminated (SIGTERM), and the run can be resumed."
    ),
)
# In the order in which people use them.
COMMANDS = {
    "Choose": {"prune": _prune.prune, "evaluate": _evaluate.evaluate, "export": _report.export},
    "Runs": {"report": _report.report, "resume": _resume.resume},
    "In steps": {"embed": _embed.embed, "score": _prune.score, "select": _prune.select, "grow": _grow.grow},
    "Before you decide": {"estimate": _decide.estimate, "advise": _decide.advise, "sweep": _decide.sweep},
    "What there is": {"scores": _lists.scores, "rules": _lists.rules, "learners": _lists.learners},
}
for _panel, _commands in COMMANDS.items():
    for _name, _command in _commands.items():
        app.command(_name, cls=Brief, rich_help_panel=_panel)(_command)


def _version(asked: bool) -> None:
    if asked:
        out.print(f"unseen {unseen.__version__}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Find the part of a labelled data set worth training on: every sample is scored by models that never saw it.

    First example: unseen prune digits --keep 0.7 --out runs/digits
    """


def run() -> None:
    """Run the program. An error that is raised on purpose becomes a message and an exit code; others are shown."""
    warned.clear()
    warnings.showwarning = lambda message, category, filename, lineno, file=None, line=None: warn(message)
    try:
        app(prog_name="unseen")
    except UnseenError as error:
        complain(error)
        sys.exit(RUN_PROBLEM if isinstance(error, RunError) else FAILED)
    except Interrupted as stop:
        end(stop, str(stop))
    except KeyboardInterrupt as stop:
        end(stop, "what is finished is kept: start the same command again")


def end(stop: BaseException, how_to_go_on: str) -> NoReturn:
    """Print whether the program was interrupted or terminated, and exit with the code of that."""
    terminated = find_cause(stop, Terminated) is not None
    err.print(Text(f"{'terminated' if terminated else 'interrupted'}; {how_to_go_on}"))
    sys.exit(TERMINATED if terminated else INTERRUPTED)


def find_cause(error: BaseException | None, kind: type[BaseException]) -> BaseException | None:
    """Return the error of this kind among an error and those that it was raised from; None without one."""
    while error is not None and not isinstance(error, kind):
        error = error.__context__
    return error
