"""`opstore login`: store a token for a URL, readable by the user alone."""

import sys
import warnings
from typing import TYPE_CHECKING

import click

from opstore_cli.console.command import command
from opstore_cli.console.options import refuse_url
from opstore_cli.console.parameters import UrlType
from opstore_cli.console.session import Session
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_cli.config.settings import Settings


@command("login")
@click.argument("address", metavar="URL", type=UrlType())
def login(session: Session, address: str) -> None:
    """Log in to a remote daemon. The token is read from a prompt on a terminal, else from standard input. It is never
    an option, since others can read a command line.

    If the daemon accepts the token, it is stored for exactly this URL, in a file that only you can read. It is sent to
    this URL from then on, unless OPSTORE_TOKEN is set.

    \b
    Examples:
      opstore login https://models.example.com
      opstore login https://models.example.com < token.txt
    """
    from opstore_cli.config.credentials import Credentials
    from opstore_cli.transport.target import check_plain

    refuse_url(session)
    settings = session.settings().with_url(address)
    check_plain(address, "")
    token = _prompt(address) if sys.stdin is not None and sys.stdin.isatty() else _read()
    version = _daemon_version(session, settings, token)
    credentials = Credentials()
    credentials.store(address, token)
    document = {"url": address, "path": str(credentials.path), "version": version}
    session.out.write_result(document, quiet=[address], full=[address])
    session.out.note(f"stored the token in {credentials.path}")
    if settings.token is not None or settings.token_file is not None:
        session.out.warn("OPSTORE_TOKEN or OPSTORE_TOKEN_FILE is set, and takes precedence where it may be sent")


def _daemon_version(session: Session, settings: "Settings", token: str) -> str:
    """Return the version of the daemon; raise if it does not accept the token."""
    from opstore_cli.client.client import OpStoreClient

    with OpStoreClient(settings=settings, token=token, notify=session.out.note) as client:
        return client.status().version


def _prompt(url: str) -> str:
    import getpass

    with warnings.catch_warnings():
        # Without this, getpass would read the token with echo.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return _check(getpass.getpass(f"Token for {url}: ", stream=sys.stderr))
        except getpass.GetPassWarning:
            raise _refused("the terminal would show it; pass it on standard input") from None
        except EOFError:
            raise _refused("it is empty") from None


def _read() -> str:
    from opstore_cli.config.tokens import MAX_FILE, parse_token

    try:
        if sys.stdin is None:
            raise _refused("standard input is closed")
        data = sys.stdin.buffer.read(MAX_FILE)
    except OSError as error:
        raise _refused(errors.reason(error)) from None
    if not data.strip():
        raise _refused("it is empty")
    return parse_token(data, "the token")


def _check(text: str) -> str:
    from opstore_cli.config.tokens import check_token

    if not text.strip():
        raise _refused("it is empty")
    return check_token(text.strip(), "the token")


def _refused(reason: str) -> errors.InvalidSetting:
    return errors.InvalidSetting(setting="the token", reason=reason)
