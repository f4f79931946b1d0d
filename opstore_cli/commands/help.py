"""`opstore help`: show the help of the program or of a command."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from opstore_cli.console.command import command
from opstore_cli.console.parameters import Text
from opstore_cli.console.session import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class CommandNameType(Text):
    """The name of a command, or after a group the name of one of its commands."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        found = ctx.find_root()
        for word in ctx.params.get("words") or ():
            child = found.command.get_command(found, word) if isinstance(found.command, click.Group) else None
            if child is None:
                return []
            found = click.Context(child, found, word)
        names = found.command.list_commands(found) if isinstance(found.command, click.Group) else []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@command("help")
@click.argument("words", metavar="[COMMAND]", nargs=-1, type=CommandNameType())
@click.pass_context
def help_(ctx: click.Context, session: Session, words: Sequence[str]) -> None:
    """Show the help of the program or of a command, as --help does.

    \b
    Examples:
      opstore help
      opstore help push
      opstore help pipeline register
    """
    text = _help(ctx.find_root(), words)
    session.out.write_result({"help": text}, quiet=text.splitlines(), full=text.splitlines())


def _help(root: click.Context, words: Sequence[str]) -> str:
    found = root
    for word in words:
        if not isinstance(found.command, click.Group):
            raise click.UsageError(f"{found.command_path} has no commands", found)
        name, child, _ = found.command.resolve_command(found, [word])
        assert child is not None  # noqa: S101 - resolve_command raises for an unknown one
        found = child.context_class(child, parent=found, info_name=name, **child.context_settings)
    return found.get_help()
