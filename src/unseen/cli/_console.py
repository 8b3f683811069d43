"""How the program looks: results on stdout, progress and errors on stderr.

Says what is going to be done, how far it is, and how long it will take.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from unseen.engine.runs.commands import keep_command
from unseen.engine.runs.readonly import Looking
from unseen.evaluating.prices import duration

if TYPE_CHECKING:
    from unseen.integrations.tracking import Tracker

__all__ = [
    "Interrupted",
    "Outlook",
    "Reporter",
    "aligned",
    "complain",
    "err",
    "grid",
    "out",
    "percent",
    "print_json",
    "stacked",
    "warn",
]


MOST_COLUMNS = 1000

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def complain(error: object) -> None:
    """An error in one paragraph, with the notes that were added to it on the way."""
    err.print(Text.assemble(("error: ", "bold red"), str(error)))
    for note in getattr(error, "__notes__", ()):
        if "\n" not in note:  # a worker's traceback is for its developers
            err.print(Text(f"  {note}"))


def warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning in one line; takes the place of `warnings.showwarning`."""
    err.print(Text.assemble(("warning: ", "yellow"), " ".join(str(message).split())))


def print_json(result: dict[str, Any]) -> None:
    """One JSON object on stdout; what is no finite number is null, since JSON has no NaN."""
    sys.stdout.write(json.dumps(_finite(result), indent=2, allow_nan=False) + "\n")


def aligned(lines: list[tuple[str, str]], console: Console = out) -> None:
    """Lines of a word and what there is to say of it, one under the other."""
    width = max(len(word) for word, _ in lines) + 2
    for word, text in lines:
        console.print(Text.assemble((word.ljust(width), "bold"), text))


def grid(columns: list[str], rows: list[list[str]]) -> None:
    """A table of short texts, numbers to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i, column in enumerate(columns):
        numbers = all(_is_number(row[i]) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    # Figures are never cut off: where the terminal is too narrow, it wraps the lines.
    whole = Measurement.get(out, out.options.update(max_width=MOST_COLUMNS), table).maximum
    table.width = whole if whole > out.width else None
    out.print(table, crop=False)


def stacked(columns: list[str], rows: list[tuple[list[str], list[str]]]) -> None:
    """A list of things: short texts in columns, longer ones under each other in the last column."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0), header_style="bold")
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    for short, long in rows:
        head, *tail = [line for line in long if line]
        text = Text.assemble(head, *((f"\n{line}", "dim") for line in tail))
        table.add_row(*map(Text, short), text)
    out.print(table)


def percent(share: float) -> str:
    """`0.913` is `"91.3 %"`."""
    return f"{100 * share:.1f} %"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


MOST_LINES = 100  # where there is no terminal; a plan of a thousand epochs gets a line every ten


class Interrupted(Exception):  # noqa: N818 - it is no error
    """Ctrl-C or SIGTERM; the message says how to go on."""


class Outlook(Exception):  # noqa: N818 - it is no error
    """Work would begin, in a run that is only looked at: the report that says so."""

    def __init__(self, kind: str, about: dict[str, Any]) -> None:
        super().__init__(kind)
        self.kind, self.about = kind, about


class Reporter:
    """Shows how the work goes: a bar with the time left on a terminal, plain lines otherwise, nothing if quiet.

    Args:
        quiet: show nothing.
        run: the directory in which the work is kept; the command is written there when the work begins. Where it is
            only looked at, nothing is shown, and the work ends (`Outlook`) where it would begin.
        command: the subcommand and its options, for `unseen resume`; its option `log` names where all is logged.
    """

    def __init__(self, *, quiet: bool, run: Path | Looking, command: dict[str, Any]) -> None:
        self.quiet = quiet
        self.run = Path(run)
        self._looking = isinstance(run, Looking)
        self.command = command
        self._log = None if self._looking or command["options"].get("log") is None else _log(command["options"]["log"])
        self._budget: str | None = None
        self._bar: Progress | None = None
        self._task: Any = None
        self._work = Work(0, 0)
        self._begun = False

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
            raise Interrupted(
                f"what is finished is kept, `unseen resume {self.run}` or the same command goes on"
            ) from None

    def __call__(self, kind: str, **fields: Any) -> None:
        """Take one report."""
        if self._looking:
            if kind in ("plan", "work"):
                raise Outlook(kind, fields)
            return
        handle = getattr(self, f"_on_{kind}", None)
        if handle is not None:
            handle(**fields)
        if self._log is not None:
            from unseen.cli._report import drawing

            with drawing():  # the log has the page, too
                self._log(kind, **fields)

    def _on_budget(self, *, text: str) -> None:
        self._budget = text

    def _on_plan(self, **plan: Any) -> None:
        """A scoring is about to begin."""
        held = min(len(list(self.run.glob("fits/*/result.npz"))), plan["fits"])
        lines = outlook(plan, self.command["options"], self._budget, held)
        self._on_work(lines=lines, epochs=plan["fits"] * plan["epochs"], held=held * plan["epochs"])

    def _on_work(self, *, lines: list[tuple[str, str]], epochs: int, held: int = 0) -> None:
        """Work of any kind is about to begin: what it is in words, its epochs in all, those already done."""
        keep_command(self.run, self.command)
        self._begun = True
        self._work = Work(epochs, held)
        if self._bar is not None:  # one piece of work may follow another
            self._bar.stop()
        if self.quiet:
            return
        aligned(lines, err)
        if err.is_terminal:
            self._bar = Progress(
                TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("epochs,"), TimeElapsedColumn(),
                _Left(self._work), TextColumn("{task.description}"), console=err,
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task("", total=self._work.total, completed=int(self._work.done))

    def _on_say(self, *, text: str) -> None:
        """A result on the way, such as the quality at a step."""
        if not self.quiet:
            err.print(Text(text))

    def _on_epoch(self, *, fit: str, epoch: int, epochs: int, **more: Any) -> None:
        loss = f", loss {more['loss']:.3f}" if more.get("loss") is not None else ""
        at = f"epoch {epoch} of {epochs}{loss}" if epochs > 1 else "trained"
        self._advance(fit, epoch, f"fit {fit}: {at}", tell=epochs > 1)

    def _on_part(self, *, fit: str, part: float) -> None:
        """A share of a fit without epochs, such as the passes of a closed form."""
        before = self._work.of(fit)
        self._advance(fit, part, f"fit {fit}: {part:.0%}", tell=int(10 * part) > int(10 * before))

    def _on_retry(self, *, fit: str, retry: int, of: int, cause: str) -> None:
        """A worker died, and its fit is begun again."""
        self._on_say(text=f"fit {fit}: its worker died, retry {retry} of {of} ({cause})")

    def _on_fit_done(
        self, *, fit: str, epochs: int, done: int | None = None, fits: int | None = None, **more: Any
    ) -> None:
        of = f", {done} of {fits}" if fits else ""
        self._advance(fit, epochs, f"fit {fit}: done{of}", tell=True)

    def _advance(self, fit: str, epoch: float, text: str, *, tell: bool) -> None:
        before = self._work.done
        self._work.reached(fit, epoch)
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.update(self._task, completed=self._work.done, description=text)
        elif tell and self._work.worth_a_line(before):
            left = self._work.left()
            err.print(Text(text + (f", about {duration(left)} left" if left else "")))


def _log(text: str) -> Tracker:
    """Open the log that `--log` names."""
    from unseen.integrations.tracking import tracker_of

    return tracker_of(text)


class Work:
    """Epochs in all, those that were done before, and how fast the others go.

    >>> work = Work(6, 2)
    >>> work.reached("r0f1", 2)
    >>> work.done
    4
    """

    def __init__(self, total: int, held: int) -> None:
        self.total = total
        self._held = held
        self._epochs: dict[str, float] = {}
        self._reports = 0
        self._gained = 0.0
        self._started = time.monotonic()

    @property
    def done(self) -> float:
        """Epochs behind us."""
        return self._held + sum(self._epochs.values())

    def of(self, fit: str) -> float:
        """Epochs of one fit that are behind us."""
        return self._epochs.get(fit, 0)

    def reached(self, fit: str, epoch: float) -> None:
        """A fit has come so far. What it had done before a kill counts as done, but not towards the speed."""
        more = max(0, epoch - self.of(fit))
        self._reports += more > 0
        self._gained += min(1, more)
        self._epochs[fit] = self.of(fit) + more

    def left(self) -> float | None:
        """Seconds to go; None before the first epoch and after the last."""
        remaining = self.total - self.done
        if not self._gained or remaining <= 0:
            return None
        return (time.monotonic() - self._started) / self._gained * remaining

    def worth_a_line(self, before: float) -> bool:
        """The first and the last report, and about a hundred of those between."""
        step = -(-self.total // MOST_LINES)
        return self._reports <= 1 or self.done >= self.total or step == 1 or self.done // step > before // step


class _Left(ProgressColumn):
    """The time left, by the mean speed so far."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work

    def render(self, task: Task) -> Text:
        left = self._work.left()
        return Text("" if left is None else f"about {duration(left)} left", style="cyan")


def outlook(plan: dict[str, Any], options: dict[str, Any], budget: str | None, held: int = 0) -> list[tuple[str, str]]:
    """What is going to be done and what it takes, in words."""
    about = dict(plan["plan"])
    name = about.pop("plan")
    details = ", ".join(f"{key}={value}" for key, value in about.items() if value is not False)
    epochs = f" of {plan['epochs']} epochs" if plan["epochs"] > 1 else ""
    holding = f"about {size(plan['data_bytes'])} for the data" if plan["data_bytes"] else "the data stays in its files"
    working = f"{size(plan['learner_bytes'])} to work, " if plan["learner_bytes"] else ""
    classes = _many(plan["classes"], "bin") if plan["target"] else _many(plan["classes"], "class", "classes")
    lines = [
        ("data", f"{plan['n']:,} samples, {'a target in ' if plan['target'] else ''}{classes}"),
        ("plan", f"{name}{f' ({details})' if details else ''}: {_many(plan['fits'], 'training')}{epochs} "
         f"by {options['learner']}, {_many(plan['threads'], 'thread')} each"),
        ("scores", ", ".join(plan["scores"])),
        ("memory", f"{holding}, {working}{size(plan['state_bytes'])} for the scores"),
        ("time", "the time left is told after the first epoch" if plan["epochs"] > 1
         else "the time left is told after the first training"),
    ]  # fmt: skip
    if budget is not None:
        lines.insert(1, ("budget", budget))
    if plan["groups"]:
        lines.insert(1, ("groups", f"{plan['groups']:,} of copies, or of your own, each kept in one fold"))
    if held:
        lines[-1] = ("done", f"{held} of {_many(plan['fits'], 'training')} before, kept in this run")
    return lines + [("note", note) for note in plan["notes"]]


def size(count: float) -> str:
    """Bytes in words.

    >>> size(3 * 2**20)
    '3.0 MiB'
    """
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _many(count: int, one: str, more: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"
