"""How the program looks: results on stdout; what will be done, progress and errors on stderr."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import typer
from rich.console import Console
from rich.text import Text

import unseen
from unseen.cli import _options as o
from unseen.core.machine import environment
from unseen.core.words import duration, many, size
from unseen.errors import UnseenError

if TYPE_CHECKING:
    from rich.progress import Progress

    from unseen.core.exposure import Plan
    from unseen.core.protocols import Data
    from unseen.integrations.tracking import Tracker

MOST_COLUMNS = 1000

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def complain(error: object) -> None:
    """Print an error in one paragraph, with the notes that were added to it on the way."""
    err.print(Text.assemble(("error: ", "bold red"), name_options(str(error))))
    for note in getattr(error, "__notes__", ()):
        if "\n" not in note:  # a worker's traceback is for its developers
            err.print(Text(f"  {name_options(note)}"))


warned: set[str] = set()  # what `warn` has printed since `run` of `_app` began


def warn(message: Warning | str) -> None:
    """Print a warning in one line, once in a program."""
    text = name_options(" ".join(str(message).split()))
    if text not in warned:  # a command may open its data twice, as for the page
        warned.add(text)
        err.print(Text.assemble(("warning: ", "yellow"), text))


def print_json(result: dict[str, Any]) -> None:
    """Write one JSON object to stdout, with null for NaN and infinite numbers."""
    from unseen.evaluating.statistics import without_nan

    sys.stdout.write(json.dumps(without_nan(result), indent=2, allow_nan=False) + "\n")


def print_lines(lines: list[tuple[str, str]], console: Console = out, *, beside: Iterable[str] = ()) -> None:
    """Print lines of a word and a text, with the texts aligned; `beside` are words of other lines to align with."""
    width = max(map(len, [*(word for word, _ in lines), *beside])) + 2
    for word, text in lines:
        said = name_options(text) if word == "note" else text
        console.print(Text.assemble((word.ljust(width), "bold"), escape_controls(said)))


def escape_controls(text: str) -> str:
    r"""Escape control characters, which names in the user's data may hold.

    >>> print(escape_controls("cat\x1b[31m"))
    cat\x1b[31m
    """
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Print a table of short texts, numbers to the right."""
    from rich.measure import Measurement
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i, column in enumerate(columns):
        numbers = all(_is_number(row[i]) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(escape_controls(text)) for text in row))
    # Figures are never cut off: where the terminal is too narrow, it wraps the lines.
    whole = Measurement.get(out, out.options.update(max_width=MOST_COLUMNS), table).maximum
    table.width = whole if whole > out.width else None
    out.print(table, crop=False)


def print_list(columns: list[str], rows: list[tuple[list[str], list[str]]]) -> None:
    """Print a list: short texts in columns, longer ones under each other in the last column."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0), header_style="bold")
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    for short, long in rows:
        head, *tail = [line for line in long if line]
        text = Text.assemble(head, *((f"\n{line}", "dim") for line in tail))
        table.add_row(*map(Text, short), text)
    out.print(table)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


MOST_LINES = 100  # where there is no terminal; a plan of a thousand epochs gets a line every ten


class Interrupted(Exception):  # noqa: N818 - it is no error
    """Ctrl-C or SIGTERM; the message says how to go on."""


class WorkAhead(Exception):  # noqa: N818 - it is no error
    """The end of a dry run, where work would begin; it holds the report that announces the work."""

    def __init__(self, kind: str, about: dict[str, Any]) -> None:
        super().__init__(kind)
        self.kind, self.about = kind, about


DECLINED = 1  # the exit code

ASK = 600.0  # seconds of work from which on the program asks before it begins
# Measuring takes up to half a minute, so only work that may be long is measured: by the values of all samples.
MANY_VALUES, MANY_TRAININGS = 20_000_000, 10
ASKING = ("time", "takes")  # the words of its lines


class Reporter:
    """Shows progress: a bar with the time left on a terminal, plain lines otherwise, nothing if quiet.

    When the work begins, the subcommand and its parameters, `given` or `resolved` from the data, are written to the
    run, for `unseen resume`. A dry run shows nothing and raises `WorkAhead` instead. Unless `ask` is false, the program
    measures one training where the work may be long, and asks whether to begin if it will take longer than ten minutes.
    `above` is the folder of several runs, of which this is one, and the command that makes all of them.
    """

    def __init__(
        self,
        command: str,
        given: dict[str, Any],
        data: Data,
        *,
        ask: bool = True,
        run: Path | None = None,
        above: tuple[Path, dict[str, Any]] | None = None,
        **resolved: Any,
    ) -> None:
        from unseen.engine.runs.commands import command_of
        from unseen.engine.runs.directory import ReadOnlyRun

        place = given["out_dir"] if run is None else run
        self.quiet, self.run = given["showing"].silent, Path(place)
        self._dry = isinstance(place, ReadOnlyRun)
        self.command = command_of(command, given, **resolved)
        running: o.RunOptions = given["running"]
        self._asks = ask and not running.yes and running.executor == "local" and err.is_terminal and sys.stdin.isatty()
        self._data, self._place, self._running = data, place, running
        self._learner = resolved["learner"]
        self._trained = given.get("trainee") or self._learner
        self._above = above
        self._budget: str | None = None
        self._bar: Progress | None = None
        self._task: Any = None
        self._work = EpochCount(0, 0)
        self._begun = False
        self._log: Tracker | None = None
        if not self._dry and (wanted := self.command["options"].get("log")) is not None:
            from unseen.integrations.tracking import tracker_of

            self._log = tracker_of(wanted)

    def shared(self, plan: Plan | None = None) -> dict[str, Any]:
        """Return what every verb is given: the learner, the directory, this reporter, and where the work runs."""
        where = self._running.arguments(self._data, self._learner, plan)
        return {"learner": self._learner, "out": self._place, "report": self, **where}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._log is not None:
            self._log.close()
        if isinstance(error, KeyboardInterrupt) and self._begun:
            run = self.run if self._above is None else self._above[0]
            raise Interrupted(
                f"what is finished is kept: go on by `unseen resume {quote(str(run))}` or the same command"
            ) from None

    def __call__(self, kind: str, **fields: Any) -> None:
        """Take one report."""
        if self._dry:
            if kind in ("plan", "work"):
                raise WorkAhead(kind, fields)
            return
        handle = getattr(self, f"_on_{kind}", None)
        if handle is not None:
            handle(**fields)
        if self._log is not None:
            with without_font_cache():  # the log has the page, too
                self._log(kind, **fields)

    def _on_budget(self, *, text: str) -> None:
        self._budget = text

    def _on_plan(self, **plan: Any) -> None:
        """Announce a scoring."""
        held = min(len(list(self.run.glob("fits/*/result.npz"))), plan["fits"])
        lines = [] if self.quiet else describe_plan(plan, self.command["options"], self._budget, held)
        fits, epochs = plan["fits"], plan["epochs"]
        self._on_work(lines=lines, epochs=fits * epochs, held=held * epochs, trainings=fits - held)

    def _on_work(
        self, *, lines: list[tuple[str, str]], epochs: int, held: int = 0, trainings: int = MANY_TRAININGS
    ) -> None:
        """Announce work of any kind: its description, all its epochs, those that are done, and its trainings."""
        from unseen.engine.runs.commands import keep_command

        if not self.quiet:
            print_lines(lines, err, beside=ASKING if self._asks else ())
            self._ask(epochs - held, trainings, [word for word, _ in lines])
        keep_command(self.run, self.command)
        if self._above is not None:
            keep_command(*self._above)
        self._begun = True
        if self.quiet:
            return
        self._work = EpochCount(epochs, held)
        if self._bar is not None:  # one piece of work may follow another
            self._bar.stop()
        if err.is_terminal:
            self._bar = _bar(self._work)
            self._bar.start()
            self._task = self._bar.add_task("", total=self._work.total, completed=int(self._work.done))

    def _ask(self, epochs: int, trainings: int, announced: list[str]) -> None:
        """Measure one training where the work may be long, and ask whether to begin where it is.

        `announced` are the words before the lines that described the work.
        """
        asks, self._asks = self._asks, False  # once
        data, learner = self._data, self._trained
        if not asks or epochs <= 0:
            return
        if len(data) * math.prod(data.sample_shape) < MANY_VALUES and trainings < MANY_TRAININGS:
            return
        from unseen.core.plans import seen

        tell = partial(print_lines, console=err, beside=[*announced, *ASKING])
        tell([("time", "one training is measured first ...")])
        given = self._running.arguments(
            data, learner, seen() if trainings == 1 else None
        )  # one fit alone has all cores
        jobs, threads = given["jobs"], given["threads"]
        try:
            found = unseen.estimate(data, plan="seen", learner=learner, jobs=jobs, threads=threads, groups=None)
        except UnseenError:  # some work can be done, but not measured here
            return
        seconds = epochs / found.epochs * found.full_seconds.middle / (jobs or 1)
        if seconds < ASK:
            return
        number = many(-(-epochs // found.epochs), "training")
        tell([("takes", f"up to {number}, about {duration(seconds)} in all on this machine")])
        if not typer.confirm("Begin? (--yes begins without asking)", err=True):
            err.print(Text("nothing was trained"))
            raise typer.Exit(DECLINED)

    def _on_say(self, *, text: str, warning: bool = False) -> None:
        """Print an intermediate result, such as the size after a step; or a warning, which `--quiet` does not hide."""
        if warning:
            warn(text)
        elif not self.quiet:
            err.print(Text(text))

    def _on_epoch(self, *, fit: str, epoch: int, epochs: int, **more: Any) -> None:
        loss = f", loss {more['loss']:.3f}" if more.get("loss") is not None else ""
        at = f"epoch {epoch} of {epochs}{loss}" if epochs > 1 else "trained"
        self._advance(fit, epoch, f"fit {fit}: {at}", tell=epochs > 1)

    def _on_part(self, *, fit: str, part: float) -> None:
        """Count a share of a fit without epochs, such as the passes of a closed form."""
        before = self._work.of(fit)
        self._advance(fit, part, f"fit {fit}: {part:.0%}", tell=int(10 * part) > int(10 * before))

    def _on_retry(self, *, fit: str, retry: int, of: int, cause: str) -> None:
        """Tell that a worker died, and that its fit begins again."""
        self._on_say(text=f"fit {fit}: its worker died, retry {retry} of {of} ({cause})")

    def _on_fit_done(
        self, *, fit: str, epochs: int, done: int | None = None, fits: int | None = None, **more: Any
    ) -> None:
        of = f", {done} of {fits}" if fits else ""
        self._advance(fit, epochs, f"fit {fit}: done{of}", tell=True)

    def _advance(self, fit: str, epoch: float, text: str, *, tell: bool) -> None:
        if self.quiet:
            return
        before = self._work.done
        self._work.reached(fit, epoch)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._work.done, description=text)
        elif tell and self._work.worth_a_line(before):
            left = self._work.left()
            err.print(Text(text + (f", about {duration(left)} left" if left else "")))


class EpochCount:
    """A count of epochs: all, those that were done before, and the speed of the others."""

    def __init__(self, total: int, held: int) -> None:
        self.total = total
        self._held = held
        self._epochs: dict[str, float] = {}
        self._reports = 0
        self._gained = 0.0
        self._started = time.monotonic()

    @property
    def done(self) -> float:
        """Epochs that are done."""
        return self._held + sum(self._epochs.values())

    def of(self, fit: str) -> float:
        """Return the epochs of one fit that are done."""
        return self._epochs.get(fit, 0)

    def reached(self, fit: str, epoch: float) -> None:
        """Count the progress of a fit. What it did before a kill does not count for the speed."""
        more = max(0, epoch - self.of(fit))
        self._reports += more > 0
        self._gained += min(1, more)
        self._epochs[fit] = self.of(fit) + more

    def left(self) -> float | None:
        """Return the seconds left; None before the first epoch and after the last."""
        remaining = self.total - self.done
        if not self._gained or remaining <= 0:
            return None
        return (time.monotonic() - self._started) / self._gained * remaining

    def worth_a_line(self, before: float) -> bool:
        """Return whether to print this report: the first, the last, and about a hundred of those between."""
        step = -(-self.total // MOST_LINES)
        return self._reports <= 1 or self.done >= self.total or step == 1 or self.done // step > before // step


def _bar(work: EpochCount) -> Progress:
    """Return a progress bar, with the time left by the mean speed so far."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
    )

    class Left(ProgressColumn):
        def render(self, task: Task) -> Text:
            left = work.left()
            return Text("" if left is None else f"about {duration(left)} left", style="cyan")

    return Progress(
        TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("epochs,"), TimeElapsedColumn(),
        Left(), TextColumn("{task.description}"), console=err,
    )  # fmt: skip


def describe_plan(
    plan: dict[str, Any], options: dict[str, Any], budget: str | None, held: int = 0
) -> list[tuple[str, str]]:
    """Describe what a scoring will do and what it takes."""
    about = dict(plan["plan"])
    name = about.pop("plan")
    details = ", ".join(f"{key}={value}" for key, value in about.items() if value is not False)
    epochs = f" of {plan['epochs']} epochs" if plan["epochs"] > 1 else ""
    holding = f"about {size(plan['data_bytes'])} for the data" if plan["data_bytes"] else "the data stays in its files"
    working = f"{size(plan['learner_bytes'])} to work, " if plan["learner_bytes"] else ""
    classes = many(plan["classes"], "bin") if plan["target"] else many(plan["classes"], "class", "classes")
    lines = [
        ("data", f"{plan['n']:,} samples, {'a target in ' if plan['target'] else ''}{classes}"),
        ("plan", f"{name}{f' ({details})' if details else ''}: {many(plan['fits'], 'training')}{epochs} "
         f"by {options['learner']}, {many(plan['threads'], 'thread')} each"),
        ("scores", ", ".join(plan["scores"])),
        ("memory", f"{holding}, {working}{size(plan['state_bytes'])} for the scores"),
        ("time", "known after the first epoch" if plan["epochs"] > 1
         else "known after the first training"),
    ]  # fmt: skip
    if budget is not None:
        lines.insert(1, ("budget", budget))
    if plan["groups"]:
        one, more = ("set", "sets") if plan["copies_alone"] else ("group or set", "groups or sets")
        lines.insert(1, ("groups", f"{many(plan['groups'], one, more)} of exact copies; each stays in one fold"))
    if held:
        lines[-1] = ("done", f"{held} of {many(plan['fits'], 'training')} finished earlier in this run")
    return lines + [("note", note) for note in plan["notes"]]


@contextmanager
def without_font_cache() -> Iterator[None]:
    """Load matplotlib without its list of fonts, which it would write to HOME after a call of `fc-list`.

    Only in this program. Elsewhere it is the user's own, with its settings.
    """
    if "matplotlib" not in sys.modules:
        with (
            suppress(ImportError, OSError),
            TemporaryDirectory(prefix="unseen-") as folder,
            environment(dict.fromkeys(("MPLCONFIGDIR", "PATH"), folder)),
        ):
            import matplotlib.font_manager  # noqa: F401
    yield


def print_result(
    run: Path, summary: dict[str, Any], describe: Callable[[], list[tuple[str, str]]], *, json: bool, no_report: bool
) -> None:
    """Write the page of a run, and print the result: the summary as JSON, or the lines that describe it."""
    page = None if no_report else write_page(run)
    report = {} if page is None else {"report": str(page)}
    if json:
        print_json(summary | report)
    else:
        print_lines([*describe(), *report.items()])


def write_page(run: Path) -> Path | None:
    """Write the report at the end of a subcommand; a failure is only a warning, since the run is finished by then."""
    try:
        with without_font_cache():
            return unseen.report(run)
    except KeyboardInterrupt:
        raise Interrupted(f"the run is finished, and `unseen report {quote(str(run))}` writes its report") from None
    except Exception as error:
        # Printed directly: a filter of warnings could make an error of it.
        warn(
            f"the run is finished, but its report could not be written: {error}; "
            f"`unseen report {quote(str(run))}` tries again"
        )
        return None


# Arguments whose option has the same name. Not `features`, which is --feature of the data and --features of rules.
_ARGUMENTS = (
    "label|target|image|text|id|group|split|image_size|mode|x|on_error|keep|prune|quota|align|learner|fix|test|out|"
    "executor|jobs|threads|to|overlap|by"
)
# A name alone (`label=`), or with a text or number (`label='y'`). It is no part of a spec, and is not followed by its
# option, or by the function that has it.
_NAMED = re.compile(rf"(?<![^\s(])({_ARGUMENTS})=(?! \((?:--|see unseen))(?:(?=(['\"\d]))|(?=[\s,;:)]|$))")


def name_options(message: str) -> str:
    """Name options as they are typed, where a message names arguments of the library.

    >>> name_options("label= must name the column of labels, as in label='income'")
    "--label must name the column of labels, as in --label 'income'"
    >>> name_options("5 test samples are copies; overlap='drop' leaves them out")
    "5 test samples are copies; --overlap 'drop' leaves them out"
    >>> name_options("quick=True tests on a probe split: leave test out")
    '--quick tests on a probe split: leave test out'
    """
    message = re.sub(r"\bquick=True", "--quick", message)
    return _NAMED.sub(lambda found: f"--{found[1].replace('_', '-')}{' ' if found[2] else ''}", message)
