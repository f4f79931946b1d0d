"""Commands and groups that take the global options, before the name of the command and after it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from opstore_cli.console.parameters import Text, UncheckedUrlType
from opstore_cli.console.session import Session

P = ParamSpec("P")
T = TypeVar("T")

HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class GlobalOption(click.Option):
    """An option whose value goes into the session. No command function receives it."""

    def __init__(self, *names: str, **attributes: Any) -> None:
        # Eager: an error in a later parameter must be reported in the requested form.
        super().__init__(list(names), expose_value=False, is_eager=True, callback=_store, **attributes)


def _store(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    # click calls this for the group and for the command, even without the option. The last value wins.
    session = ctx.find_object(Session)
    if value and session is not None and param.name is not None:
        setattr(session if param.name == "url" else session.out, param.name, value)


def global_options() -> list[click.Parameter]:
    """Return new instances of the global options: click parameters belong to one command."""
    return [
        GlobalOption("--url", metavar="URL", type=UncheckedUrlType(), help="Use the daemon at this URL."),
        GlobalOption("--json", is_flag=True, help="Print one JSON document; errors are JSON as well."),
        GlobalOption("-q", "--quiet", is_flag=True, help="Print identifiers only, one per line."),
        GlobalOption("-v", "--verbose", is_flag=True, help="Print more details about errors."),
        GlobalOption("--no-color", is_flag=True, help="Print without colour."),
    ]


class Command(click.Command):
    """A command that takes the global options, and lists them last in its help."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.params.extend(global_options())
        for param in self.params:
            if param.type is click.STRING:
                param.type = Text()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _of_command(ctx):
            return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_options(self, ctx, formatter)


class Group(click.Group):
    """A group of commands that takes the global options."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.params.extend(global_options())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _of_command(ctx):
            return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        write_options(self, ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; raise UnknownCommand, with what to use in its place."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise UnknownCommand(args[0], ctx)
        return super().resolve_command(ctx, args)


@contextmanager
def _of_command(ctx: click.Context) -> Iterator[None]:
    """Give usage errors of the parser the context, which names the command whose help explains them."""
    try:
        yield
    except click.UsageError as error:
        error.ctx = error.ctx or ctx
        raise


class UnknownCommand(click.UsageError):
    """A command that the group does not have; `advice` is what to use in its place."""

    def __init__(self, name: str, ctx: click.Context) -> None:
        from opstore_cli.console.suggestions import suggest

        group = "" if ctx.parent is None else f"{ctx.info_name} "
        super().__init__(f"there is no command {group}{name}", ctx)
        root = ctx.find_root()
        assert isinstance(ctx.command, click.Group)  # noqa: S101 - only a group has commands
        assert isinstance(root.command, click.Group)  # noqa: S101
        commands = dict.fromkeys(root.command.list_commands(root))
        self.advice = suggest(group.strip(), name, ctx.command.list_commands(ctx), commands)


def write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the options of the command, then the global options, each in a section of the help."""
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
    name: str, *, group: click.Group | None = None, cls: type[Command] = Command
) -> Callable[[Callable[Concatenate[Session, P], T]], click.Command]:
    """Return a decorator that makes a command of a function.

    The function takes the session first, and returns the exit code, or None for 0.
    """

    def decorate(function: Callable[Concatenate[Session, P], T]) -> click.Command:
        made = click.command(name, cls=cls, context_settings=HELP)(click.pass_obj(function))
        if group is not None:
            group.add_command(made)
        return made

    return decorate
