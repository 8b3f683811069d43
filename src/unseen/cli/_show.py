"""What the program prints: progress on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from unseen.atomic import replace_file

__all__ = ["Reporter", "complain", "grid", "out", "print_json"]

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def complain(error: object) -> None:
    """An error in one paragraph, with the notes that were added to it on the way."""
    err.print("[bold red]error:[/bold red]", end=" ")
    err.print(str(error), markup=False)
    for note in getattr(error, "__notes__", ()):
        err.print(f"  {note}", markup=False)


def print_json(result: dict[str, Any]) -> None:
    """One JSON object on stdout."""
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def grid(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table of text."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    out.print(table)


class Reporter:
    """Shows how the work goes: a bar with the time left on a terminal, a line an epoch otherwise, nothing if quiet.

    Args:
        quiet: show nothing.
        run: the directory in which the work is kept; the command is written there when the work begins.
        command: the subcommand and its options, for `unseen resume`.
    """

    def __init__(self, *, quiet: bool, run: Path, command: dict[str, Any]) -> None:
        self.quiet = quiet
        self.run = run
        self.command = command
        self._bar: Progress | None = None
        self._task: Any = None
        self._epochs = 1
        self._total = 0
        self._done: dict[str, int] = {}
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, kind: str, **fields: Any) -> None:
        """Take one report."""
        handle = getattr(self, f"_on_{kind}", None)
        if handle is not None:
            handle(**fields)

    def _on_plan(self, **plan: Any) -> None:
        text = json.dumps(self.command, indent=2) + "\n"
        replace_file(self.run / "command.json", lambda file: file.write(text.encode()))
        self._epochs, self._total = plan["epochs"], plan["fits"] * plan["epochs"]
        if self.quiet:
            return
        for line in _outlook(plan):
            err.print(line, markup=False)
        if err.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                TextColumn("left"), TimeRemainingColumn(), console=err,
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task("training", total=self._total)

    def _on_epoch(self, *, fit: str, epoch: int, epochs: int, **more: Any) -> None:
        if self.quiet:
            return
        self._advance(fit, epoch)
        if self._bar is None and epochs > 1:
            loss = f", loss {more['loss']:.3f}" if more.get("loss") is not None else ""
            err.print(f"fit {fit}: epoch {epoch} of {epochs}{loss}{self._left()}", markup=False)

    def _on_fit_done(self, *, fit: str, done: int, fits: int, **more: Any) -> None:
        if self.quiet:
            return
        # Fits that the run already held count from the first one that is reported.
        self._done.update({f"held {i}": self._epochs for i in range(done - len(self._done))})
        self._advance(fit, self._epochs)
        if self._bar is None:
            err.print(f"fit {fit}: done, {done} of {fits}{self._left()}", markup=False)

    def _advance(self, fit: str, epoch: int) -> None:
        self._done[fit] = epoch
        if self._bar is not None:
            self._bar.update(self._task, completed=sum(self._done.values()))

    def _left(self) -> str:
        own = sum(v for name, v in self._done.items() if not name.startswith("held"))
        remaining = self._total - sum(self._done.values())
        if not own or not remaining:
            return ""
        return f", about {_duration((time.monotonic() - self._started) / own * remaining)} left"


def _outlook(plan: dict[str, Any]) -> list[str]:
    trainings = plan["fits"]
    name = plan["plan"]["plan"]
    lines = [
        f"{plan['n']:,} samples, {plan['classes']} classes; scores {', '.join(plan['scores'])}",
        f"plan {name}: {trainings:,} training{'s' if trainings > 1 else ''} of {plan['epochs']} "
        f"epoch{'s' if plan['epochs'] > 1 else ''} by {plan['learner']}, {plan['threads']} threads each",
        f"memory: about {_size(plan['data_bytes'])} of data and {_size(plan['state_bytes'])} of scores; "
        "the time left is told after the first epoch",
    ]
    if plan["groups"]:
        lines.append(f"{plan['groups']:,} groups of copies (or of your own) stay together in one fold")
    return lines + [f"note: {note}" for note in plan["notes"]]


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable: the last unit returns")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
