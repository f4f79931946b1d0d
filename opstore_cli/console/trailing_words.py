"""Commands with an option that takes all words after it, as they are: another command."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from opstore_cli.console.command import Command
from opstore_cli.console.session import Session

_FOUND = f"{__name__}.found"  # in ctx.meta: the option was given

F = TypeVar("F", bound=Callable[..., Any])


class TrailingWordsCommand(Command):
    """A command whose parameter `trailing` takes all words that follow its option, such as options of their own."""

    trailing = "--from-command"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for start, arg in enumerate(args):
            if arg == "--":
                break
            if arg == self.trailing or arg.startswith(f"{self.trailing}="):
                words = args[start + 1 :]
                if arg != self.trailing:
                    words.insert(0, arg.removeprefix(f"{self.trailing}="))
                elif words[:1] == ["--"]:
                    del words[0]
                # For click, an option that is given once for each word.
                args = args[:start] + ([f"{self.trailing}={word}" for word in words] or [self.trailing])
                ctx.meta[_FOUND] = True
                break
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters; while a shell completes the words of the other command, that they are paths."""
        if ctx.resilient_parsing and _FOUND in ctx.meta:
            return [click.Argument(["words"], nargs=-1, type=click.Path())]
        return super().get_params(ctx)


def trailing_option(name: str, parameter: str, help_text: str) -> Callable[[F], F]:
    """Return the decorator for the option."""
    return click.option(name, parameter, metavar="CMD...", multiple=True, type=click.UNPROCESSED, help=help_text)


def check_run(session: Session, pipeline: str | None, words: Sequence[str]) -> str:
    """Return the pipeline to run a command on, by default that of the settings; raise UsageError if one is missing."""
    name = pipeline or session.settings().pipeline
    if name is None:
        raise click.UsageError("give a pipeline, before --run")
    if not words:
        raise click.UsageError("give the command: --run CMD after all other options")
    return name
