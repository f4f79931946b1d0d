"""`opstore logout`: delete the tokens that `login` stored."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from opstore_cli.console.command import command
from opstore_cli.console.daemon_status import reason_of
from opstore_cli.console.options import refuse_url
from opstore_cli.console.parameters import UrlType
from opstore_cli.console.session import Session
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_cli.config.credentials import Credentials


@command("logout")
@click.argument("address", metavar="[URL]", required=False, type=UrlType())
@click.option("--all", "everything", is_flag=True, help="Delete the tokens of all URLs.")
def logout(session: Session, address: str | None, everything: bool) -> None:
    """Delete the stored token of a remote daemon. Without URL, that of the daemon that commands use.

    \b
    Examples:
      opstore logout https://models.example.com
      opstore logout --all

    Prints the URLs whose tokens were deleted; if there was none, the exit code is 0 too. The daemon still accepts the
    token.

    Browser sessions that `opstore open` started with that token end, if the daemon can be reached. Without URL, those
    of the local daemon end too.
    """
    from opstore_cli.config.credentials import Credentials

    if address is not None or everything:
        refuse_url(session)
    if address is not None and everything:
        raise click.UsageError("URL and --all are mutually exclusive")
    credentials = Credentials()
    url = address if address is not None or everything else session.settings().url
    # The token of a URL is sent only to that URL.
    tokens: dict[str | None, str | None] = {None: None}
    if address is not None or everything:
        tokens = {each: token for each, token in _stored(credentials).items() if everything or each == address}
    _end_sessions(session, tokens)
    forgotten = credentials.delete_all() if everything else _delete(credentials, url)
    session.out.write_result({"forgotten": forgotten}, quiet=forgotten, full=forgotten)
    if url is None and not everything:
        urls = ", ".join(sorted(credentials.tokens()))
        session.out.note(f"which URL? You are logged in to: {urls}" if urls else "you are not logged in to any URL")
    elif not forgotten:
        session.out.note("there was no token to delete")
    _note_default(session, forgotten)


def _note_default(session: Session, forgotten: list[str]) -> None:
    """Say that commands still use a daemon that the user logged out from."""
    with suppress(errors.OpStoreError):
        used = session.settings()
        if used.url in forgotten and used.origin in ("user file", "environment"):
            how = "; to use the local daemon: opstore config unset url" if used.origin == "user file" else ""
            session.out.note(f"commands still use {used.url}, because {reason_of(used)}{how}")


def _stored(credentials: "Credentials") -> Mapping[str, str]:
    """Return the tokens by URL; none if the file is damaged, so that it can still be deleted."""
    try:
        return credentials.tokens()
    except errors.InvalidSetting:
        return {}


def _end_sessions(session: Session, tokens: Mapping[str | None, str | None]) -> None:
    """End the page sessions at these URLs, each with its token; None means the daemon of the settings.

    This does not start the local daemon.
    """
    from opstore_cli.client.client import OpStoreClient

    for url, token in tokens.items():
        with suppress(errors.OpStoreError):
            settings = replace(session.settings(), autostart=False)
            with OpStoreClient(url, token=token, settings=settings) as client:
                client.end_sessions()


def _delete(credentials: "Credentials", url: str | None) -> list[str]:
    return [url] if url is not None and credentials.delete(url) else []
