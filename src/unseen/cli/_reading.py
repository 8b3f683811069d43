"""How a data set is read: its options, written once and added to every subcommand that reads one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import typer

from unseen.cli._options import DATA
from unseen.runs.commands import READ_BY

__all__ = ["Reading", "options", "reads_data", "reads_labels"]

Reading = Mapping[str, Any]  # every option below by the name of its parameter; None where it was not given

Label = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Column of the labels; their array, in a .npz file.", rich_help_panel=DATA),
]
Target = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Column of numbers to regress on, in place of labels.", rich_help_panel=DATA),
]
Image = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the images.", rich_help_panel=DATA)]
Text = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the texts.", rich_help_panel=DATA)]
Feature = Annotated[
    list[str] | None,
    typer.Option("--feature", metavar="COLUMN", help="Feature column; repeat for several.", rich_help_panel=DATA),
]
IdColumn = Annotated[
    str | None, typer.Option("--id", metavar="COLUMN", help="Column of the sample ids.", rich_help_panel=DATA)
]
GroupColumn = Annotated[
    str | None,
    typer.Option("--group", metavar="COLUMN", help="Column of groups that stay in one fold.", rich_help_panel=DATA),
]
Split = Annotated[
    str | None, typer.Option(metavar="NAME", help="Rows whose column 'split' has this value.", rich_help_panel=DATA)
]
ImageSize = Annotated[
    int | None,
    typer.Option(metavar="PIXELS", help="Side to which images are resized and cropped.", rich_help_panel=DATA),
]
Mode = Annotated[
    Literal["RGB", "L"] | None,
    typer.Option(help="Images in colour, or grey. [default: RGB]", rich_help_panel=DATA),
]
X = Annotated[
    str | None,
    typer.Option("--x", metavar="NAME", help="The array of inputs, in a .npz file.", rich_help_panel=DATA),
]
OnError = Annotated[
    Literal["raise", "skip"] | None,
    typer.Option(help="An unreadable image: stop, or drop it and say so.", rich_help_panel=DATA),
]

_OF_LABELS: dict[str, Any] = {
    "label": Label,
    "image": Image,
    "text": Text,
    "feature": Feature,
    "id_column": IdColumn,
    "group": GroupColumn,
    "split": Split,
    "image_size": ImageSize,
    "mode": Mode,
    "x": X,
    "on_error": OnError,
}
_OF_ANY: dict[str, Any] = {"label": Label, "target": Target, **_OF_LABELS}
_PARAMETER = "reading"  # of a subcommand, in whose place the options are put

Command = Callable[..., None]


def options(reading: Reading) -> dict[str, Any]:
    """Those that were given, as `unseen.data.resolve` takes them; a form of data refuses what it does not have."""
    return {READ_BY[name]: value for name, value in reading.items() if value is not None}


def reads_data(command: Command) -> Command:
    """The subcommand with the options of reading labels or a target, which it is given as `reading`."""
    return _with(_OF_ANY, command)


def reads_labels(command: Command) -> Command:
    """Likewise for a subcommand that has no use for a target."""
    return _with(_OF_LABELS, command)


def _with(added: Mapping[str, Any], command: Command) -> Command:
    def outer(**given: Any) -> None:
        reading = {name: given.pop(name, None) for name in added}
        command(**given, reading=reading)

    parameters: list[inspect.Parameter] = []
    for own in inspect.signature(command, eval_str=True).parameters.values():
        if own.name == _PARAMETER:
            parameters += [inspect.Parameter(n, own.kind, default=None, annotation=of) for n, of in added.items()]
        else:
            parameters.append(own)
    # What typer reads: the signature, the annotations and the docstring.
    outer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    outer.__annotations__ = {one.name: one.annotation for one in parameters}
    outer.__name__, outer.__doc__ = command.__name__, command.__doc__
    return outer
