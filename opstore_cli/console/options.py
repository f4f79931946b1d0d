"""Options that several commands share, and checks of how options are combined."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from opstore_cli.console.parameters import (
    LEVELS,
    DurationType,
    LabelFilterType,
    LabelType,
    ReferenceType,
    TimeOrPositionType,
)

if TYPE_CHECKING:
    from opstore_cli.console.session import Session
    from opstore_daemon.protocol.records import Fields, Level
    from opstore_daemon.protocol.times import AsOf

F = TypeVar("F", bound=Callable[..., Any])


def version_options(function: F) -> F:
    """Add the options that `push` and `register` share, which describe the new version."""
    links: dict[str, Any] = {"multiple": True, "type": ReferenceType()}
    for option in (
        click.option("-m", "--message", metavar="TEXT", help="Message that describes the version."),
        labels_option("Add a label; repeatable."),
        click.option(
            "--valid-with",
            metavar="UP[@SEL]",
            help="Record that this upstream version is valid for the new version; repeatable.",
            **links,
        ),
        click.option(
            "--valid-for",
            metavar="DOWN[@SEL]",
            help="Record that the new version is valid for this one; repeatable.",
            **links,
        ),
        click.option(
            "--subversions",
            metavar="MAJOR.MINOR.PATCH",
            help="Three hashes in hex, as computed by a training framework.",
        ),
        click.option("--version", hidden=True, expose_value=False, callback=_refuse_version),
        click.option(
            "--field",
            "fields",
            metavar="LEVEL:KEY=VALUE",
            multiple=True,
            callback=_fields,
            help="Field that determines the version; LEVEL is major, minor or patch; repeatable.",
        ),
    ):
        function = option(function)
    return function


def labels_option(help_text: str) -> Callable[[F], F]:
    """Add `--label`, which sets labels, to a command that makes or changes a version."""
    return click.option(
        "--label", "labels", metavar="KEY=VALUE", multiple=True, type=LabelType(), callback=_labels, help=help_text
    )


def label_filter_option(help_text: str) -> Callable[[F], F]:
    """Add `--label`, which selects by labels, to a command that lists ops or versions."""
    return click.option("--label", metavar="KEY[=VALUE]", multiple=True, type=LabelFilterType(), help=help_text)


def valid_for_option(help_text: str) -> Callable[[F], F]:
    """Add `--valid-for` to a command that selects versions."""
    return click.option("--valid-for", metavar="DOWN[@SEL]", multiple=True, type=ReferenceType(), help=help_text)


def use_option(function: F) -> F:
    """Add `--use` to a command that evaluates a pipeline."""
    help_text = "Evaluate as if this version were the latest of its op; repeatable."
    return click.option("--use", metavar="REF", multiple=True, type=ReferenceType(), help=help_text)(function)


def timeout_option(function: F) -> F:
    """Add `--timeout` to a command that resolves a pipeline."""
    help_text = "Give up after this time (90s, 10m), with exit code 10."
    return click.option("--timeout", metavar="TIME", type=DurationType(above_zero=True), help=help_text)(function)


def as_of_option(function: F) -> F:
    """Add `--as-of` to a command that can show a past state."""
    return click.option(
        "--as-of",
        metavar="TIME|POSITION",
        type=TimeOrPositionType(),
        callback=_name_time,
        help="Show the state at that time (2026-03-01, yesterday, '2 days ago') or journal position.",
    )(function)


def _name_time(ctx: click.Context, _param: click.Parameter, value: "AsOf | None") -> "AsOf | None":
    """Say on a terminal which time a relative or local one is."""
    from opstore_cli.console.session import Session

    session = ctx.find_object(Session)
    if value is not None and value.words and session is not None:
        session.out.tip(f"as of {value.with_words}")
    return value


def check_exclusive(**options: object) -> None:
    """Raise UsageError if more than one of these options is given."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} are mutually exclusive")


def refuse_url(session: "Session") -> None:
    """Raise UsageError if `--url` is given to a command that does not use it."""
    if session.url is not None:
        raise click.UsageError("this command does not use --url; if it takes a URL, pass it as the argument")


def _refuse_version(_ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    # Users try --version, so the message names the options to use instead.
    if value is not None:
        tag = f"--tag v{value.removeprefix('v')}"
        raise click.UsageError(f"version numbers are assigned by the store; use --bump, {tag} or --subversions")


def _fields(_ctx: click.Context, _param: click.Parameter, value: Sequence[str]) -> "Fields":
    fields: Fields = {}
    for text in value:
        key, equals, content = text.partition("=")
        level, colon, key = key.partition(":")
        if not (equals and colon and key) or level not in LEVELS:
            raise click.BadParameter(f"{text!r} is not LEVEL:KEY=VALUE, where LEVEL is major, minor or patch")
        _add(fields.setdefault(cast("Level", level), {}), key, content, text)
    return fields


def _labels(_ctx: click.Context, _param: click.Parameter, value: Sequence[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for text in value:
        key, equals, content = text.partition("=")
        if not (equals and key):
            raise click.BadParameter(f"{text!r} is not KEY=VALUE")
        _add(labels, key, content, text)
    return labels


def _add(pairs: dict[str, str], key: str, content: str, text: str) -> None:
    if key in pairs:
        raise click.BadParameter(f"{text!r} sets {key!r} a second time")
    pairs[key] = content
