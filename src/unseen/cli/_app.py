"""The program `unseen`: its subcommands, and what an error or Ctrl-C becomes."""

from __future__ import annotations

import sys

import typer

from unseen.cli import _lists, _prune, _resume, _score, _select
from unseen.cli._show import complain
from unseen.errors import RunError, UnseenError

__all__ = ["app", "main"]

# Exit codes, told in `unseen --help`.
REFUSED, RUN_PROBLEM, INTERRUPTED = 1, 3, 130

app = typer.Typer(
    name="unseen",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Find the part of a labelled data set worth training on: every sample is scored by models that never saw it.",
    epilog=(
        "Exit codes: 0 done; 1 refused (an argument, or the data); 2 wrong usage; 3 the run directory cannot be used; "
        "130 interrupted, and the run can be resumed."
    ),
)
app.command("prune")(_prune.command)
app.command("score")(_score.command)
app.command("select")(_select.command)
app.command("resume")(_resume.command)
app.command("scores")(_lists.scores)
app.command("rules")(_lists.rules)
app.command("learners")(_lists.learners)


def main() -> None:
    """Run the program. Errors that are ours become one message and an exit code; others keep their traceback."""
    try:
        app()
    except RunError as error:
        complain(error)
        sys.exit(RUN_PROBLEM)
    except UnseenError as error:
        complain(error)
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        complain("interrupted; what is finished is kept, and the same command (or `unseen resume RUN`) goes on")
        sys.exit(INTERRUPTED)
