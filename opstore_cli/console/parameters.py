"""What several commands read in the same way: names, references, fields and labels, checked before anything is sent."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from opstore_daemon.protocol import durations, names, references

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from opstore_cli.console.session import Session
    from opstore_daemon.protocol.records import Fields, Level

F = TypeVar("F", bound=Callable[..., Any])

LEVELS = ("major", "minor", "patch")
COMPATS = ("major", "minor", "exact")


class Folder(click.Path):
    """The path of a folder that need not be there: it is completed as one, and what it is is seen later."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="dir")]


def name(_ctx: click.Context, _param: click.Parameter, value: Any) -> Any:
    """The callback of a parameter that takes names; raises InvalidName."""
    for text in _each(value):
        names.check_name(text)
    return value


def reference(_ctx: click.Context, _param: click.Parameter, value: Any) -> Any:
    """The callback of a parameter that takes references; raises InvalidName, InvalidReference or InvalidVersion."""
    for text in _each(value):
        references.parse_reference(text)
    return value


def url(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """The callback of a parameter that takes a daemon's URL, in the form in which URLs are compared."""
    from opstore_cli.config.urls import check_url

    return None if value is None else check_url(value, "the URL")


def no_url_option(session: "Session") -> None:
    """For commands to which `--url` would say something that they do not mean."""
    if session.url is not None:
        raise click.UsageError("--url has no meaning here: a URL is this command's argument, if it takes one")


def fields(_ctx: click.Context, _param: click.Parameter, value: Sequence[str]) -> "Fields":
    """The callback of `--field LEVEL:KEY=VALUE`."""
    found: Fields = {}
    for text in value:
        key, equals, content = text.partition("=")
        level, colon, key = key.partition(":")
        if not (equals and colon and key) or level not in LEVELS:
            raise click.BadParameter(f"{text!r} is not LEVEL:KEY=VALUE, where LEVEL is major, minor or patch")
        _add(found.setdefault(cast("Level", level), {}), key, content, text)
    return found


def labels(_ctx: click.Context, _param: click.Parameter, value: Sequence[str]) -> dict[str, str]:
    """The callback of `--label KEY=VALUE`."""
    found: dict[str, str] = {}
    for text in value:
        key, equals, content = text.partition("=")
        if not (equals and key):
            raise click.BadParameter(f"{text!r} is not KEY=VALUE")
        _add(found, key, content, text)
    return found


def _add(found: dict[str, str], key: str, content: str, text: str) -> None:
    if key in found:
        raise click.BadParameter(f"{text!r} gives the key {key!r} a second time")
    found[key] = content


def _each(value: Any) -> Sequence[str]:
    if value is None:
        return ()
    return [value] if isinstance(value, str) else value


def duration(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """The callback of `--wait`: seconds."""
    if value is None:
        return None
    try:
        return durations.parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def exclusive(**given: object) -> None:
    """Refuses more than one of these options."""
    found = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if len(found) > 1:
        raise click.UsageError(f"{' and '.join(found)} exclude each other")
