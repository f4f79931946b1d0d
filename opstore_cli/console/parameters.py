"""What several commands read in the same way: names, references, fields and labels, checked before anything is sent."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from opstore_daemon.protocol import durations, names, references

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from opstore_cli.console.command import Session
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
    from opstore_cli.config.settings import check_url

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


def refuse_version(_ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    """Refuse `--version`, which people try, with the options that do what they mean."""
    if value is not None:
        tag = f"--tag v{value.removeprefix('v')}"
        raise click.UsageError(f"version numbers are assigned by the store; use --bump, {tag} or --subversions")


def version_options(function: F) -> F:
    """What `push` and `register` know of a new version."""
    links: dict[str, Any] = {"multiple": True, "callback": reference}
    for option in (
        click.option("-m", "--message", metavar="TEXT", help="What to remember about the version."),
        click.option(
            "--label", "labels", metavar="KEY=VALUE", multiple=True, callback=labels, help="A label; repeatable."
        ),
        click.option(
            "--valid-with",
            metavar="UP[@SEL]",
            help="Link: this upstream version is valid for the new one; repeatable.",
            **links,
        ),
        click.option(
            "--valid-for", metavar="DOWN[@SEL]", help="Link: the new version is valid for this op; repeatable.", **links
        ),
        click.option(
            "--subversions",
            metavar="MAJOR.MINOR.PATCH",
            help="Three hashes in hex that a training framework computed.",
        ),
        click.option("--version", hidden=True, expose_value=False, callback=refuse_version),
        click.option(
            "--field",
            "fields",
            metavar="LEVEL:KEY=VALUE",
            multiple=True,
            callback=fields,
            help="A field that the version is made from; LEVEL is major, minor or patch; repeatable.",
        ),
    ):
        function = option(function)
    return function


def valid_for_option(help_text: str) -> Callable[[F], F]:
    """`--valid-for` of the commands that pick versions."""
    return click.option("--valid-for", metavar="DOWN[@SEL]", multiple=True, callback=reference, help=help_text)


def duration(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """The callback of `--wait`: seconds."""
    if value is None:
        return None
    try:
        return durations.parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _as_of(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """The callback of `--as-of`: a position as it is, a time in UTC; one without an offset is this machine's."""
    if value is None or (value.isascii() and value.isdigit()):
        return value
    from datetime import UTC, datetime

    try:
        return datetime.fromisoformat(value).astimezone(UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        wanted = "a position of the journal, or a time such as 2026-03-01 or 2026-03-01T12:00:00Z"
        raise click.BadParameter(f"{value!r} is not {wanted}") from None


def use_option(function: F) -> F:
    """`--use` of the commands that ask about a pipeline."""
    help_text = "As if this version were the latest of its op; repeatable."
    return click.option("--use", metavar="REF", multiple=True, callback=reference, help=help_text)(function)


def as_of_option(function: F) -> F:
    """`--as-of` of the commands that can answer as it was."""
    help_text = "The answer as it was then: a time, or a position of the journal."
    return click.option("--as-of", metavar="TIME|POSITION", callback=_as_of, help=help_text)(function)


def exclusive(**given: object) -> None:
    """Refuses more than one of these options."""
    found = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if len(found) > 1:
        raise click.UsageError(f"{' and '.join(found)} exclude each other")
