"""From a function with bundles of options to a subcommand, whose help comes in two lengths.

`--help` shows the options that most people need, `--help-all` shows every option.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand
from typer.models import OptionInfo

Command = Callable[..., None]

_ALL = "--help-all"


def subcommand(usual: str) -> Callable[[Command], Command]:
    """Make a subcommand of a function: put the fields of its bundles on the command line, and build them when called.

    Args:
        usual: the options that `--help` shows, by the names of their parameters, separated by spaces.
    """

    def decorate(command: Command) -> Command:
        parameters, bundles = _unfold(command)
        shown = set(usual.split())
        described = {one.name: getattr(one.annotation, "__metadata__", ()) for one in parameters}
        options = {name for name, extras in described.items() if any(isinstance(one, OptionInfo) for one in extras)}
        if unknown := shown - options:
            raise TypeError(f"{command.__module__} shows options that it does not have: {', '.join(sorted(unknown))}")
        if options - shown:
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(inspect.Parameter("help_all", kind, default=False, annotation=_HelpAll))

        def outer(**given: Any) -> None:
            given.pop("help_all", None)
            for name, bundle in bundles.items():
                given[name] = bundle(**{one.name: given.pop(one.name) for one in fields(bundle) if one.name in given})
            command(**given)

        # What typer reads: the signature, the annotations and the docstring.
        outer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        outer.__annotations__ = {one.name: one.annotation for one in parameters}
        outer.__name__, outer.__module__, outer.__doc__ = command.__name__, command.__module__, _reflow(command.__doc__)
        outer.usual = shown | {"help_all"}  # type: ignore[attr-defined]
        return outer

    return decorate


def _unfold(command: Command) -> tuple[list[inspect.Parameter], dict[str, Any]]:
    """Return the parameters with the fields of bundles in place of the bundles, and the bundles by parameter."""
    parameters: list[inspect.Parameter] = []
    bundles: dict[str, Any] = {}
    kind = inspect.Parameter.KEYWORD_ONLY
    for own in inspect.signature(command, eval_str=True).parameters.values():
        bundle = own.annotation
        if not is_dataclass(bundle):
            parameters.append(own.replace(kind=kind))
            continue
        bundles[own.name] = bundle
        hints = get_type_hints(bundle, include_extras=True)
        for each in fields(bundle):
            default = each.default_factory() if each.default_factory is not MISSING else each.default
            parameters.append(inspect.Parameter(each.name, kind, default=default, annotation=hints[each.name]))
    return parameters, bundles


def _reflow(text: str | None) -> str:
    """Join the lines of each paragraph but those of the examples: the terminal breaks them where it ends."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(each if each.startswith("Examples:") else " ".join(each.split()) for each in paragraphs)


def _show_all(ctx: typer.Context, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        ctx.meta[_ALL] = True
        typer.echo(ctx.get_help(), nl=False)
        raise typer.Exit


_HelpAll = Annotated[
    bool, typer.Option(_ALL, is_eager=True, expose_value=False, callback=_show_all, help="Show all options and exit.")
]


class Brief(TyperCommand):
    """A subcommand whose `--help` shows the usual options only."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, without the other options unless all are asked for."""
        usual = getattr(self.callback, "usual", ())
        options: list[Any] = [one for one in self.params if one.param_type_name == "option" and one.name not in usual]
        hidden = [] if ctx.meta.get(_ALL) else options
        if hidden:
            self.epilog = f"{len(hidden)} more options: {ctx.command_path} {_ALL}"
        for option in hidden:
            option.hidden = True
        try:
            super().format_help(ctx, formatter)
        finally:  # hidden options would not be completed
            self.epilog = None
            for option in hidden:
                option.hidden = False
