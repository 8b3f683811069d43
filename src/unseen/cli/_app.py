"""The program `unseen`: its subcommands, and what an error or Ctrl-C becomes."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer
from rich.text import Text

import unseen
from unseen.cli import (
    INTERRUPTED,
    _advise,
    _embed,
    _estimate,
    _evaluate,
    _export,
    _grow,
    _lists,
    _prune,
    _report,
    _resume,
    _score,
    _select,
    _sweep,
)
from unseen.cli._progress import Interrupted
from unseen.cli._show import complain, err, out, warn
from unseen.errors import RunError, UnseenError

__all__ = ["app", "run"]

# Exit codes, told in `unseen --help`.
FAILED, RUN_PROBLEM = 1, 3

app = typer.Typer(
    name="unseen",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=(
        "Exit codes: 0 done; 1 refused or failed, the message says why; 2 wrong usage; 3 the run directory cannot be "
        "used; 4, 5 of resume --dry-run, see its help; 130 interrupted, and the run can be resumed."
    ),
)
app.command("prune")(_prune.command)
app.command("grow")(_grow.command)
app.command("score")(_score.command)
app.command("select")(_select.command)
app.command("estimate")(_estimate.command)
app.command("evaluate")(_evaluate.command)
app.command("sweep")(_sweep.command)
app.command("advise")(_advise.command)
app.command("embed")(_embed.command)
app.command("report")(_report.command)
app.command("export")(_export.command)
app.command("resume")(_resume.command)
app.command("scores")(_lists.scores)
app.command("rules")(_lists.rules)
app.command("learners")(_lists.learners)


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
    """Run the program. Errors that are ours become one message and an exit code; others keep their traceback."""
    warnings.showwarning = warn
    try:
        app(prog_name="unseen")
    except RunError as error:
        complain(error)
        sys.exit(RUN_PROBLEM)
    except UnseenError as error:
        complain(error)
        sys.exit(FAILED)
    except Interrupted as stop:
        err.print(Text(str(stop)))
        sys.exit(INTERRUPTED)
