"""What the commands share: the global options, which work before and after a command, and the way to the daemon."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from opstore_cli.console.session import Session
from opstore_cli.output.escaping import in_json

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


P = ParamSpec("P")
T = TypeVar("T")

HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


# --- the global options ---------------------------------------------------------------------------------------------


class GlobalOption(click.Option):
    """An option that may stand before the command and after it. No function sees it: it goes into the session."""

    def __init__(self, *names: str, **attributes: Any) -> None:
        # Eager: what fails in reading a later parameter is to be said in the form that was asked for.
        super().__init__(list(names), expose_value=False, is_eager=True, callback=_keep, **attributes)


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    # Called in both places, also where the option was not given; given twice, the later one counts.
    session = ctx.find_object(Session)
    if value and session is not None and param.name is not None:
        setattr(session if param.name == "url" else session.out, param.name, value)


def global_options() -> list[click.Parameter]:
    """New ones for each command: click keeps what belongs to a command in its parameters."""
    return [
        GlobalOption("--url", metavar="URL", help="The daemon to talk to."),
        GlobalOption("--json", is_flag=True, help="One JSON document on standard output; errors as JSON too."),
        GlobalOption("-q", "--quiet", is_flag=True, help="Identifiers only, one a line."),
        GlobalOption("-v", "--verbose", is_flag=True, help="Say more where something fails."),
        GlobalOption("--no-color", is_flag=True, help="No colour, also on a terminal."),
    ]


class Text(click.types.StringParamType):
    """Text that JSON can hold: bytes of the command line that are not UTF-8 are refused. Paths are no text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = super().convert(value, param, ctx)
        if in_json(text) != text:
            self.fail(f"{in_json(text)!r} holds bytes that are not UTF-8", param, ctx)
        return text

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        from opstore_cli.console import completion

        return completion.complete(ctx, param, incomplete)


class Command(click.Command):
    """A command that takes the global options, and lists them last."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.params.extend(global_options())
        for param in self.params:
            if param.type is click.STRING:
                param.type = Text()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_options(self, ctx, formatter)


class Group(click.Group):
    """A group of commands that takes the global options."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.params.extend(global_options())

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        write_options(self, ctx, formatter)


def write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """The options of the command, then those that all commands have."""
    own: list[tuple[str, str]] = []
    shared: list[tuple[str, str]] = []
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None and isinstance(param, click.Option):
            (shared if isinstance(param, GlobalOption) else own).append(record)
    for title, records in (("Options", own), ("Global options", shared)):
        with formatter.section(title):
            formatter.write_dl(records)


def command(
    name: str, *, group: click.Group | None = None
) -> Callable[[Callable[Concatenate[Session, P], T]], click.Command]:
    """Makes a command of a function whose first argument is the session. What it returns is the exit code."""

    def decorate(function: Callable[Concatenate[Session, P], T]) -> click.Command:
        made = click.command(name, cls=Command, context_settings=HELP)(click.pass_obj(function))
        if group is not None:
            group.add_command(made)
        return made

    return decorate
