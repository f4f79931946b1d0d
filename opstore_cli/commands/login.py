"""`opstore login`: store a token for a URL, readable by the user alone."""

import sys
import warnings
from functools import partial
from typing import TYPE_CHECKING

import click

from opstore_cli.console.command import command
from opstore_cli.console.daemon_status import daemon_of, reason_of
from opstore_cli.console.options import refuse_url
from opstore_cli.console.parameters import UrlType
from opstore_cli.console.session import Session
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_cli.config.settings import Settings


@command("login")
@click.argument("address", metavar="URL", type=UrlType())
@click.option("--default", "make_default", is_flag=True, help="Use this daemon in commands without --url.")
def login(session: Session, address: str, make_default: bool) -> None:
    """Log in to a remote daemon. The token is read from a prompt or, off a terminal, from standard input.

    \b
    Examples:
      opstore login https://models.example.com
      opstore login https://models.example.com --default
      opstore login https://models.example.com < token.txt

    If the daemon accepts the token, opstore stores it for exactly this URL, in a file that only you can read, and sends
    it to this URL from then on, unless OPSTORE_TOKEN is set.

    --default also sets `url` in your own settings file, so that commands use this daemon. Without it, they use the same
    daemon as before; use --url for single commands.

    The token is never an option, because other users can read command lines. `opstore token` prints it on the daemon's
    machine.
    """
    from opstore_cli.config.credentials import Credentials
    from opstore_cli.transport.target import check_plain

    refuse_url(session)
    settings = session.settings().with_url(address)
    session.out.advise = partial(_advice, settings=settings)
    check_plain(address, "")
    token = _prompt(address) if sys.stdin is not None and sys.stdin.isatty() else _read()
    version = _daemon_version(session, settings, token)
    credentials = Credentials()
    credentials.store(address, token)
    if make_default:
        from opstore_cli.config import user_file

        user_file.change("url", address)
    used = session.settings()
    document = {
        "url": address,
        "path": str(credentials.path),
        "version": version,
        "default": used.url == address,
        "daemon": {"url": used.url, "home": str(used.home), "because": reason_of(used)},
    }
    session.out.write_result(document, quiet=[address], full=[address])
    session.out.note(f"stored the token in {credentials.path}")
    _note_daemon(session, used, address, make_default)
    if settings.token is not None or settings.token_file is not None:
        session.out.warn("OPSTORE_TOKEN or OPSTORE_TOKEN_FILE is set, and takes precedence where it may be sent")


def _note_daemon(session: Session, used: "Settings", address: str, made_default: bool) -> None:
    """Say which daemon later commands use, and how to change that."""
    if used.url == address:
        session.out.note(f"commands use {address}, because {reason_of(used)}")
    elif made_default:
        session.out.warn(f"commands still use {daemon_of(used)}, because {reason_of(used)}")
    else:
        session.out.note(f"commands still use {daemon_of(used)}, because {reason_of(used)}")
        session.out.note(f"to use {address}: opstore --url {address} COMMAND, or opstore config set url {address}")


def _advice(error: errors.OpStoreError, *, settings: "Settings") -> str:
    from opstore_cli.transport.hints import advice_for_login

    return advice_for_login(error, settings)


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
            raise _refused("none was given") from None


def _read() -> str:
    from opstore_cli.config.tokens import MAX_FILE, parse_token

    try:
        if sys.stdin is None:
            raise _refused("standard input is closed")
        data = sys.stdin.buffer.read(MAX_FILE)
    except OSError as error:
        raise _refused(errors.reason(error)) from None
    if not data.strip():
        raise _refused("none was given")
    return parse_token(data, "the token")


def _check(text: str) -> str:
    from opstore_cli.config.tokens import check_token

    if not text.strip():
        raise _refused("none was given")
    return check_token(text.strip(), "the token")


def _refused(reason: str) -> errors.InvalidSetting:
    return errors.InvalidSetting(setting="the token", reason=reason)
