"""Options that several commands share, as decorators."""

from collections.abc import Callable
from typing import Any

import click

from opstore_cli.console.parameters import F, fields, labels, reference


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
