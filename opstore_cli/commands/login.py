"""`opstore login`: a token for a URL, kept where the user alone can read it."""

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
    """Keep a token for the daemon at a URL. It is asked for on a terminal, without being shown, and read from standard
    input elsewhere; it is never an option, since others can read a command line. The daemon has to take it, then it
    is kept for exactly this URL, in a file of yours that nobody else can read.

    From then on it is sent to this URL, unless OPSTORE_TOKEN is set, and a URL that only the working tree names is
    used.

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
    version = _ask(session, settings, token)
    credentials = Credentials()
    credentials.keep(address, token)
    document = {"url": address, "path": str(credentials.path), "version": version}
    session.out.write_result(document, quiet=[address], full=[address])
    session.out.note(f"its token is kept in {credentials.path}")
    if settings.token is not None or settings.token_file is not None:
        session.out.warn("OPSTORE_TOKEN or OPSTORE_TOKEN_FILE is set: where it may be sent, it counts first")


def _ask(session: Session, settings: "Settings", token: str) -> str:
    """The daemon's version, if it takes the token."""
    from opstore_cli.client.client import OpStoreClient

    with OpStoreClient(settings=settings, token=token, notify=session.out.note) as client:
        return client.status().version


def _prompt(url: str) -> str:
    import getpass

    with warnings.catch_warnings():
        # It would go on and show what is typed.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return _checked(getpass.getpass(f"Token for {url}: ", stream=sys.stderr))
        except getpass.GetPassWarning:
            raise _refused("the terminal can't be kept from showing it: give it on standard input") from None
        except EOFError:
            raise _refused("none was given") from None


def _read() -> str:
    from opstore_cli.config.tokens import MAX_FILE

    try:
        given = b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_FILE)
        return _checked(given.decode("ascii"))
    except OSError as error:
        raise _refused(errors.reason(error)) from None
    except UnicodeDecodeError:
        raise _refused("a token is ASCII text") from None


def _checked(text: str) -> str:
    from opstore_cli.config.tokens import check_token

    if not text.strip():
        raise _refused("none was given")
    return check_token(text.strip(), "the token")


def _refused(reason: str) -> errors.InvalidSetting:
    return errors.InvalidSetting(setting="the token", reason=reason)
